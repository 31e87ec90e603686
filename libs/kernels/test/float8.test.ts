import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Kernels } from '../src/index.js';

const recorded = JSON.parse(readFileSync(new URL('fixtures/float8.json', import.meta.url), 'utf8')) as Record<
  string,
  string
>;
const NAN = 0x7fc00000;

describe.each(['F8_E4M3', 'F8_E5M2'] as const)('%s', (dtype) => {
  test('all 256 codes are widened to the float32 that PyTorch gives them', () => {
    const kernels = new Kernels();
    const [codes, values] = [kernels.allocate(256), kernels.allocate(256 * 4)];
    kernels.bytes(codes, 256).set(Uint8Array.from({ length: 256 }, (_, code) => code));
    kernels.widen(dtype, codes, values, 256);
    const expected = recorded[dtype]!.split(' ').map((bits) => (bits === 'nan' ? NAN : Number.parseInt(bits, 16)));
    expect(expected).toHaveLength(256);
    expect([...kernels.words(values, 256)]).toEqual(expected);
  });
});
