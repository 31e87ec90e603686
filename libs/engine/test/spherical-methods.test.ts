import { isAmalgamError } from '@amalgam/contracts';
import { describe, expect, test } from 'vitest';
import * as brute from './brute-spherical.js';
import { cast, expectClose, minus, NAMES, run, type Values, valuesOf } from './small-models.js';
import { sha256 } from './support.js';

const names = NAMES;

describe('equal float64 brute force, tensor by tensor', () => {
  // Nearly aligned (a straight line), at an angle, and far apart.
  for (const spread of [0.001, 1, 40]) {
    test.each([0.3, 1.2])(`slerp, spread ${spread}, t %d`, async (t) => {
      const models = cast(spread, spread);
      const { of } = await run({ method: 'slerp', parameters: { t } }, null, models);
      for (const name of names)
        expectClose(
          of(name),
          brute.slerp(
            models.map((values) => values[name]!),
            t,
          ),
        );
    });

    test.each([
      [1, 1],
      [0.2, 0.7],
      [-0.5, 0.5],
    ])(`nuslerp, spread ${spread}, weights %d and %d, with and without a base`, async (w0, w1) => {
      const [base, ...models] = cast(1, spread, spread) as [Values, Values, Values];
      const recipe = { method: 'nuslerp', models: [w0, w1].map((weight) => ({ parameters: { weight } })) };
      const plain = await run(recipe, null, models);
      const based = await run(recipe, base, models);
      for (const name of names) {
        expectClose(
          plain.of(name),
          brute.nuslerp(
            models.map((values) => values[name]!),
            [w0, w1],
          ),
        );
        const turned = brute.nuslerp(
          models.map((values) => minus(values, base, name)),
          [w0, w1],
        );
        expectClose(
          based.of(name),
          turned.map((x, i) => base[name]![i]! + x),
        );
      }
    });

    test.each([true, false])(`multislerp, spread ${spread}, normalize_weights %s`, async (normalize_weights) => {
      const [base, ...models] = cast(1, spread, spread, spread) as [Values, ...Values[]];
      const weights = [0.5, 1, 0.2];
      const recipe = {
        method: 'multislerp',
        parameters: { normalize_weights },
        models: weights.map((weight) => ({ parameters: { weight } })),
      };
      const plain = await run(recipe, null, models);
      const based = await run(recipe, base, models);
      for (const name of names.filter((tensor) => tensor !== 'empty' && tensor !== 'frozen')) {
        const blend = (x: number[][]) => brute.multislerp(x, weights, normalize_weights, 1e-8);
        expectClose(plain.of(name), blend(models.map((values) => values[name]!)));
        const turned = blend(models.map((values) => minus(values, base, name)));
        expectClose(
          based.of(name),
          turned.map((x, i) => base[name]![i]! + x),
        );
      }
      expect(based.of('frozen')).toEqual(base['frozen']);
    });

    test(`karcher, spread ${spread}`, async () => {
      const models = cast(spread, spread, spread);
      const { of } = await run({ method: 'karcher', parameters: { max_iter: 50 } }, null, models);
      for (const name of names)
        expectClose(
          of(name),
          brute.karcher(
            models.map((values) => values[name]!),
            50,
            1e-5,
          ),
        );
    });

    test(`model_stock, spread ${spread}`, async () => {
      const [base, ...models] = cast(0.5, spread, spread, spread) as [Values, ...Values[]];
      const { of } = await run({ method: 'model_stock' }, base, models);
      for (const name of names)
        expectClose(
          of(name),
          brute.modelStock(
            base[name]!,
            models.map((values) => values[name]!),
          ),
        );
    });

    test.each([0.001, 0.2])(`nearswap, spread ${spread}, t %d`, async (t) => {
      const [base, model] = cast(spread, spread) as [Values, Values];
      const { of } = await run({ method: 'nearswap', parameters: { t } }, base, [model]);
      for (const name of names) expectClose(of(name), brute.nearswap(base[name]!, model[name]!, t));
    });
  }
});

describe('identities', () => {
  test('slerp at 0 and 1 is one of the models, and of a model with itself the model', async () => {
    const models = cast(1, 1);
    for (const t of [0, 1]) {
      const { of } = await run({ method: 'slerp', parameters: { t } }, null, models);
      for (const name of names) expect(of(name)).toEqual(models[t]![name]);
    }
    const same = await run({ method: 'slerp' }, null, [models[0]!, models[0]!]);
    for (const name of names) expectClose(same.of(name), models[0]![name]!);
  });

  test('one model alone comes back from multislerp, and within rounding from karcher', async () => {
    const [model] = cast(2) as [Values];
    const multi = await run({ method: 'multislerp' }, null, [model]);
    const mean = await run({ method: 'karcher' }, null, [model]);
    for (const name of names) {
      expect(multi.of(name)).toEqual(model[name]);
      expectClose(mean.of(name), model[name]!);
    }
  });

  test('equal weights: multislerp, nuslerp and slerp agree on models of equal norm', async () => {
    const [first] = cast(3) as [Values];
    // The same numbers in another order have the same norm.
    const second = Object.fromEntries(Object.entries(first).map(([name, list]) => [name, [...list].reverse()]));
    const results = await Promise.all(
      ['slerp', 'nuslerp', 'multislerp'].map((method) => run({ method }, null, [first, second])),
    );
    for (const { of } of results.slice(1)) {
      for (const name of ['a', 'bias', 'long']) expectClose(of(name), results[0]!.of(name));
    }
  });

  test('model_stock: equal models are taken over, opposite ones leave the base', async () => {
    const [base, model] = cast(1, 2) as [Values, Values];
    const equal = await run({ method: 'model_stock' }, base, [model, model]);
    for (const name of names) expectClose(equal.of(name), model[name]!);
    const mirrored = Object.fromEntries(
      names.map((name) => [name, base[name]!.map((b, i) => 2 * b - model[name]![i]!)]),
    );
    const opposite = await run({ method: 'model_stock' }, base, [model, mirrored]);
    for (const name of names) expect(opposite.of(name)).toEqual(base[name]);
  });

  test('nearswap: t 0 leaves the base, a large t takes the model', async () => {
    const [base, model] = cast(1, 1) as [Values, Values];
    const none = await run({ method: 'nearswap', parameters: { t: 0 } }, base, [model]);
    const all = await run({ method: 'nearswap', parameters: { t: 1e6 } }, base, [model]);
    for (const name of names) {
      expect(none.of(name)).toEqual(base[name]);
      expectClose(all.of(name), model[name]!);
    }
  });

  test('the order of equally weighted models changes roundings only', async () => {
    const models = cast(2, 3, 4);
    for (const method of ['karcher', 'multislerp']) {
      const [one, other] = await Promise.all(
        [models, [models[2]!, models[0]!, models[1]!]].map((list) => run({ method }, null, list)),
      );
      for (const name of names.filter((tensor) => tensor !== 'empty')) expectClose(one!.of(name), other!.of(name));
    }
  });
});

test('the same bytes for any threads and chunks', async () => {
  const [base, ...models] = cast(1, 2, 3) as [Values, Values, Values];
  for (const method of ['slerp', 'nuslerp', 'multislerp', 'karcher', 'model_stock']) {
    const digests = new Set<string>();
    for (const options of [{ threads: 1 }, { threads: 2, chunkElements: 2048 }, { threads: 3, chunkElements: 4096 }]) {
      const needsBase = method === 'model_stock' || method === 'nuslerp';
      const { bytes } = await run({ method }, needsBase ? base : null, models, options);
      digests.add(sha256(bytes));
    }
    expect([method, digests.size]).toEqual([method, 1]);
  }
});

describe('what is not a number, and what is not defined', () => {
  test('a NaN in one model shows in the whole tensor, and in no other', async () => {
    const models = cast(1, 2);
    models[1]!['a']![4] = Number.NaN;
    for (const method of ['slerp', 'karcher']) {
      const { of } = await run({ method }, null, models);
      expect(of('a').every(Number.isNaN)).toBe(true);
      expect(of('long').some(Number.isNaN)).toBe(false);
    }
  });

  test('multislerp refuses three directions that cancel, and names the tensor', async () => {
    const at = (x: number, y: number): Values => ({ ...valuesOf(1, 1), bias: [x, y, 0, 0, 0] });
    const h = Math.sqrt(0.75);
    const work = run({ method: 'multislerp' }, null, [at(1, 0), at(-0.5, h), at(-0.5, -h)]);
    const error: unknown = await work.catch((reason: unknown) => reason);
    if (!isAmalgamError(error)) throw error;
    expect([error.code, error.errors]).toEqual([
      'invalid_recipe',
      [{ pointer: '/models', detail: expect.stringContaining('tensor "bias"') }],
    ]);
  });

  test.each([
    ['slerp', 1],
    ['slerp', 3],
    ['nuslerp', 3],
    ['nearswap', 2],
    ['arcee_fusion', 2],
    ['passthrough', 2],
    ['model_stock', 1],
  ])('%s does not take %i models', async (method, count) => {
    const models = cast(...Array.from({ length: count }, () => 1));
    const needsBase = ['model_stock', 'nearswap', 'arcee_fusion'].includes(method);
    const error: unknown = await run({ method }, needsBase ? valuesOf(9, 1) : null, models).catch((reason) => reason);
    if (!isAmalgamError(error)) throw error;
    expect(error.errors).toEqual([{ pointer: '/models', detail: expect.stringContaining(`not ${count}`) }]);
  });
});
