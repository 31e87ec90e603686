import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAmalgamError, type Recipe, type Slice } from '@amalgam/contracts';
import { fromFloat32, toFloat32 } from '@amalgam/tensors';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { executeMerge, planMerge } from '../src/index.js';
import type { PlanOptions } from '../src/types.js';
import { decode, input, type Loaded, type Model, tempDir, writeModel } from './support.js';

const f = Math.fround;
const LAYERS = 4;
const SHAPES: Record<string, number[]> = { 'q.weight': [9, 14], 'norm.weight': [14] };

/** Deterministic values that float16 has, none of them equal in magnitude by more than chance. */
function wave(n: number, seed: number): Float32Array {
  const values = Float32Array.from({ length: n }, (_, i) => Math.sin(seed * 7.7 + i * 2.3) * 3);
  return toFloat32('F16', fromFloat32('F16', values));
}

const count = (shape: number[]) => shape.reduce((n, size) => n * size, 1);
const layer = (i: number, rest: string) => `model.layers.${i}.${rest}`;

/** Four layers, with a tensor before and one behind them. */
function model(seed: number): Model {
  const tensor = (shape: number[], own: number) => ({ dtype: 'F16' as const, shape, values: wave(count(shape), own) });
  const made: Model = {
    'model.embed_tokens.weight': tensor([21, 14], seed),
    'model.norm.weight': tensor([14], seed + 0.5),
  };
  for (let i = 0; i < LAYERS; i++) {
    for (const [rest, shape] of Object.entries(SHAPES))
      made[layer(i, rest)] = tensor(shape, seed + i + shape.length / 7);
  }
  return made;
}

async function load(dir: string, models: Record<string, Model>): Promise<Record<string, Loaded>> {
  const loaded = await Promise.all(
    Object.entries(models).map(async ([name, own]) => [name, await input(await writeModel(dir, name, own), name)]),
  );
  return Object.fromEntries(loaded) as Record<string, Loaded>;
}

/** The tensors that a recipe makes of models by their names, as they lie in the file. */
async function run(recipe: Recipe, inputs: Record<string, Loaded>, options: PlanOptions = {}) {
  const base = recipe.base === undefined ? null : inputs[recipe.base]!;
  const models = recipe.models.map((own) => inputs[own.model]!);
  const plan = planMerge(recipe, { base, models }, options);
  const outDir = tempDir();
  const all = base === null ? models : [base, ...models];
  const { report } = await executeMerge(plan, { outDir, pathOf: (at) => all[at]!.path, digests: false });
  return { plan, report, tensors: await decode(readFileSync(join(outDir, 'model.safetensors'))) };
}

const scene = () => load(tempDir(), { base: model(1), a: model(2), b: model(3) });
const AB = [{ model: 'a' }, { model: 'b' }];
type Tensors = Awaited<ReturnType<typeof run>>['tensors'];
const bytes = (tensors: Tensors) => [...tensors].map(([name, { data }]) => [name, Buffer.from(data).toString('hex')]);

describe('parameters that vary by tensor', () => {
  const number = fc.constantFrom(0.2, 0.5, 0.9, 1);
  const varying = fc.oneof(
    number,
    fc.array(number, { minLength: 1, maxLength: 3 }),
    fc.tuple(number, number).map(([own, others]) => [{ filter: 'q.weight', value: own }, { value: others }]),
    fc
      .tuple(fc.array(number, { minLength: 2, maxLength: 3 }), number)
      .map(([own, others]) => [{ filter: 'norm', value: own }, { value: others }]),
  );
  /** A method, what holds for all tensors, and which parameters of merge and models vary. */
  const methods: [string, Record<string, unknown>, string[], string[]][] = [
    ['linear', {}, [], ['weight']],
    ['slerp', {}, ['t'], []],
    ['ties', { scope: 'tensor' }, ['lambda'], ['weight', 'density']],
    ['dare_ties', { seed: 5 }, ['lambda'], ['weight', 'density']],
    ['breadcrumbs', { scope: 'row', gamma: 0.05 }, ['lambda'], ['weight', 'density']],
    ['sce', {}, ['select_topk'], []],
  ];
  const cases = fc.constantFrom(...methods).chain(([method, fixed, global, own]) =>
    fc.record({
      method: fc.constant(method),
      fixed: fc.constant(fixed),
      global: fc.record(Object.fromEntries(global.map((name) => [name, varying]))),
      models: fc.tuple(...AB.map(() => fc.record(Object.fromEntries(own.map((name) => [name, varying]))))),
    }),
  );

  test('each tensor is merged as where its parameters hold for all; no thread or chunk changes a byte', async () => {
    const inputs = await scene();
    await fc.assert(
      fc.asyncProperty(cases, async ({ method, fixed, global, models }) => {
        const recipe: Recipe = {
          method,
          base: 'base',
          models: AB.map((own, i) => ({ ...own, parameters: models[i]! })),
          parameters: { ...fixed, ...global },
        };
        const found = await run(recipe, inputs, { threads: 1 });
        for (const options of [
          { threads: 2, chunkElements: 2048 },
          { threads: 3, chunkElements: 4096 },
        ]) {
          const again = await run(recipe, inputs, options);
          expect(bytes(again.tensors)).toEqual(bytes(found.tensors));
          expect(again.report.tensors).toEqual(found.report.tensors);
        }
        const { settings } = found.plan;
        for (const [index, own] of settings.entries()) {
          const names = found.plan.merged.filter((tensor) => tensor.settings === index).map(({ name }) => name);
          const plain = await run(
            {
              ...{ method, base: 'base', parameters: own.global, merge: { include: names } },
              models: AB.map((each, i) => ({ ...each, parameters: own.models[i]! })),
            },
            inputs,
            { threads: 1 },
          );
          for (const name of names) {
            expect(Buffer.from(found.tensors.get(name)!.data)).toEqual(Buffer.from(plain.tensors.get(name)!.data));
          }
        }
      }),
      { numRuns: 6 },
    );
  }, 120_000);

  test('the report says what each tensor was merged with, where that is not the same for all', async () => {
    const inputs = await scene();
    const recipe: Recipe = { method: 'linear', models: AB, parameters: { weight: [1, 4] } };
    const { report } = await run(recipe, inputs);
    const weights = report.tensors.map(({ name, model_parameters }) => [
      name,
      model_parameters?.map((own) => own['weight']),
    ]);
    expect(Object.fromEntries(weights)).toMatchObject({
      'model.embed_tokens.weight': [1, 1],
      [layer(1, 'norm.weight')]: [2, 2],
      [layer(3, 'q.weight')]: [4, 4],
    });
    const plain = await run({ method: 'linear', models: AB }, inputs);
    expect(plain.report.tensors.every((tensor) => !('model_parameters' in tensor))).toBe(true);
  });

  test('a filter that no tensor matches is told, a gradient without layers is refused', async () => {
    const inputs = await scene();
    const weight = [{ filter: 'mlp.gate', value: 2 }, { value: 1 }];
    const { plan } = await run({ method: 'linear', models: AB, parameters: { weight } }, inputs);
    expect(plan.warnings).toEqual([expect.stringContaining('no tensor’s name contains "mlp.gate"')]);
    const flat = await load(tempDir(), {
      a: { w: { dtype: 'F32', shape: [3], values: wave(3, 1) } },
      b: { w: { dtype: 'F32', shape: [3], values: wave(3, 2) } },
    });
    const refused = run({ method: 'linear', models: AB, parameters: { weight: [1, 2] } }, flat);
    await expect(refused).rejects.toMatchObject({
      code: 'invalid_recipe',
      errors: [{ pointer: '/parameters/weight', detail: 'a list of values goes along the layers, and "a" has none' }],
    });
  });
});

describe('slices', () => {
  const source = (from: string, range: [number, number], parameters?: Record<string, unknown>) => ({
    ...{ model: from, layer_range: range },
    ...(parameters !== undefined && { parameters }),
  });
  const stored = async ({ path }: Loaded) => decode(readFileSync(path));

  test('passthrough stacks layers of several models, byte by byte', async () => {
    const inputs = await scene();
    const slices: Slice[] = [
      { sources: [source('a', [0, 2])] },
      { sources: [source('b', [1, 4])] },
      { sources: [source('a', [3, 4])] },
    ];
    const { plan, tensors } = await run({ method: 'passthrough', models: AB, slices }, inputs);
    const [a, b] = [await stored(inputs['a']!), await stored(inputs['b']!)];
    const origins = [
      [a, 0],
      [a, 1],
      [b, 1],
      [b, 2],
      [b, 3],
      [a, 3],
    ] as const;
    expect(tensors.size).toBe(origins.length * 2 + 2);
    origins.forEach(([from, index], i) => {
      for (const rest of Object.keys(SHAPES)) {
        expect(Buffer.from(tensors.get(layer(i, rest))!.data)).toEqual(Buffer.from(from.get(layer(index, rest))!.data));
      }
    });
    expect(Buffer.from(tensors.get('model.norm.weight')!.data)).toEqual(Buffer.from(a.get('model.norm.weight')!.data));
    expect(plan.heads).toEqual([]);
  });

  test('merge the sources’ layers, each slice with weights along its own layers; a model may be there twice', async () => {
    const inputs = await scene();
    const slices: Slice[] = [
      { sources: [source('a', [0, 3], { weight: [1, 0] }), source('b', [1, 4], { weight: [0, 1] })] },
      { sources: [source('b', [0, 1]), source('b', [3, 4], { weight: 3 })] },
    ];
    const recipe: Recipe = { method: 'linear', models: AB, slices, out_dtype: 'float32' };
    const { plan, tensors, report } = await run(recipe, inputs, { threads: 2, chunkElements: 2048 });
    const [a, b] = [await stored(inputs['a']!), await stored(inputs['b']!)];
    const parts = [
      [a, 0, 1, b, 1, 0],
      [a, 1, 0.5, b, 2, 0.5],
      [a, 2, 0, b, 3, 1],
      [b, 0, 1, b, 3, 3],
    ] as const;
    parts.forEach(([x, i, u, y, j, v], at) => {
      for (const rest of Object.keys(SHAPES)) {
        const [own, other] = [x.get(layer(i, rest))!.values!, y.get(layer(j, rest))!.values!];
        const expected = own.map((value, k) => f(f(f(value * u) + f(other[k]! * v)) / f(u + v)));
        expect(tensors.get(layer(at, rest))!.values).toEqual(expected);
      }
    });
    expect(plan.merged.find(({ name }) => name === layer(3, 'q.weight'))!.columns).toEqual([1, 1]);
    expect(report.tensors.find(({ name }) => name === layer(3, 'q.weight'))!.models).toEqual([1, 1]);
  });

  test('one threshold of each model over the tensors that it is merged into', async () => {
    const inputs = await scene();
    const slices: Slice[] = [
      { sources: [source('base', [0, 2]), source('a', [0, 2])] },
      { sources: [source('base', [2, 4]), source('a', [2, 4]), source('b', [2, 4])] },
    ];
    const parameters = { density: 0.4, scope: 'model' };
    const recipe: Recipe = { method: 'ties', base: 'base', models: AB, slices, parameters, out_dtype: 'float32' };
    const ways = [{ threads: 1 }, { threads: 2, chunkElements: 2048 }];
    const [found, again] = [await run(recipe, inputs, ways[0]), await run(recipe, inputs, ways[1])];
    expect(bytes(again.tensors)).toEqual(bytes(found.tensors));

    const own = { base: await stored(inputs['base']!), a: await stored(inputs['a']!), b: await stored(inputs['b']!) };
    /** Task vectors with the largest 0.4 of a model’s entries, over all that it is merged into. */
    const trimmed = (name: 'a' | 'b', column: number) => {
      const tensors = found.plan.merged.filter(({ columns }) => columns.includes(column)).map((tensor) => tensor.name);
      const deltas = tensors.map((tensor) => {
        const start = own.base.get(tensor)!.values!;
        return own[name].get(tensor)!.values!.map((x, i) => f(x - start[i]!));
      });
      const sizes = deltas.flatMap((list) => [...list].map(Math.abs)).sort((x, y) => y - x);
      const kept = Math.floor(0.4 * sizes.length);
      const bar = sizes[kept - 1]!;
      // Among equals those of lowest index come first; tensors are in order of their names.
      let equals = kept - sizes.filter((x) => x > bar).length;
      const isKept = (x: number) => Math.abs(x) > bar || (Math.abs(x) === bar && equals-- > 0);
      return new Map(tensors.map((tensor, i) => [tensor, deltas[i]!.map((x) => (isKept(x) ? x : 0))]));
    };
    const [a, b] = [trimmed('a', 0), trimmed('b', 1)];
    expect([a.size, b.size].sort()).toEqual([a.size, 5]);
    for (const [name, { values }] of found.tensors) {
      const lists = [a.get(name), b.get(name)].filter((list) => list !== undefined);
      const expected = own.base.get(name)!.values!.map((start, i) => {
        const entries = lists.map((list) => list[i]!).filter((x) => x !== 0);
        const sign = entries.reduce((sum, x) => f(sum + x), 0) >= 0 ? 1 : -1;
        const agreeing = entries.filter((x) => x * sign > 0);
        const mean = agreeing.length === 0 ? 0 : f(agreeing.reduce((sum, x) => f(sum + x), 0) / agreeing.length);
        return f(start + mean);
      });
      expect([name, values]).toEqual([name, expected]);
    }
    expect(found.report.inputs.slice(1).map(({ trimmed: share }) => share)).toEqual([
      expect.closeTo(0.6, 1),
      expect.closeTo(0.6, 1),
    ]);
  });

  test('task vectors need the base’s layers', async () => {
    const inputs = await scene();
    const slices: Slice[] = [
      { sources: [source('base', [0, 2]), source('a', [0, 2])] },
      { sources: [source('a', [2, 4])] },
    ];
    const refused = run({ method: 'ties', base: 'base', models: [{ model: 'a' }], slices }, inputs);
    await expect(refused).rejects.toMatchObject({
      code: 'invalid_recipe',
      errors: [
        { pointer: '/slices/1/sources', detail: expect.stringContaining('give the slice the layers of the base') },
      ],
    });
  });

  test('a model that is in a tensor twice has no order of entries over whole models', async () => {
    const inputs = await scene();
    const slices: Slice[] = [{ sources: [source('base', [0, 2]), source('a', [0, 2]), source('a', [2, 4])] }];
    const recipe = (scope: string): Recipe => {
      return { method: 'ties', base: 'base', models: [{ model: 'a' }], slices, parameters: { scope } };
    };
    const refused = await run(recipe('model'), inputs).catch((error: unknown) => error);
    expect(isAmalgamError(refused) && refused.errors[0]).toMatchObject({ pointer: '/parameters/scope' });
    expect((await run(recipe('tensor'), inputs)).plan.merged[1]!.columns).toEqual([0, 0]);
  });
});
