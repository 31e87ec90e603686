import { writeFile } from 'node:fs/promises';
import { AmalgamError, byCodeUnit, type Dtype, quote } from '@amalgam/contracts';
import { LENGTH_BYTES, MAX_HEADER_BYTES, METADATA_KEY, readHeader } from './safetensors-header.js';
import { bytesOf, elementsOf, isDimension } from './shape.js';
import type { ByteSource } from './source.js';

/** What a header says of a tensor, besides where it lies. */
export interface TensorSpec {
  name: string;
  dtype: Dtype;
  shape: readonly number[];
}

/** A tensor with its bytes: little-endian, row-major, as the format stores them. */
export interface TensorData extends TensorSpec {
  data: Uint8Array;
}

export interface EncodedHeader {
  /** The file's beginning: length and JSON, padded with spaces to a multiple of 8 bytes. */
  header: Uint8Array;
  /** Where each tensor's bytes go, as offsets in the file, in the order the tensors were given. */
  begins: number[];
  fileBytes: number;
}

/**
 * The header of a safetensors file whose tensors follow one another in the given order. The same input gives
 * the same bytes: metadata is written first, by key in code unit order, and left out when it is empty.
 *
 * Errors: `invalid_checkpoint` for what `readHeader` would refuse (a name twice, a name that is not allowed,
 * a shape that is not one, a header above 100 000 000 bytes).
 */
export function encodeHeader(
  tensors: readonly TensorSpec[],
  metadata: Readonly<Record<string, string>> = {},
): EncodedHeader {
  // Written by hand: an object would put names such as "0" first, whatever their order here.
  const members: string[] = [];
  const keys = Object.keys(metadata).sort(byCodeUnit);
  if (keys.length > 0) {
    const pairs = keys.map((key) => `${encodeText(key)}:${encodeText(metadata[key] ?? '')}`);
    members.push(`"${METADATA_KEY}":{${pairs.join(',')}}`);
  }

  const names = new Set<string>();
  const offsets: number[] = [];
  let end = 0;
  for (const { name, dtype, shape } of tensors) {
    if (names.has(name)) throw refuse(name, 'is there twice');
    if (name === METADATA_KEY || name === '__proto__') throw refuse(name, 'this name is not allowed');
    names.add(name);
    const begin = end;
    end += sizeOf(name, dtype, shape);
    if (!Number.isSafeInteger(end)) throw refuse(name, 'the file would have more than 2^53 bytes');
    offsets.push(begin);
    members.push(
      `${encodeText(name)}:{"dtype":"${dtype}","shape":[${shape.join(',')}],"data_offsets":[${begin},${end}]}`,
    );
  }

  const json = Buffer.from(`{${members.join(',')}}`, 'utf8');
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new AmalgamError(
      'invalid_checkpoint',
      `the header of ${tensors.length} tensors would have ${length} bytes; at most ${MAX_HEADER_BYTES} are allowed`,
    );
  }
  const header = new Uint8Array(LENGTH_BYTES + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, LENGTH_BYTES);
  return {
    header,
    begins: offsets.map((offset) => header.length + offset),
    fileBytes: header.length + end,
  };
}

/** A whole small file in memory. Errors: as `encodeHeader`, and `invalid_checkpoint` for data of a wrong length. */
export function encodeSafetensors(
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const { header, begins, fileBytes } = encodeHeader(tensors, metadata);
  const file = new Uint8Array(fileBytes);
  file.set(header);
  tensors.forEach(({ name, dtype, shape, data }, i) => {
    const expected = sizeOf(name, dtype, shape);
    if (data.byteLength !== expected) {
      throw refuse(name, `has ${data.byteLength} bytes of data; its shape and dtype take ${expected}`);
    }
    file.set(data, begins[i]);
  });
  return file;
}

/** Writes a small file: fixtures, heads. Large ones are written piece by piece, after `encodeHeader`. */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeFile(path, encodeSafetensors(tensors, metadata));
}

/**
 * Every tensor of a small file, by name, in offset order. `data` begins an ArrayBuffer of its own, so a typed
 * array of any width fits over it. Errors: as `readHeader`.
 */
export async function readSafetensors(
  source: ByteSource,
): Promise<Map<string, { dtype: Dtype; shape: number[]; data: Uint8Array }>> {
  const { tensors } = await readHeader(source);
  const read = new Map<string, { dtype: Dtype; shape: number[]; data: Uint8Array }>();
  for (const { name, dtype, shape, begin, end } of tensors) {
    read.set(name, { dtype, shape, data: await source.read(begin, end - begin) });
  }
  return read;
}

function sizeOf(name: string, dtype: Dtype, shape: readonly number[]): number {
  if (!shape.every(isDimension))
    throw refuse(name, `shape [${shape.join(', ')}] must hold integers from 0 to 2^53 - 1`);
  const elements = elementsOf(shape);
  const bytes = elements === null ? null : bytesOf(dtype, elements);
  if (bytes === null) throw refuse(name, `shape [${shape.join(', ')}] has more than 2^53 elements or bytes`);
  return bytes;
}

/** JSON text. UTF-8 has no half surrogate pairs, so a name with one could not be read back. */
function encodeText(text: string): string {
  if (/\p{Surrogate}/u.test(text)) {
    throw new AmalgamError('invalid_checkpoint', `${quote(text)}: has half a surrogate pair, which UTF-8 cannot hold`);
  }
  return JSON.stringify(text);
}

function refuse(name: string, problem: string): AmalgamError {
  return new AmalgamError('invalid_checkpoint', `tensor ${quote(name)}: ${problem}`);
}
