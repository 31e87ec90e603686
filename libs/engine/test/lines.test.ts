import { isAmalgamError } from '@amalgam/contracts';
import { describe, expect, test } from 'vitest';
import { decode, input, type Loaded, merge, sha256, tempDir, writeModel } from './support.js';

type Values = Record<string, ArrayLike<number>>;
type Recipe = Parameters<typeof merge>[0];

const f = Math.fround;
const LAYERS = 4;
const SHAPES: Record<string, number[]> = {
  'embed.weight': [40, 16],
  ...Object.fromEntries(
    Array.from({ length: LAYERS }, (_, i) => [
      [`layers.${i}.mlp.weight`, [33, 70]],
      [`layers.${i}.mlp.bias`, [33]],
    ]).flat() as [string, number[]][],
  ),
  'norm.weight': [16],
};
const elements = (shape: readonly number[]) => shape.reduce((n, size) => n * size, 1);

function noise(n: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: n }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}
const values = (seed: number): Values =>
  Object.fromEntries(Object.entries(SHAPES).map(([name, shape], i) => [name, noise(elements(shape), seed + i)]));
const BASE = values(1);
const MODELS = [values(100), values(200), values(300)];

async function load(list: Values[], names: string[], shapes = SHAPES): Promise<Loaded[]> {
  const dir = tempDir();
  return Promise.all(
    list.map(async (own, i) => {
      const tensors = Object.entries(own).map(([name, numbers]) => [
        name,
        { dtype: 'F32', shape: shapes[name]!, values: Float32Array.from(numbers) },
      ]);
      return input(await writeModel(dir, names[i]!, Object.fromEntries(tensors)), names[i]!);
    }),
  );
}

async function run(recipe: Recipe, options: Parameters<typeof merge>[3] = { threads: 1 }) {
  const [base, ...models] = await load([BASE, ...MODELS], ['base', 'a', 'b', 'c']);
  return merge(recipe, base!, models, options);
}

const lines = (alpha: number | 'auto', beta: number) => [{ name: 'lines' as const, alpha, beta }];

/** What a method adds to the base: the very float32 values, from a merge over a base of zeros. */
async function mergedVectors(recipe: Recipe): Promise<Map<string, Float32Array>> {
  const zeros = Object.fromEntries(Object.entries(BASE).map(([name, list]) => [name, new Float32Array(list.length)]));
  const taus = MODELS.map((model) =>
    Object.fromEntries(
      Object.entries(BASE).map(([name, list]) => [name, Array.from(list, (b, i) => f(model[name]![i]! - b))]),
    ),
  );
  const [base, ...models] = await load([zeros, ...taus], ['base', 'a', 'b', 'c']);
  const { contents } = await merge(recipe, base!, models, { threads: 1 });
  const tensors = await decode(contents.get('model.safetensors')!);
  return new Map([...tensors].map(([name, tensor]) => [name, tensor.values!]));
}

/** By the formula, from the name: layer b of B, or none. */
function factorOf(name: string, alpha: number, beta: number): number {
  const layer = /^layers\.(\d+)\./.exec(name);
  return f(layer === null ? alpha : alpha + beta * (Number(layer[1]) / (LAYERS - 1)));
}

async function expectScaled(recipe: Recipe, alpha: number, beta: number, bytes: Uint8Array) {
  const vectors = await mergedVectors(recipe);
  for (const [name, { values }] of await decode(bytes)) {
    const factor = factorOf(name, alpha, beta);
    const expected = Array.from(BASE[name]!, (b, i) => f(b + f(factor * vectors.get(name)![i]!)));
    expect([...values!], name).toEqual(expected);
  }
}

const METHODS: Record<string, Recipe> = {
  'task arithmetic': { method: 'task_arithmetic', parameters: { lambda: 0.8 } },
  'ties over models': { method: 'ties', parameters: { density: 0.3 } },
  'ties over tensors': { method: 'ties', parameters: { density: 0.3, scope: 'tensor' } },
  dare: { method: 'dare_linear', parameters: { density: 0.5, seed: 3 } },
  'model stock': { method: 'model_stock' },
  consensus: { method: 'consensus_ta', parameters: { k: 2 } },
  pcb: { method: 'pcb' },
};

describe('lines', () => {
  test.each(Object.entries(METHODS))('scales what %s adds to the base, layer by layer', async (_, recipe) => {
    const { contents, report } = await run({ ...recipe, modifiers: lines(0.25, 0.5) });
    await expectScaled(recipe, 0.25, 0.5, contents.get('model.safetensors')!);
    expect(report.modifiers).toEqual([{ name: 'lines', alpha: 0.25, beta: 0.5 }]);
  });

  test('alpha auto is the ratio of the L1 norms, of whole task vectors and of what is merged', async () => {
    const recipe = METHODS['ties over models']!;
    const { contents, report } = await run({ ...recipe, modifiers: lines('auto', 0.5) });
    const merged = await mergedVectors(recipe);
    let [sum, own] = [0, 0];
    for (const [name, list] of merged) {
      list.forEach((x, i) => {
        own += Math.abs(x);
        const taus = MODELS.map((model) => f(model[name]![i]! - BASE[name]![i]!));
        sum += Math.abs(f(f(taus[0]! + taus[1]!) + taus[2]!));
      });
    }
    const [modifier] = report.modifiers!;
    const alpha = modifier!.alpha as number;
    expect(alpha / (sum / own / 3)).toBeCloseTo(1, 10);
    await expectScaled(recipe, alpha, 0.5, contents.get('model.safetensors')!);
  });

  test('alpha auto is 1 ÷ T for plain task arithmetic', async () => {
    const recipe = { method: 'task_arithmetic', parameters: { lambda: 1 }, modifiers: lines('auto', 0) };
    const { report } = await run(recipe);
    expect(report.modifiers![0]!.alpha).toBeCloseTo(1 / 3, 12);
  });

  test('alpha 1 and beta 0 change nothing', async () => {
    const recipe = METHODS['ties over models']!;
    const plain = await run(recipe);
    const scaled = await run({ ...recipe, modifiers: lines(1, 0) });
    const digest = ({ contents }: typeof plain) => sha256(contents.get('model.safetensors')!);
    expect(digest(scaled)).toBe(digest(plain));
  });

  test('with slices, depth is that in the result', async () => {
    const [base, model] = await load([BASE, MODELS[0]!], ['base', 'a']);
    const slices = (
      [
        [0, 2],
        [1, 4],
      ] as [number, number][]
    ).map((layer_range) => ({
      sources: [
        { model: 'base', layer_range },
        { model: 'a', layer_range },
      ],
    }));
    const recipe = { method: 'task_arithmetic', parameters: { lambda: 1 }, slices, modifiers: lines(0.2, 0.8) };
    const { contents } = await merge(recipe, base!, [model!], { threads: 1 });
    const tensors = await decode(contents.get('model.safetensors')!);
    [0, 1, 1, 2, 3].forEach((from, layer) => {
      const factor = f(0.2 + 0.8 * (layer / 4));
      const source = `layers.${from}.mlp.weight`;
      const expected = Array.from(BASE[source]!, (b, i) => f(b + f(factor * f(MODELS[0]![source]![i]! - b))));
      expect([...tensors.get(`layers.${layer}.mlp.weight`)!.values!]).toEqual(expected);
    });
  });

  test('gives the same bytes for any threads and chunks', async () => {
    const seen = new Set<string>();
    for (const options of [{ threads: 1 }, { threads: 2, chunkElements: 2048 }]) {
      const { contents } = await run({ ...METHODS['ties over models']!, modifiers: lines('auto', 0.7) }, options);
      seen.add(sha256(contents.get('model.safetensors')!));
    }
    expect(seen.size).toBe(1);
  });
});

describe('what lines refuses', () => {
  async function refusal(recipe: Recipe, withBase = true, shapes = SHAPES) {
    const kept = (own: Values) => Object.fromEntries(Object.entries(own).filter(([name]) => name in shapes));
    const [base, ...models] = await load([BASE, ...MODELS].map(kept), ['base', 'a', 'b', 'c'], shapes);
    return merge(recipe, withBase ? base! : null, models).then(
      () => expect.unreachable('it was not refused'),
      (error: unknown) => (isAmalgamError(error) ? error : expect.unreachable(String(error))),
    );
  }

  test('a method that works on weights', async () => {
    const error = await refusal({ method: 'linear', modifiers: lines(0.5, 0.5) });
    expect(error).toMatchObject({ code: 'invalid_recipe', errors: [{ pointer: '/modifiers/0' }] });
  });

  test('a recipe without base', async () => {
    const error = await refusal({ method: 'linear', modifiers: lines(0.5, 0.5) }, false);
    expect(error).toMatchObject({ code: 'invalid_recipe', errors: [{ pointer: '/base' }] });
  });

  test('emr, whose masks belong to the result as it is', async () => {
    const error = await refusal({ method: 'emr', modifiers: lines(0.5, 0.5) });
    expect(error).toMatchObject({ code: 'invalid_recipe', errors: [{ pointer: '/modifiers/0' }] });
  });

  test('a model without layers', async () => {
    const shapes = { 'embed.weight': SHAPES['embed.weight']!, 'norm.weight': SHAPES['norm.weight']! };
    const error = await refusal({ method: 'task_arithmetic', modifiers: lines(0.5, 0.5) }, true, shapes);
    expect(error).toMatchObject({ code: 'invalid_recipe', errors: [{ pointer: '/modifiers/0' }] });
    expect(error.message).toContain('no layers');
  });
});
