import { type Condition, escapePointer, suggest } from '@amalgam/contracts';
import { getMethod, hasParameter } from '@amalgam/methods';
import type { Parameters } from './document.js';
import { ALL_PARAMETERS, isTrue, METHODS, type Parameter, type Translation } from './names.js';
import type { Pointers } from './pointers.js';
import type { Reader } from './reader.js';

/** One set of a document's parameters, in our names and values. */
export class ParameterTranslator {
  readonly warnings: string[] = [];
  private readonly translation: Translation;

  constructor(
    private readonly reader: Reader,
    private readonly pointers: Pointers,
    private readonly method: string,
  ) {
    this.translation = METHODS[method]!;
  }

  /** Of the document, a module or a slice, which may hold any parameter. `at`: where they stand in our recipe. */
  anywhere(parameters: Parameters | undefined, at: string): Record<string, unknown> {
    return this.translate(parameters, at, { ...this.translation.perModel, ...this.translation.global });
  }

  ofModel(parameters: Parameters | undefined, at: string): Record<string, unknown> {
    return this.translate(parameters, at, this.translation.perModel);
  }

  /** The document's, with mergekit's defaults, and what its meaning needs besides. */
  withDefaults(given: Record<string, unknown>): Record<string, unknown> {
    const complete = { ...given };
    for (const parameter of Object.values({ ...this.translation.perModel, ...this.translation.global })) {
      const { to, fallback } = parameter;
      if (to === null || fallback === undefined || !hasParameter(getMethod(this.method), to)) continue;
      complete[to] = orElse(complete[to], toOurs(parameter, fallback));
    }
    return { ...complete, ...this.translation.fixed };
  }

  private translate(
    parameters: Parameters | undefined,
    at: string,
    known: Record<string, Parameter>,
  ): Record<string, unknown> {
    const translated: Record<string, unknown> = {};
    if (parameters === undefined) return translated;
    this.pointers.add(at, parameters.pointer);
    for (const [name, value] of Object.entries(parameters.given)) {
      // YAML's empty value: it is not given.
      if (value === null) continue;
      const pointer = `${parameters.pointer}/${escapePointer(name)}`;
      const parameter = Object.hasOwn(known, name) ? known[name] : undefined;
      if (parameter === undefined) {
        this.unknown(name, pointer, Object.keys(known));
        continue;
      }
      const { to } = parameter;
      if (to === null) continue;
      if (!hasParameter(getMethod(this.method), to)) {
        if (toOurs(parameter, value) === parameter.fallback) continue;
        this.reader.fail(
          pointer,
          `${name} is not supported with ${this.method}: only ${String(parameter.fallback)} is`,
        );
        continue;
      }
      this.pointers.add(`${at}/${to}`, pointer);
      translated[to] = mapLeaves(value, (leaf) => {
        const ours = toOurs(parameter, leaf);
        if (typeof leaf === 'number' && typeof ours === 'number' && ours !== leaf) {
          this.warnings.push(`${pointer}: ${name} ${leaf} counts as ${ours}, as in mergekit`);
        }
        return ours;
      });
    }
    return translated;
  }

  private unknown(name: string, pointer: string, known: string[]): void {
    if (this.reader.isFull) return;
    if (Object.hasOwn(this.translation.global, name)) {
      const detail = `${name} is a parameter of the merge: mergekit does not look for it with a model; it belongs under the "parameters" of the slice or of the document`;
      this.reader.fail(pointer, detail);
    } else if (ALL_PARAMETERS.has(name)) {
      this.warnings.push(`${pointer}: ${this.method} does not know ${name}; ignored, as in mergekit`);
    } else {
      this.reader.fail(pointer, `${this.method} has no parameter "${name}"${suggest(name, known)}`);
    }
  }
}

/** The setting, with a value for the tensors that none of its conditions matches. */
function orElse(setting: unknown, value: unknown): unknown {
  if (setting === undefined) return value;
  const conditions = [setting].flat();
  const isOpen = conditions.every((entry) => typeof entry === 'object' && entry !== null && 'filter' in entry);
  return isOpen && conditions.length > 0 ? [...conditions, { value }] : setting;
}

/** What is neither boolean nor number stays as it is, for the method's own schema to judge. */
function toOurs({ kind, convert }: Parameter, value: unknown): unknown {
  if (convert !== undefined) return convert(value);
  if (kind === 'boolean') return isBoolean(value) ? isTrue(value) : value;
  return typeof value === 'boolean' ? Number(value) : value;
}

function isBoolean(value: unknown): boolean {
  return (
    typeof value === 'number' || (typeof value === 'string' && (isTrue(value) || /^(false|no|off|n)$/i.test(value)))
  );
}

/**
 * Of a setting: the value itself, those of a gradient, those of conditions. What is nested deeper is no setting and stays, however deep:
 * the method's schema refuses it.
 */
export function mapLeaves(setting: unknown, change: (leaf: unknown) => unknown): unknown {
  if (!Array.isArray(setting)) return mapLeaf(setting, change);
  return setting.map((item: unknown) => (Array.isArray(item) ? item : mapLeaf(item, change)));
}

/** A value, or a condition. */
function mapLeaf(setting: unknown, change: (leaf: unknown) => unknown): unknown {
  if (typeof setting !== 'object' || setting === null) return change(setting);
  if (!('value' in setting)) return setting;
  const { value } = setting as Condition;
  return { ...setting, value: Array.isArray(value) ? value.map(change) : change(value) };
}
