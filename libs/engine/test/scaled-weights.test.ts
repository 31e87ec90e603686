import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Dtype, isAmalgamError, type Recipe } from '@amalgam/contracts';
import { fromFloat32, localFolder, toFloat32, writeSafetensors } from '@amalgam/tensors';
import { describe, expect, test } from 'vitest';
import { writeArtifacts } from '../src/artifacts.js';
import { executeMerge } from '../src/execute.js';
import { planMerge } from '../src/plan.js';
import { decode, input, type Loaded, tempDir, tunedRecipe } from './support.js';

const f = Math.fround;

type Tensors = Record<string, { dtype: Dtype; shape: number[]; data: Uint8Array }>;

function wave(shape: number[], step: number, size = 1): Float32Array {
  const count = shape.reduce((product, n) => product * n, 1);
  return Float32Array.from({ length: count }, (_, i) => size * Math.sin(i * step + step));
}

function tensor(dtype: Dtype, shape: number[], values = wave(shape, 0.37)) {
  return { dtype, shape, data: fromFloat32(dtype, values) };
}

const valuesOf = ({ dtype, data }: Tensors[string]) => toFloat32(dtype, data);
const roundTo = (dtype: Dtype, values: Float32Array) => toFloat32(dtype, fromFloat32(dtype, values));

/** Weights by the definition: number times scale of the block, in float32. */
function dequantise(weight: Tensors[string], scale: Tensors[string], [blockRows, blockColumns]: [number, number]) {
  const [, columns] = weight.shape as [number, number];
  const across = Math.ceil(columns / blockColumns);
  const units = valuesOf(scale);
  return valuesOf(weight).map((x, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    return f(x * units[Math.floor(i / blockRows) * across + Math.floor(j / blockColumns)]!);
  });
}

const FP8_CONFIG = {
  architectures: ['DeepseekV3ForCausalLM'],
  hidden_size: 150,
  torch_dtype: 'bfloat16',
  quantization_config: {
    quant_method: 'fp8',
    fmt: 'e4m3',
    weight_block_size: [128, 128],
    activation_scheme: 'dynamic',
  },
  vocab_size: 11,
};
const WEIGHT = 'model.layers.0.mlp.weight';

/** As DeepSeek-V3's: no dimension is a multiple of the block. */
function fp8(step = 0.37): Tensors {
  return {
    [WEIGHT]: tensor('F8_E4M3', [259, 150], wave([259, 150], step, 400)),
    [`${WEIGHT}_scale_inv`]: tensor('F32', [3, 2], wave([3, 2], 1 + step, 1e-3)),
    'model.norm.weight': tensor('BF16', [150], wave([150], step)),
  };
}

function bf16(step = 0.11): Tensors {
  return { [WEIGHT]: tensor('BF16', [259, 150], wave([259, 150], step)), 'model.norm.weight': tensor('BF16', [150]) };
}

async function folder(name: string, tensors: Tensors, config?: object): Promise<Loaded> {
  const path = join(tempDir(), name);
  mkdirSync(path);
  const list = Object.entries(tensors).map(([tensor, content]) => ({ name: tensor, ...content }));
  await writeSafetensors(join(path, 'model.safetensors'), list);
  if (config !== undefined) writeFileSync(join(path, 'config.json'), JSON.stringify(config, null, 2));
  return input(path, name);
}

function planOf(recipe: Omit<Recipe, 'models' | 'base'>, base: Loaded | null, models: Loaded[], threads = 1) {
  const full: Recipe = {
    ...recipe,
    ...(base !== null && { base: base.reference }),
    models: models.map(({ reference }) => ({ model: reference })),
  };
  return planMerge(full, { base, models }, { threads, chunkElements: 2 ** 13 });
}

async function merge(recipe: Omit<Recipe, 'models' | 'base'>, base: Loaded | null, models: Loaded[], threads = 1) {
  const plan = planOf(recipe, base, models, threads);
  const outDir = tempDir();
  const all = base === null ? models : [base, ...models];
  const pathOf = (i: number, file: string) => join(all[i]!.path, file);
  const result = await executeMerge(plan, { pathOf, outDir, digests: false });
  await writeArtifacts(plan, result, { outDir, folderOf: (i) => localFolder(all[i]!.path), digestOf: () => null });
  const bytes = readFileSync(join(outDir, 'model.safetensors'));
  const config = () => JSON.parse(readFileSync(join(outDir, 'config.json'), 'utf8')) as Record<string, unknown>;
  return { plan, tensors: await decode(bytes), bytes, config };
}

function refusal(recipe: Omit<Recipe, 'models' | 'base'>, base: Loaded | null, models: Loaded[]) {
  try {
    planOf(recipe, base, models);
  } catch (error) {
    if (isAmalgamError(error)) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('float8 with a scale for each block', () => {
  test('is merged as the weights that it stands for, with a model that is not quantised', async () => {
    const [quantised, plain] = [fp8(), bf16()];
    const models = [await folder('a', quantised, FP8_CONFIG), await folder('b', plain)];
    const { tensors, config } = await merge({ method: 'linear', out_dtype: 'float32' }, null, models);
    const own = dequantise(quantised[WEIGHT]!, quantised[`${WEIGHT}_scale_inv`]!, [128, 128]);
    const other = valuesOf(plain[WEIGHT]!);
    expect(tensors.get(WEIGHT)!.values).toEqual(own.map((x, i) => f(f(x * 0.5) + f(other[i]! * 0.5))));
    expect([...tensors.keys()].sort()).toEqual([WEIGHT, 'model.norm.weight']);
    const { quantization_config: _, ...rest } = FP8_CONFIG;
    expect(config()).toEqual({ ...rest, torch_dtype: 'float32' });
  });

  test('is written in bfloat16 where the recipe names no dtype', async () => {
    const [base, model] = [fp8(), fp8(0.53)];
    const inputs = [await folder('base', base, FP8_CONFIG), await folder('a', model, FP8_CONFIG)] as const;
    const { tensors } = await merge({ method: 'task_arithmetic', parameters: { lambda: 0.5 } }, inputs[0], [inputs[1]]);
    const [x, y] = [base, model].map((own) => dequantise(own[WEIGHT]!, own[`${WEIGHT}_scale_inv`]!, [128, 128]));
    const expected = x!.map((value, i) => f(value + f(f(y![i]! - value) * f(0.5))));
    expect(tensors.get(WEIGHT)!.dtype).toBe('BF16');
    expect(tensors.get(WEIGHT)!.values).toEqual(roundTo('BF16', expected));
  });

  test('is told by the plan, for each input that is read so', async () => {
    const models = [await folder('a', fp8(), FP8_CONFIG), await folder('b', bf16())];
    expect(planOf({ method: 'linear' }, null, models).warnings).toEqual([
      '"a": 1 float8 weight read with its scale; the result is not quantised',
    ]);
  });

  test('can have an adapter applied to it', async () => {
    const quantised = fp8();
    const base = await folder('base', quantised, FP8_CONFIG);
    const path = join(tempDir(), 'adapter');
    mkdirSync(path);
    const module = `base_model.model.${WEIGHT.slice(0, -'.weight'.length)}`;
    const [a, b] = [tensor('F32', [1, 150], wave([1, 150], 0.9)), tensor('F32', [259, 1], wave([259, 1], 0.6))];
    await writeSafetensors(join(path, 'adapter_model.safetensors'), [
      { name: `${module}.lora_A.weight`, ...a },
      { name: `${module}.lora_B.weight`, ...b },
    ]);
    const settings = { peft_type: 'LORA', r: 1, lora_alpha: 2, target_modules: ['mlp'] };
    writeFileSync(join(path, 'adapter_config.json'), JSON.stringify(settings));
    const { tensors } = await merge({ method: 'linear', out_dtype: 'float32' }, base, [await input(path, 'adapter')]);
    const [left, right] = [valuesOf(b), valuesOf(a)];
    const own = dequantise(quantised[WEIGHT]!, quantised[`${WEIGHT}_scale_inv`]!, [128, 128]);
    const expected = own.map((x, at) => f(x + f(f(left[Math.floor(at / 150)]! * right[at % 150]!) * 2)));
    expect(tensors.get(WEIGHT)!.values).toEqual(expected);
  });

  test('leaves no word of quantisation in the config of a model that holds another', async () => {
    const { quantization_config, ...rest } = FP8_CONFIG;
    const nested = {
      model_type: 'mistral3',
      text_config: { ...rest, quantization_config },
      vision_config: { depth: 2 },
    };
    const { config } = await merge({ method: 'linear' }, null, [await folder('a', fp8(), nested)]);
    expect(config()).toEqual({ ...nested, text_config: rest });
  });

  test('gives the same bytes on any number of threads', async () => {
    const models = [await folder('a', fp8(), FP8_CONFIG), await folder('b', fp8(0.53), FP8_CONFIG)];
    const [one, three] = [
      await merge({ method: 'linear' }, null, models),
      await merge({ method: 'linear' }, null, models, 3),
    ];
    expect(one.bytes.equals(three.bytes)).toBe(true);
  });

  test('is brought to bfloat16 by passthrough with out_dtype, and also where the globs keep it out', async () => {
    const quantised = { ...fp8(), 'model.layers.1.mlp.weight': tensor('F8_E4M3', [4, 8]) };
    const full: Tensors = {
      ...quantised,
      'model.layers.1.mlp.weight_scale_inv': tensor('F32', [1, 1], Float32Array.of(0.5)),
    };
    const recipe = { method: 'passthrough', out_dtype: 'bfloat16' as const, merge: { exclude: ['model.layers.1.*'] } };
    const { tensors } = await merge(recipe, null, [await folder('a', full, FP8_CONFIG)]);
    const own = dequantise(full[WEIGHT]!, full[`${WEIGHT}_scale_inv`]!, [128, 128]);
    expect(tensors.get(WEIGHT)!.values).toEqual(roundTo('BF16', own));
    const left = valuesOf(full['model.layers.1.mlp.weight']!).map((x) => x * 0.5);
    expect(tensors.get('model.layers.1.mlp.weight')).toMatchObject({ dtype: 'BF16', values: roundTo('BF16', left) });
  });

  test('stays as it is, config and all, in a passthrough of quantised models and where no such weight is merged', async () => {
    const quantised = fp8();
    const model = await folder('a', quantised, FP8_CONFIG);
    const { tensors, config } = await merge({ method: 'passthrough' }, null, [model]);
    expect(tensors.get(WEIGHT)!.data).toEqual(quantised[WEIGHT]!.data);
    expect(tensors.has(`${WEIGHT}_scale_inv`)).toBe(true);
    expect(config()).toEqual(FP8_CONFIG);
    const norms = { method: 'linear', merge: { include: ['*norm*'] } };
    const other = await merge(norms, null, [model, await folder('b', fp8(0.53), FP8_CONFIG)]);
    expect(other.tensors.get(WEIGHT)!.data).toEqual(quantised[WEIGHT]!.data);
  });

  test('costs a plan its scales, and a plain model nothing', async () => {
    const [quantised, plain] = [await folder('a', fp8(), FP8_CONFIG), await folder('b', bf16())];
    const read = planOf({ method: 'linear' }, null, [quantised]);
    expect(read.bytesRead).toBe(259 * 150 + 3 * 2 * 4 + 150 * 2);
    const [before, after] = [
      planOf({ method: 'linear' }, null, [plain]),
      planOf({ method: 'linear' }, null, [plain, quantised]),
    ];
    expect(after.memoryBytes - before.memoryBytes).toBeGreaterThan(2 ** 20);
  });
});

describe('other scales of float8', () => {
  const cases: [string, string, number[], [number, number], object | undefined][] = [
    ['compressed-tensors, a row each', 'weight_scale', [5, 1], [1, 9], undefined],
    ['FBGEMM, a row each', 'weight_scale', [5], [1, 9], undefined],
    ['ModelOpt, the whole tensor', 'weight_scale', [], [5, 9], undefined],
    ['ComfyUI, the whole tensor', 'scale_weight', [1], [5, 9], undefined],
    [
      'compressed-tensors, blocks of its own',
      'weight_scale',
      [3, 3],
      [2, 4],
      {
        quantization_config: {
          quant_method: 'compressed-tensors',
          format: 'float-quantized',
          config_groups: { group_0: { weights: { num_bits: 8, strategy: 'block', block_structure: [2, 4] } } },
        },
      },
    ],
  ];
  test.each(cases)('%s', async (_, suffix, shape, block, config) => {
    const weight = tensor('F8_E4M3', [5, 9], wave([5, 9], 0.3, 90));
    const scale = tensor('BF16', shape, wave(shape, 0.7));
    const left = { 'a.input_scale': tensor('F32', [1]), 'self_attn.k_scale': tensor('F32', []) };
    const model = await folder('a', { 'a.weight': weight, [`a.${suffix}`]: scale, ...left }, config);
    const { tensors } = await merge({ method: 'linear', out_dtype: 'float32' }, null, [model]);
    expect(tensors.get('a.weight')!.values).toEqual(dequantise(weight, scale, block));
    expect([...tensors.keys()]).toEqual(['a.weight']);
  });
});

describe('what cannot be read is refused before anything is', () => {
  const norm = { 'norm.weight': tensor('BF16', [8]) };
  const weight = tensor('F8_E4M3', [5, 9]);

  test('a scale that config.json speaks of and that is missing', async () => {
    const { [`${WEIGHT}_scale_inv`]: scale, ...others } = fp8();
    const model = await folder(
      'a',
      { ...others, 'b.weight': weight, 'b.weight_scale_inv': tensor('F32', [1, 1]) },
      FP8_CONFIG,
    );
    const error = refusal({ method: 'linear' }, null, [model]);
    expect(scale).toBeDefined();
    expect(error.code).toBe('tensor_missing');
    expect(error.detail).toBe(
      `"a": the tensor "${WEIGHT}" is F8_E4M3 without a scale, which config.json says such weights have: "${WEIGHT}_scale_inv" is missing`,
    );
    expect(error.errors.map(({ pointer }) => pointer)).toEqual(['/models/0/model']);
  });

  test('a scale of another shape', async () => {
    const model = await folder(
      'a',
      { ...norm, 'a.weight': weight, 'a.weight_scale_inv': tensor('F32', [2, 2]) },
      FP8_CONFIG,
    );
    const { code, detail } = refusal({ method: 'linear' }, null, [model]);
    expect(code).toBe('shape_mismatch');
    expect(detail).toBe(
      '"a": the scale "a.weight_scale_inv" has shape [2, 2], but "a.weight" has [5, 9]: ' +
        'blocks of 128 × 128 take [1, 1], rows [5, 1], the whole tensor one number',
    );
  });

  test('a scale of integers, and one of a tensor that is not float8', async () => {
    const other = { 'b.weight': weight, 'b.weight_scale_inv': tensor('F32', [1, 1]) };
    const bytes = { dtype: 'U8' as const, shape: [5, 1], data: new Uint8Array(5) };
    const exponents = await folder('a', { ...other, 'a.weight': weight, 'a.weight_scale': bytes });
    expect(refusal({ method: 'linear' }, null, [exponents])).toMatchObject({
      code: 'dtype_unsupported',
      detail: '"a": the scale "a.weight_scale" is U8: only scales in floating point are read',
    });
    const wide = await folder('a', {
      ...other,
      'a.weight': tensor('BF16', [5, 9]),
      'a.weight_scale_inv': tensor('F32', [1, 1]),
    });
    expect(refusal({ method: 'linear' }, null, [wide])).toMatchObject({
      code: 'dtype_unsupported',
      detail: '"a": the tensor "a.weight" is BF16 and has a scale, "a.weight_scale_inv": only float8 has one',
    });
  });

  test('learning of coefficients, which holds graphs against the numbers of the files', async () => {
    const [base, model] = [await folder('base', bf16()), await folder('a', fp8(), FP8_CONFIG)];
    const recipe = tunedRecipe({}, base, [model]);
    expect(() => planMerge(recipe, { base, models: [model] })).toThrow(`the tensor "${WEIGHT}" is stored in F8_E4M3`);
  });

  test('extraction of an adapter, which takes the numbers as they are', async () => {
    const [base, model] = [await folder('base', bf16()), await folder('a', fp8(), FP8_CONFIG)];
    const { code, detail } = refusal({ method: 'extract_lora', parameters: { rank: 2 } }, base, [model]);
    expect(code).toBe('dtype_unsupported');
    expect(detail).toContain(`the tensor "${WEIGHT}" is stored in F8_E4M3 with its scale in "${WEIGHT}_scale_inv"`);
  });
});
