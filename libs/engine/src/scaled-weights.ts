import { type Dtype, type FieldProblem, isFloat, problemsError, quote, showShape } from '@amalgam/contracts';
import type { CheckpointDescription, CheckpointTensor, JsonObject } from '@amalgam/tensors';
import type { MergeInputs } from './check-inputs.js';
import type { ModelInput } from './types.js';

/**
 * Float8 weights whose unit another tensor has, read as the weights that they stand for: weight · scale. Formats: transformers' fp8
 * (DeepSeek-V3: `weight_scale_inv`, a float32 for each block of 128 × 128 or for the tensor), compressed-tensors' float-quantized,
 * FBGEMM and ModelOpt (`weight_scale`, for the tensor, for each row or for blocks), ComfyUI's (`scale_weight`, for the tensor).
 */

/** A float8 weight, where its scale lies, and how far an entry of that reaches. */
export interface Scaling {
  weight: CheckpointTensor;
  scale: CheckpointTensor;
  rows: number;
  columns: number;
  blockRows: number;
  blockColumns: number;
}

type Tensors = CheckpointDescription['tensors'];

/** What a weight becomes; it is what such models were made from. */
const MEANT: Dtype = 'BF16';
/** Of DeepSeek-V3, and of transformers where config.json says nothing. */
const BLOCK = [128, 128] as const;
/** In an order: what transformers writes first. */
const SUFFIXES = ['_scale_inv', '_scale'] as const;
/** One number each for activations and for what is cached: a result that is not quantised has no use for them. */
const ACTIVATIONS = /(^|\.)(input_scale|activation_scale|output_scale|scale_input|[qkv]_scale)$/;
/** ComfyUI's mark of a file with scales. */
const MARK = 'scaled_fp8';

/** Does a float8 tensor of this name have a scale, and is it one of the recipe's? Then all of its checkpoint are read with theirs. */
export function hasScaledWeights(
  { tensors }: Pick<CheckpointDescription, 'tensors'>,
  selects: (name: string) => boolean,
) {
  for (const { name, dtype } of tensors.values()) {
    if (isFloat8(dtype) && scaleOf(name, tensors) !== undefined && selects(name)) return true;
  }
  return false;
}

/**
 * Inputs whose float8 weights with scales are seen as bfloat16 weights, and that have no scales any more. `scalings` has what is to be
 * read for each. Where `selects` takes no such weight all stay as they are.
 *
 * @throws AmalgamError `tensor_missing` (config.json says that weights have scales, and one has none), `shape_mismatch` (a scale whose
 * blocks are not the weight's), `dtype_unsupported` (a scale of what is not float8, or of integers), with every problem found
 */
export function readScaled<T extends ModelInput>(
  inputs: MergeInputs<T>,
  selects: (name: string) => boolean,
): MergeInputs<T> {
  const { base, models } = inputs;
  const all = base === null ? models : [base, ...models];
  if (!all.some(({ checkpoint }) => hasScaledWeights(checkpoint, selects))) return inputs;
  const problems: FieldProblem[] = [];
  const read = (input: T, pointer: string): T => {
    const { tensors, scalings } = withScales(input.checkpoint, (code, detail) => {
      problems.push({ code, pointer, detail: `${quote(input.reference)}: ${detail}` });
    });
    return scalings.size === 0 ? input : { ...input, checkpoint: { ...input.checkpoint, tensors }, scalings };
  };
  const seen = {
    ...inputs,
    base: base === null ? null : read(base, '/base'),
    models: models.map((model, i) => read(model, `/models/${i}/model`)),
  };
  if (problems.length > 0) throw problemsError(problems);
  return seen;
}

/** What a plan says of inputs that are read with their scales. */
export function tellScaled({ base, models }: MergeInputs): string[] {
  return [...(base === null ? [] : [base]), ...models].flatMap(({ reference, scalings }) => {
    if (scalings === undefined) return [];
    const count = `${scalings.size} float8 weight${scalings.size === 1 ? '' : 's'}`;
    return [
      `${quote(reference)}: ${count} read with ${scalings.size === 1 ? 'its scale' : 'their scales'}; the result is not quantised`,
    ];
  });
}

/** A config's members that say how weights are quantised, as dotted paths: a result with weights of its own has none of them. */
export function quantisationPaths(config: JsonObject | null): string[] {
  return declarations(config).map(({ path }) => path);
}

function withScales(
  { tensors, config }: CheckpointDescription,
  report: (code: FieldProblem['code'], detail: string) => void,
): { tensors: Tensors; scalings: Map<string, Scaling> } {
  const declared = declarations(config).find(({ value }) => isFloat8Method(value))?.value ?? null;
  const block = blockOf(declared);
  const scalings = new Map<string, Scaling>();
  const used = new Set<string>();
  for (const weight of tensors.values()) {
    const { name, dtype, shape } = weight;
    const scale = scaleOf(name, tensors);
    if (!isFloat8(dtype)) {
      const isMeant = scale !== undefined && (declared !== null || scale.name.endsWith('_scale_inv'));
      if (isMeant && isFloat(dtype)) {
        report(
          'dtype_unsupported',
          `the tensor ${quote(name)} is ${dtype} and has a scale, ${quote(scale.name)}: only float8 has one`,
        );
      }
    } else if (scale === undefined) {
      if (declared === null || shape.length !== 2) continue;
      const detail = `the tensor ${quote(name)} is ${dtype} without a scale, which config.json says such weights have: ${quote(`${name}${SUFFIXES[0]}`)} is missing`;
      report('tensor_missing', detail);
    } else if (!isFloat(scale.dtype)) {
      report(
        'dtype_unsupported',
        `the scale ${quote(scale.name)} is ${scale.dtype}: only scales in floating point are read`,
      );
    } else {
      used.add(scale.name);
      const blocks = blocksOf(shape, weight.elements, scale, block);
      if (blocks !== null) scalings.set(name, { weight, scale, ...blocks });
      else report('shape_mismatch', describeMismatch(weight, scale, block));
    }
  }
  const kept = [...tensors.values()].filter((tensor) => !used.has(tensor.name) && !isLeftOver(tensor));
  const seen = kept.map((tensor) => (scalings.has(tensor.name) ? { ...tensor, dtype: MEANT } : tensor));
  return { tensors: new Map(seen.map((tensor) => [tensor.name, tensor])), scalings };
}

function isFloat8(dtype: Dtype): boolean {
  return dtype === 'F8_E4M3' || dtype === 'F8_E5M2';
}

function isLeftOver({ name, elements }: CheckpointTensor): boolean {
  return name === MARK || (elements === 1 && ACTIVATIONS.test(name));
}

function scaleOf(name: string, tensors: Tensors): CheckpointTensor | undefined {
  for (const suffix of SUFFIXES) {
    const found = tensors.get(`${name}${suffix}`);
    if (found !== undefined) return found;
  }
  return name.endsWith('.weight') ? tensors.get(`${name.slice(0, -'weight'.length)}scale_weight`) : undefined;
}

/** How far the entries of a scale reach: over the whole tensor, over blocks, or over a row each. Null: its shape is none of these. */
function blocksOf(
  shape: readonly number[],
  elements: number,
  scale: CheckpointTensor,
  block: readonly [number, number],
) {
  if (scale.elements === 1) return { rows: 1, columns: elements, blockRows: 1, blockColumns: Math.max(1, elements) };
  const [rows, columns] = shape;
  if (rows === undefined || columns === undefined || shape.length !== 2) return null;
  const [down, across] = scale.shape;
  const grid = gridOf(rows, columns, block);
  if (scale.shape.length === 2 && down === grid[0] && across === grid[1]) {
    return { rows, columns, blockRows: block[0], blockColumns: block[1] };
  }
  const isByRow = down === rows && (scale.shape.length === 1 || (scale.shape.length === 2 && across === 1));
  return isByRow ? { rows, columns, blockRows: 1, blockColumns: Math.max(1, columns) } : null;
}

function gridOf(rows: number, columns: number, block: readonly [number, number]): [number, number] {
  return [Math.ceil(rows / block[0]), Math.ceil(columns / block[1])];
}

function describeMismatch(
  { name, shape }: CheckpointTensor,
  scale: CheckpointTensor,
  block: readonly [number, number],
): string {
  const what = `the scale ${quote(scale.name)} has shape ${showShape(scale.shape)}, but ${quote(name)} has ${showShape(shape)}`;
  const [rows, columns] = shape;
  if (rows === undefined || columns === undefined || shape.length !== 2)
    return `${what}: only matrices have more than one scale`;
  const grid = showShape(gridOf(rows, columns, block));
  return `${what}: blocks of ${block.join(' × ')} take ${grid}, rows ${showShape([rows, 1])}, the whole tensor one number`;
}

interface Declaration {
  path: string;
  value: JsonObject;
}

/** What a config says of quantisation, at its top level or for one of the models in it. */
function declarations(config: JsonObject | null, at = ''): Declaration[] {
  return Object.entries(config ?? {}).flatMap(([key, value]): Declaration[] => {
    if (!isObject(value)) return [];
    if (key === 'quantization_config' || key === 'compression_config') return [{ path: `${at}${key}`, value }];
    return at === '' && key.endsWith('_config') ? declarations(value, `${key}.`) : [];
  });
}

/** Does it say that weights are float8 with scales? */
function isFloat8Method(config: JsonObject): boolean {
  const { quant_method: method, format, quant_algo: algorithm } = config;
  if (method === 'fp8' || method === 'fbgemm_fp8') return true;
  return (
    (method === 'compressed-tensors' && format === 'float-quantized') || (method === 'modelopt' && algorithm === 'FP8')
  );
}

function blockOf(declared: JsonObject | null): readonly [number, number] {
  const groups = isObject(declared?.['config_groups']) ? Object.values(declared['config_groups']) : [];
  const structures = groups.map((group) => {
    const weights = isObject(group) ? group['weights'] : undefined;
    return isObject(weights) ? weights['block_structure'] : undefined;
  });
  return [declared?.['weight_block_size'], ...structures].find(isBlock) ?? BLOCK;
}

function isBlock(value: unknown): value is [number, number] {
  return Array.isArray(value) && value.length === 2 && value.every((size) => Number.isSafeInteger(size) && size > 0);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
