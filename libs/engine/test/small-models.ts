import { decode, input, type Loaded, type Model, merge, tempDir, writeModel } from './support.js';

/** Models for tests of methods against their formulas. */

export type Values = Record<string, number[]>;

/** Odd shapes, a scalar, an empty tensor, tensors of zeros, rows of one, and one tensor of several blocks and chunks. */
export const SHAPES: Record<string, number[]> = {
  a: [7, 3],
  bias: [5],
  scalar: [],
  empty: [0, 4],
  frozen: [6],
  thin: [4, 1],
  deep: [2, 3, 5],
  long: [3, 3001],
};

export const NAMES = Object.keys(SHAPES);

/** Numbers from −0.5 to 0.5, the same for the same seed. */
export function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
}

/** Values around a direction that all models share, so that angles are of every size; `frozen` is zero in all. */
export function valuesOf(seed: number, spread: number): Values {
  const draw = uniform(seed);
  return Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => {
      const n = shape.reduce((product, size) => product * size, 1);
      const list = Array.from({ length: n }, (_, i) => Math.fround(Math.sin(i + 1) + spread * draw()));
      return [name, name === 'frozen' ? list.map(() => 0) : list];
    }),
  );
}

/** A model for each of the spreads. */
export const cast = (...spreads: number[]) => spreads.map((spread, i) => valuesOf(17 * i + 3, spread));

export async function load(name: string, values: Values): Promise<Loaded> {
  const model: Model = Object.fromEntries(
    Object.entries(values).map(([tensor, list]) => [tensor, { dtype: 'F32', shape: SHAPES[tensor]!, values: list }]),
  );
  return input(await writeModel(tempDir(), name, model), name);
}

/** Merges them, and tells what each tensor of the result holds. */
export async function run(
  recipe: Parameters<typeof merge>[0],
  base: Values | null,
  models: Values[],
  options: Parameters<typeof merge>[3] = { threads: 1, chunkElements: 2048 },
) {
  const loaded = await Promise.all(models.map((values, i) => load(`m${i}`, values)));
  const { contents, report } = await merge(recipe, base && (await load('base', base)), loaded, options);
  const bytes = contents.get('model.safetensors')!;
  const tensors = await decode(bytes);
  return { bytes, report, of: (name: string) => [...tensors.get(name)!.values!] };
}

/** Float32 sums of a few terms against float64: some units in the last place of the largest value around. */
export function expectClose(got: number[], expected: number[]) {
  if (got.length !== expected.length) throw new Error(`${got.length} values instead of ${expected.length}`);
  const unit = 2 ** -22 * Math.max(1e-30, ...expected.map(Math.abs), ...got.map(Math.abs));
  got.forEach((x, i) => {
    if (!(Math.abs(x - expected[i]!) <= unit)) throw new Error(`[${i}]: ${x} instead of ${expected[i]}`);
  });
}

/** A model's task vector in a tensor, rounded to float32. */
export const minus = (model: Values, base: Values, name: string) =>
  model[name]!.map((x, i) => Math.fround(x - base[name]![i]!));
