import { isAmalgamError } from '@amalgam/contracts';
import { fromFloat32, toFloat32 } from '@amalgam/tensors';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Combine, type Keep, mergeSparse, type Shapes } from './brute-sparse.js';
import { type Files, type FloatDtype, type Values, write } from './model-files.js';
import { decode, type Loaded, merge, sha256 } from './support.js';

const elements = (shape: readonly number[]) => shape.reduce((n, size) => n * size, 1);

/** The recipe's method and parameters for a way of keeping and one of combining. */
function toRecipe(keep: Keep, { lambda, normalize, consensus }: Combine) {
  const elects = consensus !== 'none';
  const common = { lambda, normalize, ...(elects ? { consensus } : {}) };
  switch (keep.by) {
    case 'chance': {
      const { density, rescale, seed } = keep;
      return { method: elects ? 'dare_ties' : 'dare_linear', parameters: { ...common, density, rescale, seed } };
    }
    case 'rank': {
      const { density, epsilon, rescale, seed } = keep;
      return { method: elects ? 'della' : 'della_linear', parameters: { ...common, density, epsilon, rescale, seed } };
    }
    case 'band': {
      const { density, gamma, scope } = keep;
      return { method: elects ? 'breadcrumbs_ties' : 'breadcrumbs', parameters: { ...common, density, gamma, scope } };
    }
  }
}

async function expectBruteForce(
  files: Files,
  keep: Keep,
  combine: Combine,
  shapes: Shapes,
  options: Parameters<typeof merge>[3] = { threads: 1, chunkElements: 2048 },
) {
  const models = combine.weight.map((weight) => ({ parameters: { weight } }));
  const { contents, report } = await merge({ ...toRecipe(keep, combine), models }, files.base, files.models, options);
  const expected = mergeSparse(files.values.base, files.values.models, keep, combine, shapes);
  for (const [name, { values, data, dtype }] of await decode(contents.get('model.safetensors')!)) {
    const bytes = fromFloat32(dtype, expected.merged.get(name)!);
    if (Buffer.from(data).equals(Buffer.from(bytes))) continue;
    const at = values!.findIndex((x, i) => !Object.is(x, toFloat32(dtype, bytes)[i]));
    throw new Error(`${name}[${at}]: ${values![at]} instead of ${toFloat32(dtype, bytes)[at]}`);
  }
  if (combine.consensus === 'none') expect('sign_conflicts' in report).toBe(false);
  else expect(report.sign_conflicts).toBeCloseTo(expected.conflicts, 12);
  return { report, expected };
}

const ways: Record<string, fc.Arbitrary<Keep>> = (() => {
  const rescale = fc.boolean();
  const seed = fc.constantFrom(0, 1, 2 ** 32 - 1);
  return {
    'dare: by chance': fc.record({
      by: fc.constant('chance'),
      density: fc.constantFrom(0.001, 0.1, 0.5, 0.9, 1),
      rescale,
      seed,
    }),
    'della: by ranked chance': fc
      .constantFrom([0.7, 0.07], [0.5, 0.25], [0.5, 0], [0.75, 0.25], [1, 0.15])
      .chain(([density, epsilon]) =>
        fc.record({
          by: fc.constant('rank'),
          density: fc.constant(density!),
          epsilon: fc.constant(epsilon!),
          rescale,
          seed,
        }),
      ),
    'breadcrumbs: a band of magnitudes': fc.record({
      by: fc.constant('band'),
      density: fc.constantFrom(0.01, 0.2, 0.5, 0.9, 1),
      gamma: fc.constantFrom(0, 0.01, 0.1, 0.3, 0.9),
      scope: fc.constantFrom('model', 'tensor', 'row'),
    }),
  } as Record<string, fc.Arbitrary<Keep>>;
})();

describe('small models equal brute force to the last bit', () => {
  // Values on a coarse grid: equal magnitudes and exact cancellation are the rule.
  const grid = fc.integer({ min: -6, max: 6 }).map((x) => x / 4);
  const fine = fc.float({ noNaN: true, noDefaultInfinity: true, min: -4, max: 4 });
  const shapes: Shapes = {
    a: [7, 3],
    'b.bias': [5],
    cube: [2, 3, 4],
    ones: [3, 1],
    scalar: [],
    empty: [0, 4],
    z: [33],
  };
  const model = (value: fc.Arbitrary<number>) =>
    fc.record(
      Object.fromEntries(
        Object.entries(shapes).map(([name, shape]) => {
          const n = elements(shape);
          return [name, fc.array(value, { minLength: n, maxLength: n })];
        }),
      ),
    );
  const combine = (models: number): fc.Arbitrary<Combine> =>
    fc.record({
      weight: fc.array(fc.constantFrom(1, 0.5, -0.7, 0.3), { minLength: models, maxLength: models }),
      lambda: fc.constantFrom(1, 0.3, 0),
      normalize: fc.boolean(),
      consensus: fc.constantFrom('none', 'sum', 'count'),
    });
  const cases = fc.constantFrom(grid, fine).chain((value) =>
    fc.integer({ min: 1, max: 3 }).chain((models) =>
      fc.record({
        base: model(value),
        models: fc.array(model(value), { minLength: models, maxLength: models }),
        combine: combine(models),
        dtype: fc.constantFrom<FloatDtype>('F32', 'BF16', 'F16'),
      }),
    ),
  );

  test.each(Object.keys(ways))('%s: odd shapes, scalars, rows of one, ties, empty tensors', async (name) => {
    await fc.assert(
      fc.asyncProperty(cases, ways[name]!, async ({ base, models, combine, dtype }, keep) => {
        const files = await write(shapes, base, models, dtype);
        await expectBruteForce(files, keep, combine, shapes);
      }),
      { numRuns: 16 },
    );
  });
});

/** Deterministic noise, bell-shaped, so that ranks and tails mean something. */
function noise(n: number, seed: number): Float32Array {
  let state = seed;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return Float32Array.from({ length: n }, () => uniform() + uniform() + uniform());
}

/** Rows that end inside chunks, rows longer than a chunk, and tensors of several chunks. */
const large: Shapes = { matrix: [70, 101], long: [3, 3001], vector: [5000], 'conv.weight': [40, 8, 3, 3] };
const largeValues = (seed: number): Values =>
  Object.fromEntries(Object.entries(large).map(([name, shape], i) => [name, noise(elements(shape), seed + i)]));
const largeFiles = (dtype: FloatDtype) => write(large, largeValues(1), [largeValues(100), largeValues(200)], dtype);

const settings: Keep[] = [
  { by: 'chance', density: 0.3, rescale: true, seed: 5 },
  { by: 'rank', density: 0.6, epsilon: 0.3, rescale: true, seed: 5 },
  { by: 'band', density: 0.4, gamma: 0.05, scope: 'tensor' },
  { by: 'band', density: 0.4, gamma: 0.05, scope: 'row' },
  { by: 'band', density: 0.4, gamma: 0.05, scope: 'model' },
];
const titleOf = (keep: Keep) => `${keep.by}${keep.by === 'band' ? ` over a ${keep.scope}` : ''}`;
const elected: Combine = { weight: [1, 0.6], lambda: 0.8, normalize: true, consensus: 'sum' };

describe('larger tensors', () => {
  test.each(settings.map((keep) => [titleOf(keep), keep] as const))('%s equals brute force', async (_, keep) => {
    for (const dtype of ['F32', 'BF16'] as const) {
      const files = await largeFiles(dtype);
      const { report, expected } = await expectBruteForce(files, keep, elected, large);
      report.inputs.slice(1).forEach(({ trimmed }, k) => {
        // An entry that is 0 without being dropped counts as kept, so there may be a few more zeros.
        const all = [...expected.sparse[k]!.values()].flatMap((list) => [...list]);
        const zeros = all.filter((x) => x === 0).length;
        expect(trimmed! * all.length).toBeLessThanOrEqual(zeros + 1e-6);
        expect(trimmed! * all.length).toBeGreaterThan(zeros - 0.05 * all.length);
      });
    }
  });

  test('ranks equal brute force where a chunk has many more rows than are held at a time', async () => {
    const many: Shapes = { narrow: [900, 61], wide: [9, 6007] };
    const valuesOf = (seed: number): Values =>
      Object.fromEntries(Object.entries(many).map(([name, shape], i) => [name, noise(elements(shape), seed + i)]));
    const keep: Keep = { by: 'rank', density: 0.6, epsilon: 0.3, rescale: true, seed: 6 };
    const files = await write(many, valuesOf(3), [valuesOf(4), valuesOf(5)], 'BF16');
    for (const options of [{ threads: 1 }, { threads: 2, chunkElements: 2 ** 15 }]) {
      await expectBruteForce(files, keep, elected, many, options);
    }
  });

  test.each(settings.map((keep) => [titleOf(keep), keep] as const))(
    '%s: the same bytes for any threads and chunks',
    async (_, keep) => {
      const { base, models } = await largeFiles('BF16');
      const seen = new Set<string>();
      for (const options of [
        { threads: 1 },
        { threads: 2, chunkElements: 2048 },
        { threads: 3, chunkElements: 8192 },
      ]) {
        const { contents, report } = await merge(toRecipe(keep, elected), base, models, options);
        seen.add(sha256(contents.get('model.safetensors')!) + JSON.stringify([report.tensors, report.inputs]));
      }
      expect(seen.size).toBe(1);
    },
  );
});

describe('identities', () => {
  const bytesOf = async (recipe: Parameters<typeof merge>[0], { base, models }: Files) =>
    sha256((await merge(recipe, base, models, { threads: 1 })).contents.get('model.safetensors')!);

  test('with density 1 the sums are task arithmetic, and the elections are ties', async () => {
    const files = await largeFiles('F32');
    const plain = await bytesOf({ method: 'task_arithmetic', parameters: { lambda: 0.7 } }, files);
    for (const method of ['dare_linear', 'della_linear', 'breadcrumbs']) {
      expect(await bytesOf({ method, parameters: { lambda: 0.7, density: 1 } }, files)).toBe(plain);
    }
    const ties = await bytesOf({ method: 'ties', parameters: { lambda: 0.7, density: 1 } }, files);
    for (const method of ['dare_ties', 'della', 'breadcrumbs_ties']) {
      const parameters = { lambda: 0.7, density: 1, normalize: true };
      expect(await bytesOf({ method, parameters }, files)).toBe(ties);
    }
  });

  test('breadcrumbs without outliers trims as ties does', async () => {
    const files = await largeFiles('F32');
    for (const scope of ['tensor', 'model']) {
      const ties = await bytesOf({ method: 'ties', parameters: { scope, density: 0.3 } }, files);
      const parameters = { scope, density: 0.3, gamma: 0, normalize: true };
      expect(await bytesOf({ method: 'breadcrumbs_ties', parameters }, files)).toBe(ties);
    }
  });

  test('λ 0 gives the base, and a model alone needs no election', async () => {
    const files = await largeFiles('F32');
    const one = { ...files, models: files.models.slice(0, 1) };
    for (const [linear, elects] of [
      ['dare_linear', 'dare_ties'],
      ['della_linear', 'della'],
      ['breadcrumbs', 'breadcrumbs_ties'],
    ] as const) {
      const none = await merge({ method: elects, parameters: { lambda: 0 } }, files.base, files.models, { threads: 1 });
      for (const [name, { values }] of await decode(none.contents.get('model.safetensors')!)) {
        expect(values!.every((x, i) => x === files.values.base.get(name)![i])).toBe(true);
      }
      const sum = await bytesOf({ method: linear, parameters: { lambda: 0.9 } }, one);
      expect(await bytesOf({ method: elects, parameters: { lambda: 0.9, normalize: false } }, one)).toBe(sum);
    }
  });

  test('the order of the models does not matter where nothing is drawn and sums are exact', async () => {
    const coarse = (seed: number): Values =>
      Object.fromEntries(
        Object.entries(largeValues(seed)).map(([name, list]) => [
          name,
          Array.from(list, (x) => Math.round(x * 16) / 16),
        ]),
      );
    const { base, models } = await write(large, coarse(1), [coarse(10), coarse(20), coarse(30)]);
    for (const method of ['breadcrumbs', 'breadcrumbs_ties']) {
      for (const scope of ['tensor', 'row', 'model']) {
        const recipe = { method, parameters: { scope, lambda: 0.5, density: 0.3, gamma: 0.1 } };
        const digests = await Promise.all(
          [models, [models[2]!, models[0]!, models[1]!]].map(async (list) => {
            const { contents } = await merge(recipe, base, list, { threads: 1 });
            return sha256(contents.get('model.safetensors')!);
          }),
        );
        expect(new Set(digests).size).toBe(1);
      }
    }
  });
});

describe('chance', () => {
  const n = 200_000;
  const shapes: Shapes = { w: [400, 500] };
  const ones = { w: new Float32Array(n).fill(1) };
  const zeros = { w: new Float32Array(n) };

  test('rescaled, the mean stays; not rescaled, it shrinks to the density', async () => {
    const { base, models } = await write(shapes, zeros, [ones]);
    for (const [method, parameters] of [
      ['dare_linear', { density: 0.2 }],
      ['della_linear', { density: 0.2, epsilon: 0.1 }],
    ] as const) {
      for (const rescale of [true, false]) {
        const recipe = { method, parameters: { lambda: 1, rescale, ...parameters } };
        const { contents, report } = await merge(recipe, base, models, { threads: 1 });
        const { values } = (await decode(contents.get('model.safetensors')!)).get('w')!;
        const mean = values!.reduce((sum, x) => sum + x, 0) / n;
        const deviation = Math.sqrt((0.2 * 0.8) / n);
        expect(Math.abs((rescale ? 0.2 * mean : mean) - 0.2)).toBeLessThan(5 * deviation);
        expect(report.inputs[1]!.trimmed).toBeCloseTo(1 - values!.filter((x) => x > 0).length / n, 12);
      }
    }
  });

  test('della keeps an entry as often as its rank says', async () => {
    const row = Float32Array.from({ length: n }, (_, i) => ((i % 500) + 1) * (i % 2 === 0 ? 1 : -1));
    const { base, models } = await write(shapes, zeros, [{ w: row }]);
    const recipe = { method: 'della_linear', parameters: { lambda: 1, density: 0.5, epsilon: 0.4, rescale: false } };
    const { contents } = await merge(recipe, base, models, { threads: 1 });
    const { values } = (await decode(contents.get('model.safetensors')!)).get('w')!;
    for (const [from, to] of [
      [0, 100],
      [200, 300],
      [400, 500],
    ] as const) {
      const part = values!.filter((_, i) => i % 500 >= from && i % 500 < to);
      const share = part.filter((x) => x !== 0).length / part.length;
      const expected = 0.1 + (0.8 * (from + to - 1)) / 2 / 499;
      expect(Math.abs(share - expected)).toBeLessThan(5 * Math.sqrt(0.25 / part.length));
    }
  });

  test('a mask is that of the seed and the model’s place', async () => {
    const { base, models } = await write(shapes, zeros, [ones, { w: new Float32Array(n).fill(-1) }]);
    const run = async (seed: number, list: Loaded[]) => {
      const recipe = { method: 'dare_linear', parameters: { seed, rescale: false, lambda: 1 } };
      const { contents } = await merge(recipe, base, list, { threads: 1 });
      return (await decode(contents.get('model.safetensors')!)).get('w')!.values!;
    };
    const same = (a: Float32Array, b: Float32Array) => a.every((x, i) => x === b[i]);
    const first = await run(1, [models[0]!]);
    expect(same(await run(1, [models[0]!]), first)).toBe(true);
    expect(same(await run(2, [models[0]!]), first)).toBe(false);
    // Alone, the other model takes the same place, and so the same mask.
    const second = await run(1, [models[1]!]);
    expect(
      same(
        second.map((x) => -x),
        first,
      ),
    ).toBe(true);
    // Together the masks are independent: a quarter of the entries is kept of the first only, and of the second only.
    const both = await run(1, models);
    const share = (value: number) => both.filter((x) => x === value).length / n;
    for (const value of [1, -1]) expect(Math.abs(share(value) - 0.25)).toBeLessThan(5 * Math.sqrt(0.1875 / n));
  });
});

test('mergekit’s trap: a tensor with fewer entries than 1/gamma keeps its share', async () => {
  const shapes: Shapes = { q_norm: [64] };
  const { base, models } = await write(shapes, { q_norm: new Float32Array(64) }, [{ q_norm: noise(64, 3) }]);
  const parameters = { density: 0.9, gamma: 0.01, lambda: 1 };
  const { contents } = await merge({ method: 'breadcrumbs', parameters }, base, models, { threads: 1 });
  const { values } = (await decode(contents.get('model.safetensors')!)).get('q_norm')!;
  expect(values!.filter((x) => x !== 0)).toHaveLength(57);
});

test('rows that do not fit into the memory bound are refused, and the refusal says so', async () => {
  const shapes: Shapes = { w: [2 ** 20] };
  const values = { w: new Float32Array(2 ** 20) };
  const { base, models } = await write(shapes, values, [values]);
  const work = merge({ method: 'della' }, base, models, { threads: 1, memoryBytes: 310_000_000 });
  const error: unknown = await work.catch((reason: unknown) => reason);
  if (!isAmalgamError(error)) throw error;
  expect(error.code).toBe('memory_limit');
  expect(error.detail).toContain('della looks at whole rows, of up to 1048576 entries here');
});
