import type { AmalgamError } from '@amalgam/contracts';
import { byCodeUnit, quote } from '@amalgam/contracts';
import type { TensorEntry } from './safetensors-header.js';

/**
 * Puts the tensors of a header in offset order, in place, and checks that they fill the data from its first
 * byte to the file's last: no gap, no overlap, nothing missing, nothing left over. Messages count offsets
 * within the data, as the header does.
 *
 * `dataBegin`: where the data begins in the file, in bytes. `fail` makes the error that is thrown.
 */
export function checkLayout(
  tensors: TensorEntry[],
  dataBegin: number,
  fileBytes: number,
  fail: (problem: string) => AmalgamError,
): void {
  // Empty tensors share an offset with their neighbour; the name settles what is left open by the offsets.
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end || byCodeUnit(a.name, b.name));

  let previous: TensorEntry | undefined;
  for (const tensor of tensors) {
    const filled = previous?.end ?? dataBegin;
    if (tensor.begin > filled) throw fail(describeGap(previous, tensor, dataBegin));
    if (tensor.begin < filled && previous !== undefined) throw fail(describeOverlap(previous, tensor, dataBegin));
    previous = tensor;
  }

  const expected = previous?.end ?? dataBegin;
  if (fileBytes < expected) {
    const cut = tensors.find((tensor) => tensor.end > fileBytes);
    throw fail(
      `the file is truncated: its tensors end at byte ${expected}, but it has ${fileBytes} bytes ` +
        `(${expected - fileBytes} are missing); the first tensor cut off is ${quote(cut?.name ?? '')}`,
    );
  }
  if (fileBytes > expected) {
    throw fail(
      `${fileBytes - expected} trailing bytes belong to no tensor: ` +
        `the tensors end at byte ${expected}, but the file has ${fileBytes} bytes`,
    );
  }
}

function describeGap(previous: TensorEntry | undefined, tensor: TensorEntry, dataBegin: number): string {
  const begin = tensor.begin - dataBegin;
  if (previous === undefined) {
    return `tensor ${quote(tensor.name)}: the first tensor must begin at offset 0 of the data, not at ${begin}`;
  }
  return (
    `a gap in the data: tensor ${quote(previous.name)} ends at offset ${previous.end - dataBegin}, ` +
    `but the next one, ${quote(tensor.name)}, begins at ${begin}`
  );
}

function describeOverlap(previous: TensorEntry, tensor: TensorEntry, dataBegin: number): string {
  return (
    `tensors ${quote(previous.name)} and ${quote(tensor.name)} overlap: ` +
    `the first has offsets ${previous.begin - dataBegin} to ${previous.end - dataBegin}, ` +
    `the second ${tensor.begin - dataBegin} to ${tensor.end - dataBegin}`
  );
}
