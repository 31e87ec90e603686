import {
  type Condition,
  type FieldError,
  LONGEST_FILTER,
  MOST_ANCHORS,
  MOST_CONDITIONS,
  type Setting,
  type TSchema,
  Type,
  validate,
} from '@amalgam/contracts';

/** Values of parameters that differ from tensor to tensor: gradients over the layers, and conditions on names. */

/** How a parameter may vary: numbers along the layers and by name, integers and booleans by name, the rest not at all. */
export type Variation = 'gradient' | 'conditions' | 'none';

/** `uniform: true` on a parameter's schema says that one value serves all tensors, whatever the type. */
export function variationOf(schema: TSchema): Variation {
  const { type, anyOf, uniform } = schema as { type?: unknown; anyOf?: unknown; uniform?: boolean };
  if (uniform === true) return 'none';
  // A number or null is a number that may be absent.
  const types = Array.isArray(anyOf) ? anyOf.map((either: { type?: unknown }) => either.type) : [type];
  const [only, ...others] = types.filter((each) => each !== 'null');
  if (others.length > 0) return 'none';
  if (only === 'number') return 'gradient';
  return only === 'integer' || only === 'boolean' ? 'conditions' : 'none';
}

/** Is it written as something that varies? Lists and objects are, where the parameter itself is neither. */
export function isVarying(value: unknown): value is number[] | Condition | Condition[] {
  return typeof value === 'object' && value !== null;
}

/** Every value in a setting against the parameter's own schema. The setting must be one for which `isVarying`. */
export function checkVarying(schema: TSchema, setting: object, pointer: string): FieldError[] {
  const variation = variationOf(schema);
  if (Array.isArray(setting)) {
    if (setting.length === 0) return [{ pointer, detail: 'must not be an empty list' }];
    if (setting.every((entry) => typeof entry === 'number')) {
      return checkGradient(schema, variation, setting, pointer);
    }
    if (setting.length > MOST_CONDITIONS) {
      return [{ pointer, detail: `has ${setting.length} conditions, more than ${MOST_CONDITIONS}` }];
    }
    if (!setting.every(isCondition)) {
      return [{ pointer, detail: 'a list holds either numbers (a gradient) or conditions { value, filter }' }];
    }
    return setting.flatMap((entry, i) => checkCondition(schema, variation, entry, `${pointer}/${i}`));
  }
  return checkCondition(schema, variation, setting, pointer);
}

function isCondition(entry: unknown): entry is object {
  return typeof entry === 'object' && entry !== null && !Array.isArray(entry);
}

function checkGradient(schema: TSchema, variation: Variation, list: number[], pointer: string): FieldError[] {
  if (variation !== 'gradient') return [{ pointer, detail: 'only a number can be a gradient over the layers' }];
  if (list.length > MOST_ANCHORS) return [{ pointer, detail: `has ${list.length} values, more than ${MOST_ANCHORS}` }];
  return list.flatMap((value, i) => problems(schema, value, `${pointer}/${i}`));
}

function checkCondition(schema: TSchema, variation: Variation, entry: object, pointer: string): FieldError[] {
  const shape = problems(ConditionShape, entry, pointer);
  if (shape.length > 0) return shape;
  const { value } = entry as Condition;
  if (!Array.isArray(value)) return problems(schema, value, `${pointer}/value`);
  if (value.length === 0) return [{ pointer: `${pointer}/value`, detail: 'must not be an empty list' }];
  return checkGradient(schema, variation, value as number[], `${pointer}/value`);
}

const ConditionShape = Type.Object(
  {
    value: Type.Unknown({ description: 'The value, or a gradient' }),
    filter: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: LONGEST_FILTER,
        description: 'A part of the tensor’s name; * or absent: every tensor',
      }),
    ),
  },
  { additionalProperties: false },
);

function problems(schema: TSchema, value: unknown, pointer: string): FieldError[] {
  const checked = validate(schema, value, pointer);
  return checked.ok ? [] : checked.errors;
}

/** A setting's value for the tensor of this name at position t of its layers; undefined where no condition matches. */
export function evaluate(setting: unknown, name: string, t: number): unknown {
  if (!isVarying(setting)) return setting;
  if (isGradient(setting)) return interpolate(setting, t);
  const found = findCondition(setting, name);
  if (found === undefined) return undefined;
  return isVarying(found.value) && isGradient(found.value) ? interpolate(found.value, t) : found.value;
}

/** Of each setting the last name that was looked up: a setting for many models meets the same name for each. */
const lastFound = new WeakMap<object, { name: string; found: Condition | undefined }>();

function findCondition(setting: Condition | Condition[], name: string): Condition | undefined {
  const last = lastFound.get(setting);
  if (last?.name === name) return last.found;
  const found = conditionsOf(setting).find(({ filter }) => matches(filter, name));
  lastFound.set(setting, { name, found });
  return found;
}

/**
 * One setting with the meaning of several: the first that has a value for a tensor gives it.
 */
export function chain(settings: unknown[]): unknown {
  const conditions: Condition[] = [];
  for (const setting of settings) {
    if (setting === undefined) continue;
    const own = isVarying(setting) && !isGradient(setting) ? conditionsOf(setting) : null;
    if (own === null && conditions.length === 0) return setting;
    conditions.push(...(own ?? [{ value: setting }]));
    const total = conditions.findIndex(({ filter }) => isEverywhere(filter));
    if (total === 0) return conditions[0]!.value;
    if (total > 0) return conditions.slice(0, total + 1);
  }
  return conditions.length === 0 ? undefined : conditions;
}

/** Filters of a setting that leave tensors out, each with its place in the setting as a JSON pointer. */
export function filtersOf(setting: unknown): { filter: string; pointer: string }[] {
  if (!isVarying(setting) || isGradient(setting)) return [];
  return conditionsOf(setting).flatMap(({ filter }, i) =>
    filter === undefined || isEverywhere(filter)
      ? []
      : [{ filter, pointer: Array.isArray(setting) ? `/${i}/filter` : '/filter' }],
  );
}

export function hasGradient(setting: unknown): boolean {
  if (!isVarying(setting)) return false;
  return isGradient(setting) || conditionsOf(setting).some(({ value }) => isVarying(value));
}

/** Linear between anchors that are spread evenly over [0, 1]. */
function interpolate(anchors: readonly number[], t: number): number {
  const at = Math.min(1, Math.max(0, t)) * (anchors.length - 1);
  const low = Math.floor(at);
  const high = Math.min(anchors.length - 1, low + 1);
  const share = at - low;
  return (1 - share) * anchors[low]! + share * anchors[high]!;
}

function isGradient(value: object): value is number[] {
  return Array.isArray(value) && typeof value[0] === 'number';
}

function conditionsOf(setting: Exclude<Setting, number[]> | object): Condition[] {
  return (Array.isArray(setting) ? setting : [setting]) as Condition[];
}

function isEverywhere(filter: string | undefined): boolean {
  return filter === undefined || filter === '*';
}

function matches(filter: string | undefined, name: string): boolean {
  return filter === undefined || filter === '*' || name.includes(filter);
}
