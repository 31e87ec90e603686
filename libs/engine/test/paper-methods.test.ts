import { isAmalgamError } from '@amalgam/contracts';
import { fromFloat32, toFloat32 } from '@amalgam/tensors';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Vectors } from './brute-force.js';
import { consensusTa, magmax, metagptFactors, modelBreadcrumbs, pcb, taskVectors } from './brute-papers.js';
import type { Shapes } from './brute-sparse.js';
import { type Files, type FloatDtype, type Values, write } from './model-files.js';
import { decode, type Loaded, merge, sha256 } from './support.js';

type Recipe = Parameters<typeof merge>[0];

const f = Math.fround;
const elements = (shape: readonly number[]) => shape.reduce((n, size) => n * size, 1);

const SMALL: Shapes = { a: [7, 3], 'b.bias': [5], cube: [2, 3, 4], ones: [3, 1], scalar: [], empty: [0, 4], z: [33] };

/** Values on a coarse grid, where equal magnitudes and exact cancellation are the rule, or any. */
function smallModels(count: number) {
  const grid = fc.integer({ min: -6, max: 6 }).map((x) => x / 4);
  const fine = fc.float({ noNaN: true, noDefaultInfinity: true, min: -4, max: 4 });
  const model = (value: fc.Arbitrary<number>): fc.Arbitrary<Values> =>
    fc.record(
      Object.fromEntries(
        Object.entries(SMALL).map(([name, shape]) => {
          const n = elements(shape);
          return [name, fc.array(value, { minLength: n, maxLength: n })];
        }),
      ),
    );
  return fc.constantFrom(grid, fine).chain((value) =>
    fc.record({
      base: model(value),
      models: fc.array(model(value), { minLength: count, maxLength: count }),
      dtype: fc.constantFrom<FloatDtype>('F32', 'BF16', 'F16'),
    }),
  );
}

/** Rows that end inside chunks, rows longer than a chunk, and tensors of several chunks. */
const LARGE: Shapes = { matrix: [70, 101], long: [3, 3001], vector: [5000], 'conv.weight': [40, 8, 3, 3] };

function noise(n: number, seed: number): Float32Array {
  let state = seed;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return Float32Array.from({ length: n }, () => uniform() + uniform() + uniform());
}

const largeValues = (seed: number): Values =>
  Object.fromEntries(Object.entries(LARGE).map(([name, shape], i) => [name, noise(elements(shape), seed + i)]));
const largeFiles = (dtype: FloatDtype) =>
  write(LARGE, largeValues(1), [largeValues(100), largeValues(200), largeValues(300)], dtype);

/** A method with some settings, and the same by brute force. */
interface Case {
  recipe: (count: number) => Recipe;
  expected: (values: Files['values'], shapes: Shapes) => Vectors;
}

const WEIGHTS = [1.2, -0.5, 0.7];
const BARS = [0.2, 0.6, 1];
const pcbCase = (density: number, clip: number, scope: 'model' | 'tensor'): Case => ({
  recipe: (count) => ({
    method: 'pcb',
    parameters: { density, clip, scope },
    models: WEIGHTS.slice(0, count).map((weight) => ({ parameters: { weight } })),
  }),
  expected: ({ base, models }) => pcb(base, models, { weight: WEIGHTS, density, clip, scope }),
});
const breadcrumbsCase = (density: number, gamma: number): Case => ({
  recipe: (count) => ({
    method: 'model_breadcrumbs',
    parameters: { lambda: 0.8, density, gamma },
    models: WEIGHTS.slice(0, count).map((weight) => ({ parameters: { weight } })),
  }),
  expected: ({ base, models }, shapes) =>
    modelBreadcrumbs(base, models, { lambda: 0.8, weight: WEIGHTS, density, gamma }, shapes),
});
const consensusCase = (k: number): Case => ({
  recipe: (count) => ({
    method: 'consensus_ta',
    parameters: { lambda: 0.3, k: Math.min(k, count) },
    models: BARS.slice(0, count).map((bar) => ({ parameters: { mask_lambda: bar } })),
  }),
  expected: ({ base, models }) => consensusTa(base, models, 0.3, Math.min(k, models.length), BARS),
});

const CASES: Record<string, Case> = {
  magmax: {
    recipe: () => ({ method: 'magmax', parameters: { lambda: 0.7 } }),
    expected: ({ base, models }) => magmax(base, models, 0.7),
  },
  metagpt: {
    recipe: () => ({ method: 'metagpt' }),
    expected: ({ base, models }) => {
      const factors = metagptFactors(base, models);
      const vectors = taskVectors(base, models);
      return new Map(
        [...base].map(([name, values]) => [
          name,
          values.map((b, i) => {
            const terms = vectors.map((own, k) => f(f(factors[k]!) * own.get(name)![i]!));
            return f(b + terms.slice(1).reduce((sum, x) => f(sum + x), terms[0]!));
          }),
        ]),
      );
    },
  },
  'consensus_ta, k 0': consensusCase(0),
  'consensus_ta, k 1': consensusCase(1),
  'consensus_ta, k 2': consensusCase(2),
  'model_breadcrumbs, rows of the paper': breadcrumbsCase(0.15, 0.006),
  'model_breadcrumbs, outliers that leave too few': breadcrumbsCase(0.6, 0.5),
  'model_breadcrumbs, nothing kept': breadcrumbsCase(0, 0),
  'pcb, of models': pcbCase(0.05, 0.01, 'model'),
  'pcb, of tensors': pcbCase(0.3, 0.2, 'tensor'),
  'pcb, everything kept': pcbCase(1, 0, 'model'),
};

async function expectBruteForce(files: Files, { recipe, expected }: Case, shapes: Shapes, options: object) {
  const { contents } = await merge(recipe(files.models.length), files.base, files.models, options);
  const wanted = expected(files.values, shapes);
  for (const [name, { values, data, dtype }] of await decode(contents.get('model.safetensors')!)) {
    const bytes = fromFloat32(dtype, wanted.get(name)!);
    if (Buffer.from(data).equals(Buffer.from(bytes))) continue;
    const at = values!.findIndex((x, i) => !Object.is(x, toFloat32(dtype, bytes)[i]));
    throw new Error(`${name}[${at}]: ${values![at]} instead of ${toFloat32(dtype, bytes)[at]}`);
  }
}

describe.each(Object.entries(CASES))('%s', (_, own) => {
  test('equals brute force on small models: odd shapes, scalars, ties, zeros, empty tensors', async () => {
    const cases = fc.integer({ min: 1, max: 3 }).chain(smallModels);
    await fc.assert(
      fc.asyncProperty(cases, async ({ base, models, dtype }) => {
        const files = await write(SMALL, base, models, dtype);
        await expectBruteForce(files, own, SMALL, { threads: 1, chunkElements: 2048 });
      }),
      { numRuns: 8 },
    );
  });

  test('equals brute force on larger tensors', async () => {
    for (const dtype of ['F32', 'BF16'] as const) {
      await expectBruteForce(await largeFiles(dtype), own, LARGE, { threads: 2, chunkElements: 2048 });
    }
  });

  test('gives the same bytes for any threads and chunks', async () => {
    const { base, models } = await largeFiles('BF16');
    const seen = new Set<string>();
    for (const options of [{ threads: 1 }, { threads: 2, chunkElements: 2048 }, { threads: 3, chunkElements: 8192 }]) {
      const { contents } = await merge(own.recipe(models.length), base, models, options);
      seen.add(sha256(contents.get('model.safetensors')!));
    }
    expect(seen.size).toBe(1);
  });
});

describe('identities', () => {
  const digest = async (recipe: Recipe, { base }: Files, models: Loaded[]) =>
    sha256((await merge(recipe, base, models, { threads: 1 })).contents.get('model.safetensors')!);

  test('one model by itself: its whole task vector, by magmax, metagpt and consensus_ta', async () => {
    const files = await largeFiles('F32');
    const one = files.models.slice(0, 1);
    const whole = await digest({ method: 'task_arithmetic', parameters: { lambda: 1 } }, files, one);
    expect(await digest({ method: 'magmax', parameters: { lambda: 1 } }, files, one)).toBe(whole);
    expect(await digest({ method: 'metagpt' }, files, one)).toBe(whole);
    expect(await digest({ method: 'consensus_ta', parameters: { lambda: 1, k: 1 } }, files, one)).toBe(whole);
  });

  test('consensus_ta with k 0 is task arithmetic', async () => {
    const files = await largeFiles('F32');
    const plain = await digest({ method: 'task_arithmetic', parameters: { lambda: 0.3 } }, files, files.models);
    expect(await digest({ method: 'consensus_ta', parameters: { k: 0 } }, files, files.models)).toBe(plain);
  });

  test('the order of models without equal magnitudes does not matter to magmax', async () => {
    const files = await largeFiles('F32');
    const [a, b, c] = files.models as [Loaded, Loaded, Loaded];
    const recipe = { method: 'magmax' };
    expect(await digest(recipe, files, [a, b, c])).toBe(await digest(recipe, files, [c, a, b]));
  });

  test('model_breadcrumbs that drops nothing is task arithmetic', async () => {
    const files = await largeFiles('F32');
    const plain = await digest({ method: 'task_arithmetic', parameters: { lambda: 0.4 } }, files, files.models);
    const recipe = { method: 'model_breadcrumbs', parameters: { lambda: 0.4, density: 1, gamma: 0 } };
    expect(await digest(recipe, files, files.models)).toBe(plain);
  });
});

describe('what is refused', () => {
  const refusal = (work: Promise<unknown>) =>
    work.then(
      () => expect.unreachable('it was not refused'),
      (error: unknown) => (isAmalgamError(error) ? error : expect.unreachable(String(error))),
    );

  test('a consensus of more tasks than there are', async () => {
    const { base, models } = await write({ w: [2] }, { w: [0, 0] }, [{ w: [1, 2] }]);
    const error = await refusal(merge({ method: 'consensus_ta', parameters: { k: 2 } }, base, models));
    expect(error).toMatchObject({ code: 'invalid_recipe', errors: [{ pointer: '/parameters/k' }] });
  });

  test('a model without a norm, for metagpt', async () => {
    const values = [{ w: [1, 2] }, { w: [1, Number.POSITIVE_INFINITY] }];
    const { base, models } = await write({ w: [2] }, { w: [0, 0] }, values);
    const error = await refusal(merge({ method: 'metagpt' }, base, models));
    expect(error).toMatchObject({ code: 'invalid_checkpoint', errors: [{ pointer: '/models/1/model' }] });
    expect(error.message).toContain('"w"');
  });

  test('quantiles of whole models that vary by tensor, for pcb', async () => {
    const { base, models } = await write({ w: [2] }, { w: [0, 0] }, [{ w: [1, 2] }]);
    const parameters = { density: [{ filter: 'w', value: 0.1 }] };
    expect((await refusal(merge({ method: 'pcb', parameters }, base, models))).code).toBe('invalid_recipe');
  });
});
