import { isUtf8 } from 'node:buffer';
import { AmalgamError, DTYPES, type Dtype, isDtype, quote } from '@amalgam/contracts';
import { foreignFormat, MAGIC_BYTES } from './foreign-formats.js';
import { JsonReader } from './json-reader.js';
import { checkLayout } from './safetensors-layout.js';
import { bytesOf, elementsOf } from './shape.js';
import type { ByteSource } from './source.js';

/** The limit of the safetensors crate on the header's length. */
export const MAX_HEADER_BYTES = 100_000_000;
/** Bytes of the length that a file begins with. */
export const LENGTH_BYTES = 8;
/** The header's member that holds no tensor. */
export const METADATA_KEY = '__metadata__';

export interface TensorEntry {
  name: string;
  dtype: Dtype;
  shape: number[];
  /** Offsets in the file (not in its data), in bytes; `end` is exclusive. */
  begin: number;
  end: number;
  elements: number;
}

export interface SafetensorsHeader {
  /** Where the data begins: 8 + the header's length. */
  headerBytes: number;
  fileBytes: number;
  /** `__metadata__`, without a prototype; empty when the file has none. */
  metadata: Record<string, string>;
  /** By offset; empty tensors come before the one they share an offset with. */
  tensors: TensorEntry[];
}

/**
 * Reads and validates the header of a safetensors file with two range reads (the length, then the header);
 * no tensor data is read. Everything that the Rust crate demands is checked (safetensors/src/tensor.rs), and
 * what the format's text says but the crate leaves to its JSON parser: no key twice, no other keys.
 *
 * Errors: `invalid_checkpoint` naming the file, the tensor and the rule; `unsafe_format` for pickle and zip.
 */
export async function readHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const fileBytes = await source.size();
  const headerBytes = await readHeaderLength(source, fileBytes);
  const json = await source.read(LENGTH_BYTES, headerBytes - LENGTH_BYTES);
  const fail = (problem: string): AmalgamError => new AmalgamError('invalid_checkpoint', `${source.name}: ${problem}`);

  if (!isUtf8(json)) throw fail('the header is not valid UTF-8');
  const { metadata, tensors } = parseHeader(json, headerBytes, fail);
  checkLayout(tensors, headerBytes, fileBytes, fail);
  return { headerBytes, fileBytes, metadata, tensors };
}

type Fail = (problem: string) => AmalgamError;

/** Where the data begins. The length is believed only when a header can indeed be there. */
async function readHeaderLength(source: ByteSource, fileBytes: number): Promise<number> {
  const start = await source.read(0, Math.min(fileBytes, MAGIC_BYTES));
  const fail = (problem: string): AmalgamError =>
    foreignFormat(source.name, start) ?? new AmalgamError('invalid_checkpoint', `${source.name}: ${problem}`);

  if (fileBytes < LENGTH_BYTES) {
    throw fail(`the file has ${fileBytes} bytes; a safetensors file has at least ${LENGTH_BYTES}`);
  }
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw fail(
      `the header's length is given as ${length} bytes, but at most ${MAX_HEADER_BYTES} are allowed; ` +
        'this is hardly a safetensors file',
    );
  }
  const headerBytes = LENGTH_BYTES + Number(length);
  const opens = start[LENGTH_BYTES] === 0x7b;
  if (headerBytes > fileBytes) {
    const problem = `the header's length is given as ${length} bytes, but only ${fileBytes - LENGTH_BYTES} follow; the file is truncated`;
    // With an opening brace in its place it was a safetensors file, whatever its length looks like.
    throw opens ? new AmalgamError('invalid_checkpoint', `${source.name}: ${problem}`) : fail(problem);
  }
  if (length === 0n) throw fail('the header is empty; it must be a JSON object');
  if (!opens) throw fail(`the header begins with byte 0x${hex(start[LENGTH_BYTES])}; it must begin with {`);
  return headerBytes;
}

function parseHeader(
  json: Uint8Array,
  headerBytes: number,
  fail: Fail,
): { metadata: Record<string, string>; tensors: TensorEntry[] } {
  const reader = new JsonReader(json, (problem) => fail(`the header is not valid JSON: ${problem}`));
  const metadata = Object.create(null) as Record<string, string>;
  const tensors: TensorEntry[] = [];
  reader.readObject((key) => {
    if (key === METADATA_KEY) readMetadata(reader, metadata, fail);
    else tensors.push(readTensor(reader, key, headerBytes, fail));
  });
  reader.end();
  return { metadata, tensors };
}

function readMetadata(reader: JsonReader, metadata: Record<string, string>, fail: Fail): void {
  const kind = reader.peek();
  if (kind !== 'object') throw fail(`${METADATA_KEY} must be an object of strings, not ${kind}`);
  reader.readObject((key) => {
    const kind = reader.peek();
    if (kind !== 'string') throw fail(`${METADATA_KEY}: the value of ${quote(key)} must be a string, not ${kind}`);
    metadata[key] = reader.readString();
  });
}

function readTensor(reader: JsonReader, name: string, headerBytes: number, failFile: Fail): TensorEntry {
  const fail: Fail = (problem) => failFile(`tensor ${quote(name)}: ${problem}`);
  if (name === '__proto__') throw fail('this name is not allowed');
  if (reader.peek() !== 'object') {
    throw fail(`must be an object with dtype, shape and data_offsets, not ${reader.peek()}`);
  }
  let dtype: Dtype | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  reader.readObject((key) => {
    if (key === 'dtype') dtype = readDtype(reader, fail);
    else if (key === 'shape') shape = readIntegers(reader, 'shape', fail);
    else if (key === 'data_offsets') offsets = readIntegers(reader, 'data_offsets', fail);
    else throw fail(`unknown key ${quote(key)}; only dtype, shape and data_offsets are allowed`);
  });
  if (dtype === undefined) throw fail('has no dtype');
  if (shape === undefined) throw fail('has no shape');
  if (offsets === undefined) throw fail('has no data_offsets');

  const [begin, end, more] = offsets;
  if (begin === undefined || end === undefined || more !== undefined) {
    throw fail(`data_offsets must be two numbers, not ${offsets.length}`);
  }
  if (end < begin) throw fail(`data_offsets end at ${end}, before they begin at ${begin}`);
  const elements = elementsOf(shape);
  const bytes = elements === null ? null : bytesOf(dtype, elements);
  if (elements === null || bytes === null) {
    throw fail(`shape ${showShape(shape)} of ${dtype} has more than 2^53 elements or bytes`);
  }
  if (bytes !== end - begin) {
    throw fail(
      `shape ${showShape(shape)} of ${dtype} takes ${bytes} bytes, ` +
        `but data_offsets ${begin} to ${end} hold ${end - begin}`,
    );
  }
  return { name, dtype, shape, begin: headerBytes + begin, end: headerBytes + end, elements };
}

function readDtype(reader: JsonReader, fail: Fail): Dtype {
  if (reader.peek() !== 'string') throw fail(`dtype must be a string, not ${reader.peek()}`);
  const dtype = reader.readString();
  if (!isDtype(dtype)) throw fail(`unknown dtype ${quote(dtype)}; known: ${DTYPES.join(', ')}`);
  return dtype;
}

/** A list of non-negative integers. `1.0` and `1e3` are not integers here, as they are not in the Rust crate. */
function readIntegers(reader: JsonReader, what: string, fail: Fail): number[] {
  if (reader.peek() !== 'array') throw fail(`${what} must be an array, not ${reader.peek()}`);
  const values: number[] = [];
  reader.readArray(() => {
    if (reader.peek() !== 'number') throw fail(`${what} must hold integers, not ${reader.peek()}`);
    const text = reader.readNumber();
    const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value)) {
      throw fail(`${what} must hold integers from 0 to 2^53 - 1, not ${text.slice(0, 40)}`);
    }
    values.push(value);
  });
  return values;
}

function showShape(shape: readonly number[]): string {
  return shape.length <= 16 ? `[${shape.join(', ')}]` : `[${shape.slice(0, 16).join(', ')}, … ${shape.length} in all]`;
}

function hex(byte: number | undefined): string {
  return (byte ?? 0).toString(16).padStart(2, '0');
}
