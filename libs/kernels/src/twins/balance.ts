/** Plain TypeScript twins of assembly/balance.ts. Every operation rounds to float32, but for exp and tanh. */
import { exp, tanh } from './exponential.js';

const f = Math.fround;

/** Of one model, as in the kernels' table. */
export interface Bounds {
  low: number;
  high: number;
  weight: number;
  least: number;
  most: number;
}

const clip = (x: number, { low, high }: Bounds) => {
  const size = Math.abs(x);
  return size < low ? low : size > high ? high : size;
};

const signed = (size: number, x: number) => (x > 0 ? size : x < 0 ? -size : x);

const scaled = (x: number, low: number, high: number) => (high === low ? 0 : f(f(x - low) / f(high - low)));

/** B_k of one entry. */
function balancesOf(entry: number[], bounds: Bounds[]): number[] {
  const units = entry.map((x, k) => scaled(clip(x, bounds[k]!), bounds[k]!.low, bounds[k]!.high));
  const sum = entry.reduce((total, x, k) => f(total + signed(units[k]!, x)), 0);
  return entry.map((x, k) => {
    const within = f(exp(f(entry.length * f(units[k]! * units[k]!))));
    return f(within * f(tanh(f(x * sum))));
  });
}

/** In place; 0 for what is below its model's least balance, where that is above 0. */
export function balance(vectors: Float32Array[], bounds: Bounds[]): void {
  for (let i = 0; i < vectors[0]!.length; i++) {
    const entry = vectors.map((vector) => vector[i]!);
    balancesOf(entry, bounds).forEach((b, k) => {
      const { least } = bounds[k]!;
      vectors[k]![i] = least > 0 && b < least ? 0 : b;
    });
  }
}

export function mergeBalanced(vectors: Float32Array[], bounds: Bounds[], dst: Float32Array): void {
  for (let i = 0; i < dst.length; i++) {
    const entry = vectors.map((vector) => vector[i]!);
    let merged = 0;
    let total = 0;
    balancesOf(entry, bounds).forEach((b, k) => {
      const { weight, least, most } = bounds[k]!;
      const own = f(weight * signed(clip(entry[k]!, bounds[k]!), entry[k]!));
      const share = b < least ? 0 : scaled(b, least, most);
      merged = f(merged + f(own * share));
      total = f(total + share);
    });
    dst[i] = merged / Math.max(total, f(1e-12));
  }
}
