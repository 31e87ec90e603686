import { isAmalgamError, type Recipe } from '@amalgam/contracts';
import { defaultThreads } from '@amalgam/kernels';
import { describe, expect, test } from 'vitest';
import { describePlan } from '../src/describe-plan.js';
import { planMerge } from '../src/plan.js';
import { storedIn } from '../src/source.js';
import { input, type Loaded, type Model, tempDir, writeModel } from './support.js';

const plain: Model = {
  'a.weight': { dtype: 'F32', shape: [4, 2], values: new Float32Array(8) },
  'b.weight': { dtype: 'F32', shape: [3], values: new Float32Array(3) },
};

async function models(...list: Model[]): Promise<Loaded[]> {
  const dir = tempDir();
  return Promise.all(list.map(async (model, i) => input(await writeModel(dir, `m${i}`, model), `m${i}`)));
}

function refusal(work: () => unknown) {
  try {
    work();
  } catch (error) {
    if (isAmalgamError(error)) return { code: error.code, detail: error.detail, errors: error.errors };
    throw error;
  }
  throw new Error('nothing was refused');
}

const recipe = (more: Partial<Recipe> = {}): Recipe => ({
  method: 'ties',
  base: 'm0',
  models: [{ model: 'm1' }],
  ...more,
});

describe('a plan refuses, naming what is wrong', () => {
  test('shapes that differ, with tensor and both shapes', async () => {
    const [base, other] = await models(plain, { ...plain, 'a.weight': { ...plain['a.weight']!, shape: [2, 4] } });
    expect(refusal(() => planMerge(recipe(), { base: base!, models: [other!] }))).toEqual({
      code: 'shape_mismatch',
      detail: 'tensor "a.weight" has shape [4, 2] in "m0" but [2, 4] in "m1"',
      errors: [{ pointer: '/models/0/model', detail: 'tensor "a.weight" has shape [4, 2] in "m0" but [2, 4] in "m1"' }],
    });
  });

  test('a tensor that a model lacks, and every further problem', async () => {
    const { 'a.weight': a } = plain;
    const [base, other] = await models({ ...plain, c: a! }, { c: { ...a!, shape: [8] } });
    const { code, detail, errors } = refusal(() => planMerge(recipe(), { base: base!, models: [other!] }));
    expect(code).toBe('tensor_missing');
    expect(detail).toBe('tensor "a.weight" of "m0" is missing in "m1" (and 2 more)');
    expect(errors).toHaveLength(3);
  });

  test('a tensor of integers against one of floats', async () => {
    const ids = (dtype: 'I64' | 'F32') => ({ dtype, shape: [2], values: [1, 2] });
    const [base, other] = await models({ ...plain, ids: ids('F32') }, { ...plain, ids: ids('I64') });
    const { code, detail } = refusal(() => planMerge(recipe(), { base: base!, models: [other!] }));
    expect([code, detail]).toEqual(['dtype_unsupported', 'tensor "ids" is F32 in "m0" but I64 in "m1"']);
  });

  test('a tensor of integers that the recipe names; those that a glob takes along are copied, and that is said', async () => {
    const ids = { dtype: 'I64' as const, shape: [2], values: [1, 2] };
    const [base, other] = await models({ ...plain, ids }, { ...plain, ids });
    const planOf = (include: string[]) =>
      planMerge({ ...recipe(), merge: { include } }, { base: base!, models: [other!] });
    expect(refusal(() => planOf(['*.weight', 'ids']))).toEqual({
      code: 'dtype_unsupported',
      detail: 'tensor "ids" is I64: only floating point is merged',
      errors: [{ pointer: '/merge/include/1', detail: 'tensor "ids" is I64: only floating point is merged' }],
    });
    expect(refusal(() => planOf(['id?'])).detail).toBe('no tensor is left to merge');
    expect(planOf(['*']).warnings).toContain('1 tensor (ids) not floating point: copied from the base');
  });

  test('a base among the models where task vectors are taken, and a model that is there twice', async () => {
    const [base, other] = await models(plain, plain);
    const soup: Recipe = { method: 'linear', base: 'm0', models: [{ model: 'm0' }, { model: 'm1' }] };
    expect(planMerge(soup, { base: base!, models: [base!, other!] }).merged).toHaveLength(2);
    expect(refusal(() => planMerge(recipe(), { base: base!, models: [base!] })).code).toBe('duplicate_model');
    const twice = recipe({ models: [{ model: 'm1' }, { model: 'm1' }] });
    const { code, detail, errors } = refusal(() => planMerge(twice, { base: base!, models: [other!, other!] }));
    expect([code, detail]).toEqual(['duplicate_model', '"m1" is the same checkpoint as models/0']);
    expect(errors[0]?.pointer).toBe('/models/1/model');
  });

  test.each([
    [{ method: 'tise' }, 'unknown_method', 'did you mean "ties"?', '/method'],
    [{ parameters: { density: 0 } }, 'invalid_recipe', 'must be > 0, not 0', '/parameters/density'],
    [{ parameters: { density: 1.2 } }, 'invalid_recipe', 'must be <= 1, not 1.2', '/parameters/density'],
    [
      { parameters: { lambda: Number.NaN } },
      'invalid_recipe',
      'must be a finite number, not NaN',
      '/parameters/lambda',
    ],
    [{ parameters: { lambda: 1e39 } }, 'invalid_recipe', 'must be <= 3.4028234663852886e+38', '/parameters/lambda'],
    [{ parameters: { densty: 0.5 } }, 'invalid_recipe', 'did you mean "density"?', '/parameters/densty'],
    [{ parameters: { scope: 'layer' } }, 'invalid_recipe', 'must be one of model, tensor', '/parameters/scope'],
    [
      { models: [{ model: 'm1', parameters: { weight: Number.NaN } }] },
      'invalid_recipe',
      'must be a finite number, not NaN',
      '/models/0/parameters/weight',
    ],
    [
      { models: [{ model: 'm1', parameters: { lambda: 1 } }] },
      'invalid_recipe',
      'unknown key "lambda"',
      '/models/0/parameters/lambda',
    ],
    [{ method: 'linear', parameters: { weight: 0 } }, 'invalid_recipe', 'weights sum to 0', '/parameters/normalize'],
    [{ merge: { exclude: ['*'] } }, 'invalid_recipe', 'no tensor is left to merge', '/merge'],
  ] as const)('%j', async (more, code, detail, pointer) => {
    const [base, other] = await models(plain, plain);
    const found = refusal(() => planMerge(recipe(more as Partial<Recipe>), { base: base!, models: [other!] }));
    expect(found.code).toBe(code);
    expect(found.detail).toContain(detail);
    expect(found.errors[0]?.pointer).toBe(pointer);
  });

  test('a method that needs a base', async () => {
    const [one] = await models(plain);
    const { code, errors } = refusal(() =>
      planMerge({ method: 'ties', models: [{ model: 'm0' }] }, { base: null, models: [one!] }),
    );
    expect([code, errors]).toEqual(['invalid_recipe', [{ pointer: '/base', detail: 'ties needs a base' }]]);
  });

  test('a memory bound that nothing fits into, saying what would', async () => {
    const [base, other] = await models(plain, plain);
    const { code, detail } = refusal(() =>
      planMerge(recipe(), { base: base!, models: [other!] }, { memoryBytes: 100_000_000, threads: 2 }),
    );
    expect(code).toBe('memory_limit');
    expect(detail).toMatch(/merging 1 models on 2 threads takes \d+ MB, but the limit is 100 MB/);
  });
});

test('threads are as many as cores and memory allow, unless a number is asked for', async () => {
  const [base, other] = await models(plain, plain);
  const inputs = { base: base!, models: [other!] };
  // Room for one thread, whatever the machine has.
  const narrow = { memoryBytes: 290_000_000 };
  expect(planMerge(recipe(), inputs, narrow).threads).toBe(1);
  expect(() => planMerge(recipe(), inputs, { ...narrow, threads: 2 })).toThrow('on 2 threads takes');
  expect(planMerge(recipe(), inputs, { memoryBytes: 100_000_000_000 }).threads).toBe(defaultThreads());
});

describe('a plan says what will be there', () => {
  test('defaults filled in, bytes, files; the base’s dtypes unless asked for others', async () => {
    const half: Model = { ...plain, ids: { dtype: 'I64', shape: [2], values: [1, 2] } };
    const [base, other] = await models(half, {
      ...plain,
      head: { dtype: 'F32', shape: [5], values: new Float32Array(5) },
    });
    const plan = planMerge(recipe({ out_dtype: 'bfloat16' }), { base: base!, models: [other!] });
    const described = describePlan(plan);
    expect(described.recipe.parameters).toMatchObject({ lambda: 1, scope: 'model', combine: 'mean' });
    expect(described.recipe.models[0]?.parameters).toEqual({ weight: 1, density: 0.2 });
    expect(described.tensors).toEqual({ merged: 2, copied: 1, heads: 1 });
    expect(described.parameters).toBe(11);
    expect(described.files.map((file) => file.path)).toEqual(['model.safetensors', 'heads/m1.safetensors']);
    expect(plan.merged.map(({ dtype }) => dtype)).toEqual(['BF16', 'BF16']);
    expect(plan.copied.map(({ dtype }) => dtype)).toEqual(['I64']);
    // two passes over base and model, then the copies
    expect(described.bytes_read).toBe(2 * 2 * 11 * 4 + 16 + 20);
    expect(described.warnings).toHaveLength(2);
  });

  test('globs keep tensors out: the base’s version stays in the model, each model’s in its head', async () => {
    const [base, other] = await models(plain, plain);
    const plan = planMerge(recipe({ merge: { exclude: ['b.*'] } }), { base: base!, models: [other!] });
    expect(plan.merged.map(({ name }) => name)).toEqual(['a.weight']);
    expect(plan.copied.map(({ name, from }) => [name, ...storedIn(from).map(({ input }) => input)])).toEqual([
      ['b.weight', 0],
    ]);
    expect(plan.heads.map(({ name, from }) => [name, ...storedIn(from).map(({ input }) => input)])).toEqual([
      ['b.weight', 1],
    ]);
  });

  test('heads of models whose names differ in case only have files of their own, and the notes name them', async () => {
    const head = (n: number): Model => ({ ...plain, head: { dtype: 'F32', shape: [n], values: new Float32Array(n) } });
    const [base, one, two] = await models(plain, head(1), head(2));
    const plan = planMerge(recipe({ models: [{ model: 'm1' }, { model: 'm2' }] }), {
      base: base!,
      models: [
        { ...one!, name: 'task' },
        { ...two!, name: 'Task' },
      ],
    });
    const paths = ['heads/task.safetensors', 'heads/Task-2.safetensors'];
    expect(plan.files.slice(1).map(({ path }) => path)).toEqual(paths);
    expect(plan.warnings.map((warning) => warning.split('kept in ')[1])).toEqual(paths);
  });

  test('shards hold at most shard_bytes of tensors, in order of name, and every byte has one place', async () => {
    const many: Model = Object.fromEntries(
      Array.from({ length: 9 }, (_, i) => [
        `t${i}`,
        { dtype: i % 2 ? 'F16' : 'F32', shape: [100 + i], values: new Float32Array(100 + i) },
      ]),
    );
    const [base, other] = await models(many, many);
    const plan = planMerge(recipe({ shard_bytes: 1024 }), { base: base!, models: [other!] });
    expect(plan.files.map(({ path }) => path).slice(0, 2)).toEqual([
      'model-00001-of-00004.safetensors',
      'model-00002-of-00004.safetensors',
    ]);
    plan.files.forEach((file, index) => {
      const tensors = plan.merged.filter((tensor) => tensor.file === index).sort((a, b) => a.begin - b.begin);
      let at = file.header.length;
      for (const tensor of tensors) {
        expect(tensor.begin).toBe(at);
        expect(tensor.begin % (tensor.dtype === 'F32' ? 4 : 2)).toBe(0);
        at += tensor.bytes;
      }
      expect(at).toBe(file.bytes);
      expect(at - file.header.length).toBeLessThanOrEqual(1024);
    });
  });
});
