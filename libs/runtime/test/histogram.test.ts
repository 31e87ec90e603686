import type { TensorInfo } from '@amalgam/contracts';
import { encodeBf16 } from '@amalgam/tensors';
import { describe, expect, it } from 'vitest';
import { chooseBlocks, countValues } from '../src/histogram.js';
import { readHistogram } from '../src/read-histogram.js';

const BEGIN = 16;

/** A tensor in a file with something before it. */
function stored(dtype: TensorInfo['dtype'], data: ArrayBufferView, elements: number) {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const file = new Uint8Array(BEGIN + bytes.length).fill(0xff);
  file.set(bytes, BEGIN);
  const tensor: TensorInfo = {
    name: 'w',
    dtype,
    shape: [elements],
    bytes: bytes.length,
    file: 'model.safetensors',
    begin: BEGIN,
  };
  return { tensor, read: async (offset: number, length: number) => file.slice(offset, offset + length) };
}

describe('the histogram of a tensor', () => {
  it('has bins of equal width from the least value to the greatest, which is in the last', async () => {
    const { tensor, read } = stored('F32', Float32Array.of(-1, -0.5, 0, 0, 0.5, 0.99, 1), 7);
    const found = await countValues(tensor, 4, read);
    expect(found.counts).toEqual([1, 1, 2, 3]);
    expect(found).toMatchObject({ elements: 7, counted: 7, zeros: 2, not_finite: 0, min: -1, max: 1 });
    const values = [-1, -0.5, 0, 0, 0.5, Math.fround(0.99), 1];
    const mean = values.reduce((sum, value) => sum + value, 0) / 7;
    const std = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 7);
    expect(found.mean).toBeCloseTo(mean, 12);
    expect(found.std).toBeCloseTo(std, 12);
  });

  it('leaves out what is not finite, and says how much', async () => {
    const { tensor, read } = stored('F64', Float64Array.of(Number.NaN, 2, Number.POSITIVE_INFINITY, 3), 4);
    expect(await countValues(tensor, 2, read)).toMatchObject({ not_finite: 2, counts: [1, 1], min: 2, max: 3 });
    const empty = stored('F32', Float32Array.of(Number.NaN), 1);
    expect(await countValues(empty.tensor, 2, empty.read)).toMatchObject({ counts: [], min: null, mean: null });
  });

  it('has one bin where all values are the same, and none where there are none', async () => {
    const same = stored('I64', BigInt64Array.of(7n, 7n), 2);
    expect(await countValues(same.tensor, 8, same.read)).toMatchObject({ counts: [2], min: 7, max: 7, std: 0 });
    const none = stored('F32', new Float32Array(0), 0);
    expect(await countValues(none.tensor, 8, none.read)).toMatchObject({ counts: [], counted: 0, max: null });
  });

  it('spans the largest numbers', async () => {
    const { tensor, read } = stored('F64', Float64Array.of(-Number.MAX_VALUE, 0, Number.MAX_VALUE), 3);
    expect((await countValues(tensor, 3, read)).counts.reduce((sum, count) => sum + count, 0)).toBe(3);
  });

  it('reads of a large tensor blocks from its beginning to its end, at whole elements', () => {
    const tensor = { dtype: 'F32', begin: 8, bytes: 1000 } as const;
    expect(chooseBlocks(tensor, 300, 100)).toEqual([
      [8, 100],
      [8 + 448, 100],
      [8 + 900, 100],
    ]);
    expect(chooseBlocks({ ...tensor, bytes: 240 }, 300, 100)).toEqual([
      [8, 100],
      [108, 100],
      [208, 40],
    ]);
  });

  it('is worked out in a thread, of the small formats too', async () => {
    const values = [-2, 1, 1, 2];
    const { tensor, read } = stored('BF16', Uint16Array.from(values, encodeBf16), values.length);
    const folder = { source: () => ({ name: 'f', size: async () => 0, read }) };
    expect(await readHistogram(folder, tensor, 2)).toMatchObject({ counts: [1, 3], min: -2, max: 2, dtype: 'BF16' });
  });
});
