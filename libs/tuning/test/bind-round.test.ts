import { fromFloat32 } from '@amalgam/tensors';
import { expect, it } from 'vitest';
import { bytesAs } from '../src/bind-round.js';

/** Every float16 and bfloat16, what lies halfway to the next, and a little beside that. */
function cases(): Float32Array {
  const patterns: number[] = [];
  for (let exponent = 0; exponent < 256; exponent++) {
    for (const fraction of [
      0, 0x0fff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000, 0x8001, 0x17fff, 0x18000, 0x7fffff,
    ]) {
      const magnitude = exponent * 2 ** 23 + fraction;
      patterns.push(magnitude, magnitude + 2 ** 31);
    }
  }
  // Around the subnormals of float16, 2^-24 apart, and around its largest number.
  const values = new Float32Array(Uint32Array.from(patterns).buffer);
  const small = Array.from({ length: 4200 }, (_, i) => (i / 4) * 2 ** -24);
  return Float32Array.from([...values, ...small, 65503, 65504, 65519.99, 65520, 65536, 2 ** -25]);
}

it.each(['F16', 'BF16', 'F32', 'F64'] as const)('rounds to %s as the reference encoder does', (dtype) => {
  expect(bytesAs(dtype, cases())).toEqual(fromFloat32(dtype, cases()));
});
