import { join } from 'node:path';
import { type Dtype, dtypeBytes, isAmalgamError, isFloat, type Recipe } from '@amalgam/contracts';
import { fromFloat32, toFloat32, writeSafetensors } from '@amalgam/tensors';
import { describe, expect, test } from 'vitest';
import { planMerge } from '../src/plan.js';
import { decode, input, type Loaded, merge, tempDir } from './support.js';

const VALUES = Float32Array.from({ length: 32 }, (_, i) => (i - 11) * 1.7);

type Model = Record<string, { dtype: Dtype; shape: number[]; data: Uint8Array }>;

/** Whole numbers are any: what counts is which dtype they have. */
function tensor(dtype: Dtype, shape = [4, 8], values = VALUES) {
  const count = shape.reduce((product, size) => product * size, 1);
  const data = isFloat(dtype)
    ? fromFloat32(dtype, values.subarray(0, count))
    : new Uint8Array(count * dtypeBytes(dtype)).fill(7);
  return { dtype, shape, data };
}

const plain: Model = { 'a.weight': tensor('BF16'), 'norm.weight': tensor('BF16', [8]) };

async function models(...list: Model[]): Promise<Loaded[]> {
  const dir = tempDir();
  return Promise.all(
    list.map(async (model, i) => {
      const path = join(dir, `m${i}.safetensors`);
      await writeSafetensors(
        path,
        Object.entries(model).map(([name, content]) => ({ name, ...content })),
      );
      return input(path, `m${i}`);
    }),
  );
}

function refusal(recipe: Omit<Recipe, 'models'>, inputs: { base: Loaded | null; models: Loaded[] }) {
  const { base, models } = inputs;
  const full = {
    ...recipe,
    models: models.map(({ reference }) => ({ model: reference })),
    ...(base && { base: base.reference }),
  };
  try {
    planMerge(full, inputs);
  } catch (error) {
    if (isAmalgamError(error))
      return { code: error.code, detail: error.detail, pointers: error.errors.map((e) => e.pointer) };
    throw error;
  }
  return null;
}

describe('float8 without scales', () => {
  test.each(['F8_E4M3', 'F8_E5M2'] as const)(
    '%s is widened, merged in float32, and written as asked',
    async (dtype) => {
      const other = VALUES.map((x) => x / 3);
      const [a, b] = await models({ w: tensor(dtype) }, { w: tensor(dtype, [4, 8], other) });
      const { contents } = await merge({ method: 'linear', out_dtype: 'bfloat16' }, null, [a!, b!]);
      const tensors = await decode(contents.get('model.safetensors')!);
      const stored = (values: Float32Array) => toFloat32(dtype, fromFloat32(dtype, values));
      const [x, y] = [stored(VALUES), stored(other)];
      const f = Math.fround;
      const mean = x.map((value, i) => f(f(value * f(0.5)) + f(y[i]! * f(0.5))));
      expect(tensors.get('w')!.dtype).toBe('BF16');
      expect([...toFloat32('BF16', tensors.get('w')!.data)]).toEqual([...toFloat32('BF16', fromFloat32('BF16', mean))]);
    },
  );
});

describe('quantised weights are refused, naming weight and scale', () => {
  const cases: [string, Model, string, string][] = [
    [
      '8 bits with a scale',
      { 'a.weight': tensor('I8'), 'a.weight_scale': tensor('F32', [1]) },
      'a.weight',
      'a.weight_scale',
    ],
    ['GPTQ and AWQ', { 'a.qweight': tensor('I32'), 'a.scales': tensor('F16', [1, 8]) }, 'a.qweight', 'a.scales'],
    [
      'bitsandbytes, 4 bits',
      { 'a.weight': tensor('U8', [32, 1]), 'a.weight.absmax': tensor('F32', [1]) },
      'a.weight',
      'a.weight.absmax',
    ],
    ['bitsandbytes, 8 bits', { 'a.weight': tensor('I8'), 'a.SCB': tensor('F32', [4]) }, 'a.weight', 'a.SCB'],
    ['MXFP4', { 'x.up_blocks': tensor('U8'), 'x.up_scales': tensor('U8', [4, 1]) }, 'x.up_blocks', 'x.up_scales'],
  ];

  test.each(cases)('%s', async (_, quantised, weight, scale) => {
    const [base, model] = await models(plain, { ...quantised, 'norm.weight': plain['norm.weight']! });
    for (const inputs of [
      { base: base!, models: [model!] },
      { base: model!, models: [base!] },
    ]) {
      const found = refusal({ method: 'task_arithmetic' }, inputs);
      expect(found?.code).toBe('dtype_unsupported');
      expect(found?.detail).toContain(`"m1": the tensor "${weight}" is stored in`);
      expect(found?.detail).toContain(`with its scale in "${scale}"`);
      expect(found?.pointers).toEqual([inputs.base === model ? '/base' : '/models/0/model']);
    }
  });

  const mxfp4: Model = { ...cases.find(([what]) => what === 'MXFP4')![1], 'norm.weight': plain['norm.weight']! };

  test('not where they are left out of the merge', async () => {
    const [base, model] = await models(mxfp4, mxfp4);
    const recipe = { method: 'task_arithmetic', merge: { include: ['norm.*'] } };
    expect(refusal(recipe, { base: base!, models: [model!] })).toBeNull();
  });

  test('not by a passthrough that leaves every number as it is', async () => {
    const [model] = await models(mxfp4);
    const { contents } = await merge({ method: 'passthrough' }, null, [model!]);
    const tensors = await decode(contents.get('model.safetensors')!);
    expect(tensors.get('x.up_blocks')!.data).toEqual(mxfp4['x.up_blocks']!.data);
    expect(refusal({ method: 'passthrough', out_dtype: 'bfloat16' }, { base: null, models: [model!] })?.code).toBe(
      'dtype_unsupported',
    );
  });
});
