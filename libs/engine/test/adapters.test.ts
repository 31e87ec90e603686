import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAmalgamError, type Recipe } from '@amalgam/contracts';
import { fromFloat32, toFloat32, writeSafetensors } from '@amalgam/tensors';
import { describe, expect, test } from 'vitest';
import type { MergeInputs } from '../src/check-inputs.js';
import type { ExecuteOptions } from '../src/execute.js';
import { executeMerge, listInputs, planMerge } from '../src/index.js';
import type { PlanOptions } from '../src/types.js';
import { decode, input, type Loaded, type Model, tempDir, writeModel } from './support.js';

const f = Math.fround;
const [ROWS, COLUMNS, RANK] = [37, 70, 3];
const NAMES = ['h.0.q.weight', 'h.1.q.weight', 'norm.weight'];

/** Deterministic values that bfloat16 has. */
function wave(n: number, seed: number): Float32Array {
  const values = Float32Array.from({ length: n }, (_, i) => Math.sin(seed + i * 1.7) * 2);
  return toFloat32('BF16', fromFloat32('BF16', values));
}

function model(seed: number): Model {
  const [first, second, norm] = NAMES as [string, string, string];
  return {
    [first]: { dtype: 'BF16', shape: [ROWS, COLUMNS], values: wave(ROWS * COLUMNS, seed) },
    [second]: { dtype: 'BF16', shape: [ROWS, COLUMNS], values: wave(ROWS * COLUMNS, seed + 0.3) },
    [norm]: { dtype: 'F32', shape: [COLUMNS], values: wave(COLUMNS, seed + 0.6) },
  };
}

/** An adapter of both matrices whose norm is trained along; A, B and the norm it was written with. */
async function writeAdapter(name: string, seed: number) {
  const dir = join(tempDir(), name);
  mkdirSync(dir);
  const config = { peft_type: 'LORA', r: RANK, lora_alpha: 2 * RANK, modules_to_save: ['norm'] };
  writeFileSync(join(dir, 'adapter_config.json'), JSON.stringify(config));
  const factors = [0, 1].map((layer) => ({
    a: wave(RANK * COLUMNS, seed + layer),
    b: wave(ROWS * RANK, seed + layer + 0.5),
  }));
  const norm = wave(COLUMNS, seed + 9);
  const tensor = (path: string, shape: number[], values: Float32Array) => {
    return { name: `base_model.model.${path}`, dtype: 'F32' as const, shape, data: fromFloat32('F32', values) };
  };
  await writeSafetensors(join(dir, 'adapter_model.safetensors'), [
    ...factors.flatMap(({ a, b }, layer) => [
      tensor(`h.${layer}.q.lora_A.weight`, [RANK, COLUMNS], a),
      tensor(`h.${layer}.q.lora_B.weight`, [ROWS, RANK], b),
    ]),
    tensor('norm.weight', [COLUMNS], norm),
  ]);
  return { loaded: await input(dir, name), factors, norm };
}

type Adapter = Awaited<ReturnType<typeof writeAdapter>>;

/** The full model that an adapter makes of another: sums in float32, k ascending, then the scale 2, then the addition. */
function applied(own: Model, { factors, norm }: Adapter): Model {
  const result: Model = { 'norm.weight': { dtype: 'F32', shape: [COLUMNS], values: norm } };
  factors.forEach(({ a, b }, layer) => {
    const name = `h.${layer}.q.weight`;
    const { shape, values } = own[name]!;
    const dense = Float32Array.from(values, (x, at) => {
      const [i, j] = [Math.floor(at / COLUMNS), at % COLUMNS];
      let sum = 0;
      for (let k = 0; k < RANK; k++) sum = f(sum + f(b[i * RANK + k]! * a[k * COLUMNS + j]!));
      return f(x + f(sum * 2));
    });
    result[name] = { dtype: 'F32', shape, values: dense };
  });
  return result;
}

async function run(
  recipe: Omit<Recipe, 'models' | 'base'>,
  inputs: MergeInputs<Loaded>,
  options: PlanOptions & Partial<ExecuteOptions> = {},
) {
  const full: Recipe = {
    ...recipe,
    ...(inputs.base !== null && { base: inputs.base.reference }),
    models: inputs.models.map(({ reference }, i) => {
      const adapter = inputs.adapters?.[i] ?? null;
      return { model: reference, ...(adapter !== null && { adapter: adapter.reference }) };
    }),
  };
  const plan = planMerge(full, inputs, options);
  const all = listInputs(inputs);
  const outDir = tempDir();
  const { files, report } = await executeMerge(plan, {
    outDir,
    pathOf: (at, file) => (all[at]!.path.endsWith('.safetensors') ? all[at]!.path : join(all[at]!.path, file)),
    ...options,
  });
  return { plan, files, report, outDir };
}

async function scene() {
  const dir = tempDir();
  const [own, other] = [model(1), model(2)];
  const adapters = [await writeAdapter('one', 3), await writeAdapter('two', 4)] as const;
  const load = async (name: string, values: Model) => input(await writeModel(dir, name, values), name);
  return {
    base: await load('base', own),
    other: await load('other', other),
    one: adapters[0].loaded,
    two: adapters[1].loaded,
    /** What stands for base+one, base+two and other+two. */
    dense: await Promise.all([
      load('dense-one', applied(own, adapters[0])),
      load('dense-two', applied(own, adapters[1])),
      load('dense-other', applied(other, adapters[1])),
    ]),
  };
}

describe('an adapter that is applied while it is read', () => {
  const ways = [
    { threads: 1 },
    { threads: 2, chunkElements: 2048 },
    { threads: 2, chunkElements: 4096, memoryBytes: 600_000_000 },
  ];

  test.each(['linear', 'ties', 'dare_ties', 'della', 'slerp', 'model_stock'])(
    '%s gives the bytes that full models give, for any threads and chunks',
    async (method) => {
      const { base, other, one, two, dense } = await scene();
      const expected = await run({ method }, { base, models: [dense[0], dense[2]] }, { threads: 1 });
      for (const way of ways) {
        // An adapter among the models stands for the base with it; one beside a model is applied to that.
        const found = await run({ method }, { base, models: [one, other], adapters: [null, two] }, way);
        expect(found.files).toEqual(expected.files);
        expect(found.report.tensors).toEqual(expected.report.tensors);
      }
    },
  );

  test('several of one model, also of the base, are models of their own', async () => {
    const { base, one, two, dense } = await scene();
    const expected = await run({ method: 'ties' }, { base, models: [dense[0], dense[1]] });
    const found = await run({ method: 'ties' }, { base, models: [base, base], adapters: [one, two] });
    expect(found.files).toEqual(expected.files);
    expect(found.report.inputs.map(({ role, name }) => [role, name])).toEqual([
      ['base', 'base'],
      ['model', 'base'],
      ['model', 'base'],
      ['adapter', 'one'],
      ['adapter', 'two'],
    ]);
  });

  test('without a base the first model’s dtypes hold, whatever its adapter’s', async () => {
    const { base, other, one, dense } = await scene();
    const found = await run({ method: 'linear' }, { base: null, models: [base, other], adapters: [one, null] });
    const expected = await run(
      { method: 'linear', out_dtype: 'bfloat16' },
      { base: null, models: [dense[0], other], adapters: [null, null] },
    );
    const only = (name: string) => (plan: typeof found.plan) => plan.merged.find((tensor) => tensor.name === name)!;
    expect(NAMES.map((name) => only(name)(found.plan).dtype)).toEqual(['BF16', 'BF16', 'F32']);
    expect(found.report.tensors).toEqual(expected.report.tensors);
  });

  test('is in the head of a tensor that is kept out of the merge', async () => {
    const { base, one, dense } = await scene();
    const recipe = { method: 'ties', merge: { exclude: ['h.1.*'] } };
    const found = await run(recipe, { base, models: [one] });
    const expected = await run(recipe, { base, models: [dense[0]] });
    const model = (files: typeof found.files) => files.find(({ path }) => path === 'model.safetensors');
    expect(model(found.files)).toEqual(model(expected.files));
    const made = found.plan.heads[0]!;
    expect([made.name, made.dtype, made.from.kind]).toEqual(['h.1.q.weight', 'BF16', 'low_rank']);
    // Rounded once, to the dtype that the tensor has in the base.
    const head = await decode(readFileSync(join(found.outDir, 'heads/one.safetensors')));
    const whole = await decode(readFileSync(dense[0].path));
    const rounded = fromFloat32('BF16', whole.get(made.name)!.values!);
    expect(Buffer.from(head.get(made.name)!.data)).toEqual(Buffer.from(rounded));
  });
});

describe('adapters are refused, saying why', () => {
  const refusal = (work: () => unknown) => {
    try {
      work();
    } catch (error) {
      if (isAmalgamError(error)) return { code: error.code, ...error.errors[0]! };
      throw error;
    }
    throw new Error('nothing was refused');
  };

  test('where no base is there, where a full model belongs, twice', async () => {
    const { base, other, one, two } = await scene();
    const plan = (recipe: Omit<Recipe, 'models'>, inputs: MergeInputs<Loaded>) =>
      refusal(() =>
        planMerge({ ...recipe, models: inputs.models.map(({ reference }) => ({ model: reference })) }, inputs),
      );
    const ties = { method: 'ties', base: 'base' };
    expect(plan({ method: 'linear' }, { base: null, models: [one, other] })).toMatchObject({
      code: 'invalid_recipe',
      pointer: '/models/0/model',
      detail: expect.stringContaining('give the recipe a base that it is applied to'),
    });
    expect(plan(ties, { base: one, models: [other] })).toMatchObject({ code: 'invalid_recipe', pointer: '/base' });
    expect(plan(ties, { base, models: [other], adapters: [base] })).toMatchObject({
      pointer: '/models/0/adapter',
      detail: expect.stringContaining('"base" is a full model, not a LoRA adapter'),
    });
    expect(plan(ties, { base, models: [one], adapters: [two] })).toMatchObject({
      pointer: '/models/0/model',
      detail: expect.stringContaining('another adapter can be applied to a full model only'),
    });
    expect(plan(ties, { base, models: [other, other], adapters: [one, one] })).toMatchObject({
      code: 'duplicate_model',
      pointer: '/models/1/model',
    });
  });

  test('made for another base: the tensor and both shapes', async () => {
    const { one } = await scene();
    const small: Model = { ...model(1), 'h.0.q.weight': { dtype: 'F32', shape: [5, 5], values: wave(25, 1) } };
    const dir = tempDir();
    const base = await input(await writeModel(dir, 'small', small), 'small');
    const recipe = { method: 'ties', base: 'small', models: [{ model: 'one' }] };
    const { code, pointer, detail } = refusal(() => planMerge(recipe, { base, models: [one] }));
    expect([code, pointer]).toEqual(['shape_mismatch', '/models/0/model']);
    expect(detail).toMatch(/"h\.0\.q\.weight" has shape \[5, 5\].*made for another base/);
  });

  test('with tasks', async () => {
    const { base, one } = await scene();
    const tasks = [{ name: 'a', model: 'one', graph: 'a.onnx', evaluation: 'a.npz' }];
    const recipe: Recipe = { method: 'ties', base: 'base', models: [{ model: 'one' }], tasks };
    expect(refusal(() => planMerge(recipe, { base, models: [one] }))).toMatchObject({
      pointer: '/models/0/model',
      detail: expect.stringContaining('merge the adapter into its base first'),
    });
  });

  test('whose factors do not fit into the memory, which counts them', async () => {
    const { base, one } = await scene();
    const recipe = { method: 'ties', base: 'base', models: [{ model: 'one' }] };
    const options = { threads: 1, chunkElements: 2048 };
    const plain = planMerge(
      { ...recipe, models: [{ model: 'x' }] },
      { base, models: [{ ...base, identity: 'x' }] },
      options,
    );
    const own = planMerge(recipe, { base, models: [one] }, options);
    expect(own.memoryBytes - plain.memoryBytes).toBeGreaterThan((ROWS + COLUMNS) * RANK * 4);
  });
});
