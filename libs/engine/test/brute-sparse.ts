import { createHash } from 'node:crypto';
import type { Vectors } from './brute-force.js';

/**
 * DARE, DELLA and Model Breadcrumbs once more, from the formulas: whole models in memory, sorting, and the random generator written
 * out. Float32 (Math.fround after each operation), so equality to the last bit is asked.
 */
const f = Math.fround;

export type Shapes = Record<string, readonly number[]>;

export type Keep =
  | { by: 'chance'; density: number; rescale: boolean; seed: number }
  | { by: 'rank'; density: number; epsilon: number; rescale: boolean; seed: number }
  | { by: 'band'; density: number; gamma: number; scope: 'model' | 'tensor' | 'row' };

export interface Combine {
  weight: number[];
  lambda: number;
  normalize: boolean;
  consensus: 'none' | 'sum' | 'count';
}

const names = (vectors: Vectors) => [...vectors.keys()].sort((a, b) => (a < b ? -1 : 1));

/** Philox4x32-10: key (seed, model); counter (block in two words, first eight bytes of the name's SHA-256). */
function philox(seed: number, model: number, name: string, block: bigint): number[] {
  const hash = createHash('sha256').update(name).digest();
  const low = 0xffffffffn;
  let x = [block & low, block >> 32n, BigInt(hash.readUInt32LE(0)), BigInt(hash.readUInt32LE(4))] as const;
  let [key0, key1] = [BigInt(seed), BigInt(model)];
  for (let round = 0; round < 10; round++) {
    const [a, b] = [x[0] * 0xd2511f53n, x[2] * 0xcd9e8d57n];
    x = [(b >> 32n) ^ x[1] ^ key0, b & low, (a >> 32n) ^ x[3] ^ key1, a & low];
    key0 = (key0 + 0x9e3779b9n) & low;
    key1 = (key1 + 0xbb67ae85n) & low;
  }
  return x.map(Number);
}

/** By entry: its byte of the sixteen of a block, and below it 24 bits of its word of a block from 2^63 on. */
export function randomNumbers(seed: number, model: number, name: string, n: number): number[] {
  const bytes: number[] = [];
  const lower: number[] = [];
  for (let block = 0n; bytes.length < n; block++) {
    for (const word of philox(seed, model, name, block)) {
      for (const shift of [0, 8, 16, 24]) bytes.push((word >>> shift) & 255);
    }
  }
  for (let block = 0n; lower.length < n; block++) lower.push(...philox(seed, model, name, block + 2n ** 63n));
  return Array.from({ length: n }, (_, i) => bytes[i]! * 2 ** 24 + (lower[i]! & 0xffffff));
}

/** Indices by magnitude, the largest first, the lowest index first among equals. */
function largestFirst(values: ArrayLike<number>): number[] {
  return Array.from(values, (_, i) => i).sort((a, b) => Math.abs(values[b]!) - Math.abs(values[a]!) || a - b);
}

function inBand(values: ArrayLike<number>, density: number, gamma: number): boolean[] {
  const d = values.length;
  const kept = Math.min(d, Math.max(1, Math.floor(density * d)));
  const outliers = Math.min(d - kept, Math.floor(gamma * d));
  const inside = new Array<boolean>(d).fill(false);
  for (const i of largestFirst(values).slice(outliers, outliers + kept)) inside[i] = true;
  return inside;
}

function rows(values: Float32Array, shape: readonly number[]): Float32Array[] {
  const length = shape.at(-1) ?? 1;
  return Array.from({ length: values.length === 0 ? 0 : values.length / length }, (_, r) =>
    values.subarray(r * length, (r + 1) * length),
  );
}

/** By the formula: the share of a row's entries that are smaller, ties counted in the middle. */
function probabilities(row: Float32Array, density: number, epsilon: number): number[] {
  const [low, high] = density === 1 ? [1, 1] : [density - epsilon, density + epsilon];
  return Array.from(row, (x) => {
    let [smaller, equal] = [0, 0];
    for (const y of row) {
      if (Math.abs(y) < Math.abs(x)) smaller++;
      else if (Math.abs(y) === Math.abs(x)) equal++;
    }
    const meanRank = smaller + (equal - 1) / 2;
    return f(low + (high - low) * (row.length === 1 ? 0.5 : meanRank / (row.length - 1)));
  });
}

function draw(values: Float32Array, p: number[], numbers: number[], rescale: boolean): Float32Array {
  return values.map((x, i) => {
    if (p[i]! < 1 && numbers[i]! >= Math.floor(p[i]! * 2 ** 32)) return 0;
    return rescale ? f(x / p[i]!) : x;
  });
}

export function sparsify(vectors: Vectors, model: number, keep: Keep, shapes: Shapes): Vectors {
  if (keep.by === 'band' && keep.scope === 'model') {
    const all = inBand(
      names(vectors).flatMap((name) => [...vectors.get(name)!]),
      keep.density,
      keep.gamma,
    );
    let at = 0;
    return new Map(names(vectors).map((name) => [name, vectors.get(name)!.map((x) => (all[at++] ? x : 0))]));
  }
  return new Map(
    names(vectors).map((name) => {
      const values = vectors.get(name)!;
      const shape = shapes[name]!;
      if (keep.by === 'band') {
        const groups = keep.scope === 'row' ? rows(values, shape) : [values];
        const inside = groups.flatMap((group) => inBand(group, keep.density, keep.gamma));
        return [name, values.map((x, i) => (inside[i] ? x : 0))];
      }
      const p =
        keep.by === 'chance'
          ? Array.from(values, () => f(keep.density))
          : rows(values, shape).flatMap((row) => probabilities(row, keep.density, keep.epsilon));
      return [name, draw(values, p, randomNumbers(keep.seed, model, name, values.length), keep.rescale)];
    }),
  );
}

/** The merged model, the entries that each model keeps, and the share of entries with survivors of both signs. */
export function mergeSparse(base: Vectors, models: Vectors[], keep: Keep, combine: Combine, shapes: Shapes) {
  const sparse = models.map((model, k) => {
    const delta = new Map(
      names(base).map((name) => [name, base.get(name)!.map((b, i) => f(model.get(name)![i]! - b))]),
    );
    return sparsify(delta, k, keep, shapes);
  });
  let conflicts = 0;
  let elements = 0;
  const merged = new Map<string, Float32Array>();
  for (const name of names(base)) {
    merged.set(
      name,
      base.get(name)!.map((b, i) => {
        const x = sparse.map((own, k) => f(f(combine.weight[k]!) * own.get(name)![i]!));
        elements++;
        if (x.some((y) => y > 0) && x.some((y) => y < 0)) conflicts++;
        return f(b + f(f(combine.lambda) * join(x, combine)));
      }),
    );
  }
  return { merged, sparse, conflicts: conflicts / elements };
}

function join(x: number[], { weight, normalize, consensus }: Combine): number {
  if (consensus === 'none') {
    const sum = x.slice(1).reduce((all, y) => f(all + y), x[0]!);
    return normalize ? f(sum / f(weight.reduce((all, w) => all + w, 0))) : sum;
  }
  const votes =
    consensus === 'count' ? x.reduce((all, y) => all + Math.sign(y), 0) : x.reduce((all, y) => f(all + y), 0);
  const agreeing = x.map((y, k) => ({ y, w: Math.abs(f(weight[k]!)) })).filter(({ y }) => (votes >= 0 ? y > 0 : y < 0));
  const sum = agreeing.reduce((all, { y }) => f(all + y), 0);
  return normalize && agreeing.length > 0 ? f(sum / agreeing.reduce((all, { w }) => f(all + w), 0)) : sum;
}
