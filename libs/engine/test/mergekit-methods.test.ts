import { describe, expect, test } from 'vitest';
import * as brute from './brute-mergekit.js';
import { modelStock, nuslerp } from './brute-spherical.js';
import { cast, expectClose, minus, NAMES, run, SHAPES, type Values, valuesOf } from './small-models.js';
import { sha256 } from './support.js';

type Recipe = Parameters<typeof run>[0];

/** Multiples of 1/8: equal and opposite task vectors, and zeros, are common. */
const coarse = (values: Values): Values =>
  Object.fromEntries(Object.entries(values).map(([name, list]) => [name, list.map((x) => Math.round(8 * x) / 8)]));

/** Base plus what `change` makes of the task vectors, tensor by tensor, is what the engine writes. */
async function expectChange(recipe: Recipe, base: Values, models: Values[], change: (vectors: number[][]) => number[]) {
  const { of } = await run(recipe, base, models);
  for (const name of NAMES) {
    const changes = change(models.map((model) => minus(model, base, name)));
    expectClose(
      of(name),
      changes.map((x, i) => base[name]![i]! + x),
    );
  }
}

describe('equal float64 brute force, tensor by tensor', () => {
  const [base, ...models] = cast(1, 2, 0.5, 3) as [Values, ...Values[]];
  const kinds: [string, Values, Values[]][] = [
    ['task vectors without a zero', base, models],
    ['zeros, equal and opposite entries', coarse(base), models.map(coarse)],
    ['one model', base, models.slice(0, 1)],
    ['equal models', base, [models[0]!, models[0]!]],
    ['models equal to the base', base, [base, base]],
  ];

  describe.each(kinds)('%s', (_, base, models) => {
    test('ram', async () => {
      const recipe = { method: 'ram', parameters: { epsilon: 0.5 } };
      await expectChange(recipe, base, models, (vectors) => brute.ram(vectors, 0.5));
    });

    test.each([
      [0.1, 0.2, 1e-5],
      [-0.5, 100, 0.5],
    ])('ramplus_tl, r %d, alpha %d, epsilon %d', async (r, alpha, epsilon) => {
      const recipe = { method: 'ramplus_tl', parameters: { r, alpha, epsilon } };
      await expectChange(recipe, base, models, (vectors) => brute.ramplusTl(vectors, r, alpha, epsilon));
    });

    test.each([1, 0.3, 1e-6])('sce, select_topk %d', async (select_topk) => {
      const recipe = { method: 'sce', parameters: { select_topk } };
      await expectChange(recipe, base, models, (vectors) => brute.sce(vectors, select_topk));
    });
  });

  test.each([1, 0.7, -2])('passthrough, scale %d', async (scale) => {
    const [model] = cast(1) as [Values];
    const { of } = await run({ method: 'passthrough', parameters: { scale } }, null, [model]);
    for (const name of NAMES) expect(of(name)).toEqual(model[name]!.map((x) => Math.fround(x * Math.fround(scale))));
  });
});

describe('rows and columns are vectors of their own', () => {
  const [base, ...models] = cast(1, 0.5, 3, 2) as [Values, ...Values[]];
  const [first, second] = models as [Values, Values];
  const weights = [0.4, 1];
  const vectors = (name: string, over: Values | null) =>
    [first, second].map((model) => (over === null ? model[name]! : minus(model, over, name)));

  test.each([
    ['rows, of weights', false, null],
    ['columns, of weights', true, null],
    ['rows, of task vectors', false, base],
    ['columns, of task vectors', true, base],
  ] as const)('nuslerp: %s', async (_, row_wise, over) => {
    const parameters = { flatten: false, row_wise };
    const recipe = { method: 'nuslerp', parameters, models: weights.map((weight) => ({ parameters: { weight } })) };
    const { of } = await run(recipe, over, [first, second]);
    for (const name of NAMES) {
      const parts = row_wise ? brute.columnsOf(SHAPES[name]!) : brute.rowsOf(SHAPES[name]!);
      const turned = brute.byParts(parts, vectors(name, over), (own) => nuslerp(own, weights));
      expectClose(of(name), over === null ? turned : turned.map((x, i) => over[name]![i]! + x));
    }
  });

  test('model_stock with filter_wise: rows', async () => {
    const { of } = await run({ method: 'model_stock', parameters: { filter_wise: true } }, base, models);
    for (const name of NAMES) {
      const inputs = [base, ...models].map((values) => values[name]!);
      const merge = ([own, ...others]: number[][]) => modelStock(own!, others);
      expectClose(of(name), brute.byParts(brute.rowsOf(SHAPES[name]!), inputs, merge));
    }
  });

  test('arcee_fusion', async () => {
    const { of } = await run({ method: 'arcee_fusion' }, base, [first]);
    for (const name of NAMES.filter((tensor) => tensor !== 'empty')) {
      const expected = brute.arceeFusion(base[name]!, first[name]!, SHAPES[name]!);
      expectClose(of(name), expected);
      // Some entries are taken over, and some are not.
      if (name === 'long') expect(new Set(expected.map((x, i) => x === base[name]![i])).size).toBe(2);
    }
  });

  test('arcee_fusion: a model like the base is taken over, and rows of one too', async () => {
    const { of } = await run({ method: 'arcee_fusion' }, base, [base]);
    for (const name of NAMES) expect(of(name)).toEqual(base[name]);
    const other = await run({ method: 'arcee_fusion' }, base, [first]);
    for (const name of ['thin', 'scalar']) expectClose(other.of(name), first[name]!);
  });

  test('a NaN shows in its row or column, and in no other', async () => {
    const broken = { ...second, a: second['a']!.map((x, i) => (i === 4 ? Number.NaN : x)) };
    const places = (list: number[]) => list.flatMap((x, i) => (Number.isNaN(x) ? [i] : []));
    const rows = await run({ method: 'nuslerp', parameters: { flatten: false } }, null, [first, broken]);
    expect(places(rows.of('a'))).toEqual([3, 4, 5]);
    const columns = await run({ method: 'nuslerp', parameters: { flatten: false, row_wise: true } }, null, [
      first,
      broken,
    ]);
    expect(places(columns.of('a'))).toEqual([1, 4, 7, 10, 13, 16, 19]);
    const fused = await run({ method: 'arcee_fusion' }, base, [broken]);
    expect(fused.of('a')[4]).toBeNaN();
  });

  test.each([
    ['nuslerp', { flatten: false }, 2],
    ['nuslerp', { flatten: false, row_wise: true }, 2],
    ['model_stock', { filter_wise: true }, 3],
    ['arcee_fusion', {}, 1],
  ])('%s %j: the same bytes for any threads and chunks', async (method, parameters, count) => {
    const digests = new Set<string>();
    for (const options of [{ threads: 1 }, { threads: 2, chunkElements: 2048 }, { threads: 3, chunkElements: 4096 }]) {
      digests.add(sha256((await run({ method, parameters }, base, models.slice(0, count), options)).bytes));
    }
    expect(digests.size).toBe(1);
  });
});

describe('rescale', () => {
  const weights = { weight: 1 };
  const pairs: [string, Record<string, unknown>, Record<string, unknown>][] = [
    ['ties', { lambda: 1, scope: 'tensor', combine: 'sum', density: 0.3 }, {}],
    ['breadcrumbs', { lambda: 1, density: 0.3, gamma: 0.2 }, {}],
    ['breadcrumbs', { lambda: 1, density: 0.3, gamma: 0.2, scope: 'row' }, {}],
    ['breadcrumbs_ties', { lambda: 1, density: 0.3, gamma: 0.2, scope: 'model' }, {}],
    ['dare_linear', { lambda: 1, density: 0.4 }, { rescale_by: 'sum' }],
    ['dare_ties', { lambda: 1, density: 0.4 }, { rescale_by: 'sum' }],
    ['della', { lambda: 1, density: 0.5, epsilon: 0.3, normalize: false }, { rescale_by: 'sum' }],
    ['della_linear', { lambda: 1, density: 0.5, epsilon: 0.3 }, { rescale_by: 'sum' }],
  ];

  test.each(pairs)('%s %j: each tensor of a task vector keeps its sum of magnitudes', async (method, given, choice) => {
    const base = Object.fromEntries(Object.entries(valuesOf(1, 1)).map(([name, list]) => [name, list.map(() => 0)]));
    const models = cast(1);
    const parameters = { ...weights, ...given };
    const plain = await run({ method, parameters: { ...parameters, rescale: false } }, base, models);
    const scaled = await run({ method, parameters: { ...parameters, ...choice, rescale: true } }, base, models);
    // Over a base of zeros the result of one model is its sparsified task vector.
    for (const name of NAMES) expectClose(scaled.of(name), brute.rescaled(plain.of(name), models[0]![name]!));
  });

  test('models are scaled each by its own sums, before weights and election', async () => {
    const [base, ...models] = cast(1, 2, 0.3) as [Values, ...Values[]];
    const parameters = { density: 0.4, weight: 0.5, scope: 'tensor', lambda: 0.7 };
    const whole = { ...parameters, density: 1 };
    const scaledAlone = await Promise.all(
      models.map((model) =>
        run({ method: 'ties', parameters: { density: 0.4, scope: 'tensor', rescale: true } }, base, [model]),
      ),
    );
    const prepared = scaledAlone.map(({ of }): Values => Object.fromEntries(NAMES.map((name) => [name, of(name)])));
    const [one, two] = await Promise.all([
      run({ method: 'ties', parameters: { ...parameters, rescale: true } }, base, models),
      run({ method: 'ties', parameters: whole }, base, prepared),
    ]);
    // Adding the base and taking it away again rounds.
    for (const name of NAMES) expectClose(one.of(name), two.of(name));
  });

  test('with density 1 nothing changes, to the bit', async () => {
    const [base, ...models] = cast(1, 2, 0.3) as [Values, ...Values[]];
    for (const method of ['ties', 'breadcrumbs', 'dare_ties', 'della']) {
      const choice = method === 'dare_ties' || method === 'della' ? { rescale_by: 'sum' } : { gamma: 0 };
      const parameters = { density: 1, ...(method === 'ties' ? {} : choice) };
      const plain = await run({ method, parameters: { ...parameters, rescale: false } }, base, models);
      const scaled = await run({ method, parameters: { ...parameters, rescale: true } }, base, models);
      expect(sha256(scaled.bytes)).toBe(sha256(plain.bytes));
    }
  });

  test('with density 0 nothing is left, and nothing is scaled', async () => {
    const [base, ...models] = cast(1, 2, 0.3) as [Values, ...Values[]];
    for (const method of ['dare_linear', 'dare_ties', 'della', 'della_linear']) {
      for (const rescale_by of ['probability', 'sum']) {
        const { of } = await run({ method, parameters: { density: 0, rescale_by } }, base, models);
        for (const name of NAMES) expect(of(name)).toEqual(base[name]!.map((x) => x + 0));
      }
    }
  });
});

describe('properties', () => {
  test('one model alone comes back from ram, ramplus_tl and sce, within rounding', async () => {
    const [base, model] = cast(1, 2) as [Values, Values];
    for (const method of ['ram', 'ramplus_tl', 'sce']) {
      const { of } = await run({ method, parameters: method === 'sce' ? {} : { epsilon: 0 } }, base, [model]);
      for (const name of NAMES) expectClose(of(name), model[name]!);
    }
  });

  test('the order of the models changes roundings only', async () => {
    const [base, ...models] = cast(1, 2, 0.3, 1) as [Values, ...Values[]];
    const turned = [models[2]!, models[0]!, models[1]!];
    for (const [method, parameters] of [
      ['ram', { epsilon: 0.2 }],
      ['ramplus_tl', { epsilon: 0.2 }],
      ['sce', { select_topk: 0.3 }],
    ] as const) {
      const [one, other] = await Promise.all([models, turned].map((list) => run({ method, parameters }, base, list)));
      for (const name of NAMES) expectClose(one!.of(name), other!.of(name));
    }
  });

  test('sce: the size of the task vectors does not matter', async () => {
    const zero = Object.fromEntries(Object.entries(valuesOf(1, 1)).map(([name, list]) => [name, list.map(() => 0)]));
    const models = cast(1, 2, 0.3);
    const small = models.map((model) =>
      Object.fromEntries(Object.entries(model).map(([name, list]) => [name, list.map((x) => x * 2 ** -20)])),
    );
    const [large, tiny] = await Promise.all(
      [models, small].map((list) => run({ method: 'sce', parameters: { select_topk: 0.4 } }, zero, list)),
    );
    for (const name of NAMES) expect(tiny!.of(name).map((x) => x * 2 ** 20)).toEqual(large!.of(name));
  });

  test('the same bytes for any threads and chunks', async () => {
    const [base, ...models] = cast(1, 2, 3) as [Values, ...Values[]];
    for (const [method, parameters] of [
      ['ram', {}],
      ['ramplus_tl', { epsilon: 0.3 }],
      ['sce', { select_topk: 0.3 }],
      ['ties', { rescale: true }],
      ['breadcrumbs', { rescale: true, scope: 'row' }],
      ['dare_ties', { rescale_by: 'sum' }],
      ['della', { rescale_by: 'sum' }],
    ] as const) {
      const digests = new Set<string>();
      for (const options of [
        { threads: 1 },
        { threads: 2, chunkElements: 2048 },
        { threads: 3, chunkElements: 4096 },
      ]) {
        digests.add(sha256((await run({ method, parameters }, base, models, options)).bytes));
      }
      expect([method, digests.size]).toEqual([method, 1]);
    }
  });
});

test('what is not a number shows', async () => {
  const [base, ...models] = cast(1, 2, 3) as [Values, ...Values[]];
  models[1]!['a']![4] = Number.NaN;
  for (const method of ['ram', 'ramplus_tl', 'sce']) {
    const { of } = await run({ method }, base, models);
    expect(of('a')[4]).toBeNaN();
    expect(of('long').some(Number.isNaN)).toBe(false);
  }
});
