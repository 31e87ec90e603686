import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isAmalgamError } from '@amalgam/contracts';
import { describe, expect, test } from 'vitest';
import { describePlan } from '../src/describe-plan.js';
import { planMerge } from '../src/plan.js';
import { decode, input, type Loaded, type Model, merge, tempDir, tunedRecipe, writeModel } from './support.js';

const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/', import.meta.url));
const TASKS = ['digits', 'shapes', 'segments'];

const zoo = async () => ({
  base: await input(`${ZOO}base.safetensors`, 'base'),
  models: await Promise.all(TASKS.map((task) => input(`${ZOO}${task}.safetensors`, task))),
});
const everywhere = (...row: number[]) => ({ tensors: ['*'], values: [row] });

async function small(...models: Model[]): Promise<Loaded[]> {
  const dir = tempDir();
  return Promise.all(models.map(async (model, i) => input(await writeModel(dir, `m${i}`, model), `m${i}`)));
}

describe('merging with learned coefficients', () => {
  test('one coefficient for all is task arithmetic with λ 1 and that weight, to the last bit', async () => {
    const { base, models } = await zoo();
    const weights = [0.3, 0.15, 0.9];
    const tuned = await merge(tunedRecipe({ granularity: 'task' }, base, models), base, models, {
      coefficients: everywhere(...weights),
    });
    const summed = await merge(
      {
        method: 'task_arithmetic',
        parameters: { lambda: 1 },
        models: weights.map((weight) => ({ parameters: { weight } })),
      },
      base,
      models,
    );
    expect(tuned.files).toEqual(summed.files);
    expect(tuned.report.inputs.map(({ norm }) => norm)).toEqual(summed.report.inputs.map(({ norm }) => norm));
    expect(tuned.report.tensors).toEqual(summed.report.tensors);
  });

  test('a row for each tensor, in any order, and `*` for all say the same', async () => {
    const { base, models } = await zoo();
    const recipe = tunedRecipe({ sign_resolve: true }, base, models);
    const row = [0.3, 0.15, 0.9];
    const one = await merge(recipe, base, models, { coefficients: everywhere(...row) });
    const tensors = one.plan.merged.map(({ name }) => name).reverse();
    const many = await merge(recipe, base, models, { coefficients: { tensors, values: tensors.map(() => row) } });
    expect(many.files).toEqual(one.files);
  });

  test('1 for one model and 0 for the others is that model, to float32 rounding', async () => {
    const { base, models } = await zoo();
    const { contents } = await merge(tunedRecipe({}, base, models), base, models, {
      coefficients: everywhere(0, 1, 0),
    });
    const from = await decode(readFileSync(base.path));
    const to = await decode(readFileSync(models[1]!.path));
    for (const [name, { values }] of await decode(contents.get('model.safetensors')!)) {
      const [b, m] = [from.get(name)!.values!, to.get(name)!.values!];
      // Two roundings: of m − b, and of b plus that.
      const worst = values!.findIndex(
        (x, i) => Math.abs(x - m[i]!) > 2 ** -22 * Math.max(Math.abs(b[i]!), Math.abs(m[i]!)),
      );
      expect([name, worst]).toEqual([name, -1]);
    }
  });

  test('0 for all is the base, bit by bit, negative zeros included', async () => {
    const shape = { dtype: 'BF16' as const, shape: [6] };
    const [base, one, two] = await small(
      { w: { ...shape, values: [-0, 0, 1, -1, 1e-40, 3] } },
      { w: { ...shape, values: [1, 2, 3, 4, 5, 6] } },
      { w: { ...shape, values: [-1, -2, -3, -4, -5, -6] } },
    );
    for (const sign_resolve of [false, true]) {
      const models = [one!, two!];
      const { contents } = await merge(tunedRecipe({ sign_resolve, density: 1 }, base!, models), base!, models, {
        coefficients: everywhere(0, -0),
      });
      expect((await decode(contents.get('model.safetensors')!)).get('w')!.data).toEqual(
        (await decode(readFileSync(base!.path))).get('w')!.data,
      );
    }
  });

  test('the bytes and the report do not depend on threads and chunks', async () => {
    const { base, models } = await zoo();
    const recipe = tunedRecipe({ sign_resolve: true }, base, models);
    const found = new Set<string>();
    for (const options of [{ threads: 1 }, { threads: 2 }, { threads: 2, chunkElements: 2048 }]) {
      const { files, report } = await merge(recipe, base, models, {
        ...options,
        coefficients: everywhere(0.3, 0.15, 0.9),
      });
      found.add(JSON.stringify([files, report.tensors, report.inputs, report.sign_conflicts]));
    }
    expect(found.size).toBe(1);
  });

  test('the ++ variant reports what it trims and where signs conflict', async () => {
    const { base, models } = await zoo();
    const options = { coefficients: everywhere(0.3, 0.3, 0.3) };
    const { report } = await merge(tunedRecipe({ sign_resolve: true }, base, models), base, models, options);
    const ties = await merge({ method: 'ties' }, base, models);
    expect(report.sign_conflicts).toBe(ties.report.sign_conflicts);
    expect(report.tensors).toEqual(ties.report.tensors);
    const shares = ({ norm, trimmed, threshold }: (typeof report.inputs)[number]) => ({ norm, trimmed, threshold });
    expect(report.inputs.map(shares)).toEqual(ties.report.inputs.map(shares));
  });
});

describe('coefficients that do not fit are refused', () => {
  const plain: Model = {
    a: { dtype: 'F32', shape: [2], values: [1, 2] },
    b: { dtype: 'F32', shape: [1], values: [3] },
  };
  const rows = (...values: number[][]) => ({ tensors: ['a', 'b'].slice(0, values.length), values });
  const nothing = {};

  test.each([
    ['none', nothing, 'adamerging merges with learned coefficients, and there are none'],
    ['a tensor without a row', { coefficients: rows([1]) }, 'tensor "b" has no row'],
    [
      'a row of no tensor',
      { coefficients: { tensors: ['a', 'b', 'c'], values: [[1], [1], [1]] } },
      'tensor "c" is not merged',
    ],
    ['`*` among others', { coefficients: { tensors: ['a', '*'], values: [[1], [1]] } }, 'tensor "b" has no row'],
    ['two rows of a tensor', { coefficients: { tensors: ['a', 'a'], values: [[1], [1]] } }, 'a tensor has two rows'],
    ['a name without values', { coefficients: { tensors: ['a', 'b'], values: [[1]] } }, '2 names, but 1 rows'],
    ['a value too many', { coefficients: rows([1], [1, 2]) }, 'row "b" has 2 values for 1 models'],
    ['NaN', { coefficients: rows([1], [Number.NaN]) }, 'row "b" has NaN for models/0'],
    ['what float32 cannot hold', { coefficients: rows([1e39], [1]) }, 'row "a" has 1e+39 for models/0'],
  ])('%s', async (_, options, detail) => {
    const [base, other] = await small(plain, plain);
    const work = merge(tunedRecipe({}, base!, [other!]), base!, [other!], options);
    await expect(work).rejects.toMatchObject({ code: 'internal', detail: `coefficients: ${detail}` });
  });

  test('any, for a method that learns none', async () => {
    const [base, other] = await small(plain, plain);
    const work = merge({ method: 'ties' }, base!, [other!], { coefficients: everywhere(1) });
    await expect(work).rejects.toMatchObject({ detail: 'coefficients: ties takes no learned coefficients' });
  });
});

describe('the plan of a tuned merge', () => {
  const wide = (n: number): Model => ({
    a: { dtype: 'F32', shape: [n], values: new Float32Array(n) },
    b: { dtype: 'BF16', shape: [5], values: new Float32Array(5) },
  });

  test('tells what is learned, the temporary file, and what is read for it', async () => {
    const [base, one, two] = await small(wide(2000), wide(2000), wide(2000));
    const inputs = { base: base!, models: [one!, two!] };
    const of = (parameters: Record<string, unknown>) =>
      describePlan(planMerge(tunedRecipe(parameters, inputs.base, inputs.models), inputs));
    const once = 3 * (2000 * 4 + 5 * 2);
    const layer = of({ steps: 20 });
    // a: base 8000 bytes on 2 pages, vectors 16000 on 4; b: base on 1 page, then 2 × 5 × 4 bytes
    expect(layer.tuning).toEqual({ steps: 20, coefficients: 4, task_vector_bytes: 7 * 4096 + 40 });
    expect(layer.bytes_read).toBe(2 * once);
    const plus = of({ granularity: 'task', sign_resolve: true, task_vector_dtype: 'float16' });
    expect(plus.tuning).toEqual({ steps: 500, coefficients: 2, task_vector_bytes: 5 * 4096 + 20 });
    expect(plus.bytes_read).toBe(4 * once);
    expect(layer.warnings).toEqual([]);
    const plain = describePlan(planMerge({ ...layer.recipe, method: 'ties', parameters: {} }, inputs));
    expect('tuning' in plain).toBe(false);
    expect(plain.memory_bytes).toBeLessThan(layer.memory_bytes);
  });

  test('refuses a recipe without tasks', async () => {
    const [base, other] = await small(wide(8), wide(8));
    const { tasks: _, ...recipe } = tunedRecipe({}, base!, [other!]);
    try {
      planMerge(recipe, { base: base!, models: [other!] });
      expect.unreachable();
    } catch (error) {
      expect(isAmalgamError(error) && [error.code, error.errors[0]?.pointer]).toEqual(['invalid_recipe', '/tasks']);
    }
  });
});
