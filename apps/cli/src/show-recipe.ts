import { type Recipe, referenceOf, type Slice } from '@amalgam/contracts';

/** What a recipe was understood as, one line for each part. */
export function showRecipe(recipe: Recipe): string[] {
  const { slices, modules, modifiers, tokenizer, chat_template: template } = recipe;
  return [
    `method      ${recipe.method}${showParameters(recipe.parameters)}`,
    ...(recipe.base === undefined ? [] : [`base        ${recipe.base}`]),
    ...recipe.models.map((model) => `model       ${referenceOf(model)}${showParameters(model.parameters)}`),
    ...(slices ?? []).map((slice, i) => showSlice(slice, `slice ${i}`)),
    ...Object.entries(modules ?? {}).flatMap(([name, module]) => [
      `module      ${name}${showParameters(module.parameters)}`,
      ...(module.models ?? []).map(({ model, parameters }) => `  model     ${model}${showParameters(parameters)}`),
      ...(module.slices ?? []).map((slice, i) => showSlice(slice, `  slice ${i}`)),
    ]),
    ...(modifiers ?? []).map(({ name, ...rest }) => `modifier    ${name} ${JSON.stringify(rest)}`),
    ...(tokenizer === undefined ? [] : [`tokenizer   ${showTokenizer(tokenizer)}`]),
    ...(template === undefined
      ? []
      : [`chat        ${template.length > 60 ? `${JSON.stringify(template.slice(0, 60))}…` : template}`]),
    ...(recipe.out_dtype === undefined ? [] : [`written as  ${recipe.out_dtype}`]),
  ];
}

function showSlice({ sources, base, parameters }: Slice, title: string): string {
  const shown = sources.map(({ model, layer_range: range, parameters: own }) => {
    return `${model}${range === undefined ? '' : ` layers ${range[0]} to ${range[1]! - 1}`}${showParameters(own)}`;
  });
  const from = base === undefined ? '' : `, base ${base}`;
  return `${title.padEnd(12)}${shown.join(' + ')}${from}${showParameters(parameters)}`;
}

function showTokenizer({ source, tokens, pad_to_multiple_of: padTo }: NonNullable<Recipe['tokenizer']>): string {
  const placed = Object.keys(tokens ?? {}).length;
  return [
    source,
    ...(placed > 0 ? [`${placed} tokens with sources of their own`] : []),
    ...(padTo === undefined ? [] : [`padded to a multiple of ${padTo}`]),
  ].join(', ');
}

/** `weight 1, t 0 → 0.5 → 1 along the layers`: what varies, in words. */
function showParameters(parameters: Record<string, unknown> | undefined): string {
  const shown = Object.entries(parameters ?? {}).map(([name, value]) => `${name} ${showSetting(value)}`);
  return shown.length === 0 ? '' : `  ${shown.join(', ')}`;
}

function showSetting(setting: unknown): string {
  if (Array.isArray(setting) && setting.every((item) => typeof item === 'number')) return setting.join(' → ');
  const conditions = [setting].flat();
  if (!conditions.every(isCondition)) return typeof setting === 'string' ? setting : JSON.stringify(setting);
  return `(${conditions
    .map(
      ({ value, filter }) => `${showSetting(value)}${filter === undefined || filter === '*' ? '' : ` for *${filter}*`}`,
    )
    .join('; else ')})`;
}

function isCondition(value: unknown): value is { value: unknown; filter?: string } {
  return typeof value === 'object' && value !== null && 'value' in value;
}
