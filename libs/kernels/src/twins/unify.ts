/** Plain TypeScript twins of assembly/unify.ts. */
import { sumMagnitudes } from './arithmetic.js';

const f = Math.fround;

export function unify(deltas: Float32Array[], dst: Float32Array): void {
  for (let i = 0; i < dst.length; i++) {
    const own = deltas.map((delta) => delta[i]!);
    const sum = own.slice(1).reduce((all, x) => f(all + x), own[0]!);
    dst[i] = sum > 0 ? own.reduce((most, x) => (x > most ? x : most), 0) : own.reduce((l, x) => (x < l ? x : l), 0);
  }
}

export function takeAgreed(data: Float32Array, unified: Float32Array): void {
  for (let i = 0; i < data.length; i++) {
    const [own, all] = [data[i]!, unified[i]!];
    data[i] = (own > 0 && all > 0) || (own < 0 && all < 0) ? all : 0;
  }
}

export function sumShared(data: Float32Array, unified: Float32Array): number {
  const taken = data.slice();
  takeAgreed(taken, unified);
  return sumMagnitudes(taken);
}

export function packNonzero(src: Float32Array, dst: Uint8Array): void {
  dst.fill(0);
  for (let i = 0; i < src.length; i++) if (src[i] !== 0) dst[i >> 3]! |= 1 << (i & 7);
}
