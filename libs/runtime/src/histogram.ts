import { dtypeBytes, type TensorHistogram, type TensorInfo } from '@amalgam/contracts';
import { readerOf } from './tensor-values.js';

/** The most that is read of a tensor. */
export const MOST_BYTES = 64 * 2 ** 20;
const BLOCK_BYTES = 2 ** 20;

/** Bytes of a file, from an offset. */
type Read = (offset: number, length: number) => Promise<Uint8Array>;

/** Which bytes of a tensor are read: `[offset, length]`, all of it, or `most` bytes in blocks spread evenly over it. */
export function chooseBlocks(
  { dtype, begin, bytes }: Pick<TensorInfo, 'dtype' | 'begin' | 'bytes'>,
  most: number = MOST_BYTES,
  block: number = BLOCK_BYTES,
): [offset: number, length: number][] {
  const width = dtypeBytes(dtype);
  const chosen = Math.min(Math.ceil(bytes / block), Math.max(1, Math.floor(most / block)));
  const blocks: [number, number][] = [];
  for (let i = 0; i < chosen; i++) {
    // The last one ends where the tensor does, and all of them begin at an element.
    const ideal = bytes <= most ? i * block : chosen === 1 ? 0 : (i * (bytes - block)) / (chosen - 1);
    const offset = Math.floor(ideal / width) * width;
    blocks.push([begin + offset, Math.min(block, bytes - offset)]);
  }
  return blocks;
}

/** Counts a tensor's values in `bins` bins of equal width between the least and the greatest; statistics in float64. */
export async function countValues(
  tensor: TensorInfo,
  bins: number,
  read: Read,
  blocks: readonly [number, number][] = chooseBlocks(tensor),
): Promise<TensorHistogram> {
  const { name, dtype, shape, bytes } = tensor;
  const width = dtypeBytes(dtype);
  const valueAt = readerOf(dtype);
  const views: DataView[] = [];
  let counted = 0;
  let finite = 0;
  let zeros = 0;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let mean = 0;
  let squares = 0;
  for (const [offset, length] of blocks) {
    const block = await read(offset, length);
    const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
    views.push(view);
    for (let at = 0; at < view.byteLength; at += width) {
      const value = valueAt(view, at);
      counted++;
      if (!Number.isFinite(value)) continue;
      finite++;
      if (value === 0) zeros++;
      if (value < min) min = value;
      if (value > max) max = value;
      // Welford: no large sums whose difference would be small.
      const off = value - mean;
      mean += off / finite;
      squares += off * (value - mean);
    }
  }
  const counts = new Array<number>(finite === 0 ? 0 : min === max ? 1 : bins).fill(0);
  // The span of the largest numbers is none, but that of their halves is.
  const part = Number.isFinite(max - min) ? 1 : 0.5;
  const span = max * part - min * part;
  for (const view of finite === 0 ? [] : views) {
    for (let at = 0; at < view.byteLength; at += width) {
      const value = valueAt(view, at);
      if (!Number.isFinite(value)) continue;
      const place = min === max ? 0 : (value * part - min * part) / span;
      const bin = Math.min(counts.length - 1, Math.floor(place * counts.length));
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
  }
  const some = finite > 0;
  return {
    object: 'tensor_histogram',
    tensor: name,
    dtype,
    shape,
    elements: bytes / width,
    counted,
    not_finite: counted - finite,
    zeros,
    min: some ? min : null,
    max: some ? max : null,
    mean: some ? mean : null,
    std: some ? Math.sqrt(squares / finite) : null,
    counts,
  };
}
