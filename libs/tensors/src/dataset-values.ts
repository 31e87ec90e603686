import { AmalgamError, type Dtype, dtypeBytes, quote } from '@amalgam/contracts';
import { type DatasetTensor, LABELS } from './dataset.js';
import type { DatasetReader } from './dataset-reader.js';
import { toFloat32 } from './half.js';

/** The label of a position that is not counted, as loss functions of PyTorch have it. */
export const IGNORED_LABEL = -100;

const CHUNK_BYTES = 2 ** 22;

type IsBad = (view: DataView, at: number) => boolean;

/** NaN and infinity have every bit of the exponent set; of the 8-bit format without infinity, all but the sign. */
const NOT_FINITE: Partial<Record<Dtype, IsBad>> = {
  F64: (view, at) => (view.getUint32(at + 4, true) & 0x7ff00000) === 0x7ff00000,
  F32: (view, at) => (view.getUint32(at, true) & 0x7f800000) === 0x7f800000,
  F16: (view, at) => (view.getUint16(at, true) & 0x7c00) === 0x7c00,
  BF16: (view, at) => (view.getUint16(at, true) & 0x7f80) === 0x7f80,
  F8_E5M2: (view, at) => (view.getUint8(at) & 0x7c) === 0x7c,
  F8_E4M3: (view, at) => (view.getUint8(at) & 0x7f) === 0x7f,
};

/**
 * Reads all of a floating-point tensor, a few megabytes at a time; one of another dtype has nothing to check.
 * Errors: `invalid_dataset` naming the first row with NaN or infinity.
 */
export async function checkFinite(reader: DatasetReader, name: string): Promise<void> {
  const tensor = reader.description.tensors.find((candidate) => candidate.name === name);
  const isBad = tensor && NOT_FINITE[tensor.dtype];
  if (tensor === undefined || isBad === undefined) return;
  const { dtype } = tensor;
  const width = dtypeBytes(dtype);
  for await (const { bytes, start, rowBytes } of chunks(reader, tensor)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; at += width) {
      if (!isBad(view, at)) continue;
      const value = toFloat32(dtype, bytes.slice(at, at + width))[0];
      const what = Number.isNaN(value) ? 'NaN' : 'infinity';
      throw refuse(reader, name, `has ${what} in row ${start + Math.floor(at / rowBytes)}`);
    }
  }
}

/**
 * Whether every label is a class: from 0 to `classes` - 1, or, where rows have positions, -100 for one that is not
 * counted. Errors: `invalid_dataset` when there are no labels, and naming the first row and value out of range.
 */
export async function checkLabels(reader: DatasetReader, classes: number): Promise<void> {
  const { tensor, read, width } = labelsOf(reader);
  const perPosition = tensor.shape.length > 1;
  for await (const { bytes, start, rowBytes } of chunks(reader, tensor)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; at += width) {
      const value = read(view, at);
      if ((value >= 0 && value < classes) || (perPosition && Number(value) === IGNORED_LABEL)) continue;
      const row = start + Math.floor(at / rowBytes);
      const allowed = `0 to ${classes - 1}${perPosition ? `, or ${IGNORED_LABEL} for a position that is not counted` : ''}`;
      throw refuse(
        reader,
        LABELS,
        `has ${value} in row ${row}; the logits have ${classes} classes, so labels are ${allowed}`,
      );
    }
  }
}

/**
 * The labels of some rows, those of all positions of a row one after the other. Exact up to 2^53. Errors: `invalid_dataset`
 * when there are none.
 */
export async function readLabels(reader: DatasetReader, rows: readonly number[]): Promise<number[]> {
  const { read, width } = labelsOf(reader);
  const bytes = await reader.gather(LABELS, rows);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / width }, (_, i) => Number(read(view, i * width)));
}

function labelsOf(reader: DatasetReader) {
  const tensor = reader.description.tensors.find(({ name }) => name === LABELS);
  if (tensor === undefined) throw refuse(reader, LABELS, 'is not there');
  const read = INTEGERS[tensor.dtype];
  if (read === undefined) throw refuse(reader, LABELS, `has dtype ${tensor.dtype}, which is not an integer one`);
  return { tensor, read, width: dtypeBytes(tensor.dtype) };
}

interface Chunk {
  bytes: Uint8Array;
  /** The first row. */
  start: number;
  rowBytes: number;
}

async function* chunks(reader: DatasetReader, { name, bytes, shape }: DatasetTensor): AsyncGenerator<Chunk> {
  const rows = shape[0] ?? 0;
  const rowBytes = bytes / rows;
  const atOnce = Math.max(1, Math.floor(CHUNK_BYTES / Math.max(1, rowBytes)));
  for (let start = 0; start < rows; start += atOnce) {
    yield { bytes: await reader.rows(name, start, Math.min(atOnce, rows - start)), start, rowBytes };
  }
}

/** Exact, whatever the width. */
const INTEGERS: Partial<Record<Dtype, (view: DataView, at: number) => number | bigint>> = {
  I64: (view, at) => view.getBigInt64(at, true),
  I32: (view, at) => view.getInt32(at, true),
  I16: (view, at) => view.getInt16(at, true),
  I8: (view, at) => view.getInt8(at),
  U64: (view, at) => view.getBigUint64(at, true),
  U32: (view, at) => view.getUint32(at, true),
  U16: (view, at) => view.getUint16(at, true),
  U8: (view, at) => view.getUint8(at),
};

function refuse(reader: DatasetReader, name: string, problem: string): AmalgamError {
  return new AmalgamError('invalid_dataset', `${reader.description.file}: tensor ${quote(name)} ${problem}`);
}
