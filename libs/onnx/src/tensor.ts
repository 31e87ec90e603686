import { constants } from 'node:buffer';
import { AmalgamError, quote } from '@amalgam/contracts';
import { dtypeOfCode, ONNX_DTYPES, type OnnxDtype, packedBytes, STRING_CODE } from './dtypes.js';
import type { TensorProto } from './model.js';
import type { NumberArray } from './number-list.js';

/** `dataLocation` of a tensor whose bytes are in a file beside the model. */
export const EXTERNAL = 1;

export interface TensorInfo {
  dtype: OnnxDtype;
  /** Not negative; a scalar has none. */
  dims: readonly number[];
  elements: number;
  /** Of the packed elements. */
  byteLength: number;
}

/** A tensor's elements: little-endian, row-major, as `rawData` has them. `bytes` may begin at any offset. */
export interface TensorData extends TensorInfo {
  bytes: Uint8Array;
}

/** A refusal that names the tensor. */
export function tensorError(tensor: TensorProto, rule: string, where?: string): AmalgamError {
  const place = where === undefined ? '' : `${where}: `;
  return new AmalgamError('invalid_graph', `${place}tensor ${quote(tensor.name ?? '')}: ${rule}`);
}

/** True when the tensor's bytes lie outside the model. */
export function isExternal(tensor: TensorProto): boolean {
  return tensor.dataLocation === EXTERNAL || tensor.data !== undefined;
}

export function isStringTensor(tensor: TensorProto): boolean {
  return tensor.dataType === STRING_CODE;
}

/**
 * Dtype, shape and size of a tensor that does not hold strings, from its header alone. Errors: `invalid_graph`
 * for an unknown dtype, strings, negative dimensions, and sizes beyond 2^53.
 */
export function tensorInfo(tensor: TensorProto, where?: string): TensorInfo {
  const elements = countElements(tensor, where);
  if (isStringTensor(tensor)) throw tensorError(tensor, 'holds strings, not numbers', where);
  const dtype = dtypeOfCode(tensor.dataType);
  if (dtype === undefined) throw tensorError(tensor, `there is no dtype ${tensor.dataType ?? 'given'}`, where);
  const byteLength = packedBytes(dtype, elements);
  if (byteLength === null) throw tensorError(tensor, `${shown(tensor)} has more than 2^53 bytes`, where);
  return { dtype, dims: tensor.dims, elements, byteLength };
}

/**
 * A tensor that is stored in the model, whatever field it is in. `rawData` is not copied. Errors: those of
 * `tensorInfo`, and `invalid_graph` when the elements are external (`loadTensor` reads those), are missing, or
 * are not as many as the shape takes.
 */
export function tensorData(tensor: TensorProto, where?: string): TensorData {
  const info = tensorInfo(tensor, where);
  if (isExternal(tensor)) throw tensorError(tensor, 'its elements are in another file', where);
  return { ...info, bytes: storedBytes(tensor, info, where) };
}

/** The strings of a string tensor, as bytes. Errors: `invalid_graph` when they do not fill the shape. */
export function tensorStrings(tensor: TensorProto, where?: string): Uint8Array[] {
  const elements = countElements(tensor, where);
  if (!isStringTensor(tensor)) throw tensorError(tensor, 'does not hold strings', where);
  const strings = tensor.stringData ?? [];
  if (isExternal(tensor) || tensor.rawData !== undefined) {
    throw tensorError(tensor, 'strings can only be in the list of strings', where);
  }
  checkCount(tensor, strings.length, elements, 'strings', where);
  return strings;
}

/**
 * Everything about a tensor that can be checked without reading another file. Errors: as `tensorData` and
 * `tensorStrings`.
 */
export function checkTensor(tensor: TensorProto, where?: string): void {
  if (isStringTensor(tensor)) {
    tensorStrings(tensor, where);
    return;
  }
  const info = tensorInfo(tensor, where);
  if (!isExternal(tensor)) checkStored(tensor, info, where);
}

/** A tensor of raw bytes. Errors: `invalid_graph` when they are not as many as the shape takes. */
export function rawTensor(name: string, dtype: OnnxDtype, dims: readonly number[], bytes: Uint8Array): TensorProto {
  const tensor: TensorProto = { dims: [...dims], dataType: ONNX_DTYPES[dtype].code, name, rawData: bytes };
  checkTensor(tensor);
  return tensor;
}

/**
 * A tensor whose bytes stay where they are, such as in a checkpoint, until the model is written with external
 * data: `length` bytes from `offset` of the source. Errors: `invalid_graph` when the shape takes another length.
 */
export function lazyTensor(
  name: string,
  dtype: OnnxDtype,
  dims: readonly number[],
  data: NonNullable<TensorProto['data']>,
): TensorProto {
  const tensor: TensorProto = { dims: [...dims], dataType: ONNX_DTYPES[dtype].code, name, data };
  const { byteLength } = tensorInfo(tensor);
  checkCount(tensor, data.length, byteLength, 'bytes');
  return tensor;
}

/** A tensor's elements, wherever they are. Errors: as `tensorData`, and those of the source. */
export async function loadTensor(tensor: TensorProto, where?: string): Promise<TensorData> {
  if (!isExternal(tensor)) return tensorData(tensor, where);
  const info = tensorInfo(tensor, where);
  if (info.byteLength > constants.MAX_LENGTH) {
    throw tensorError(tensor, `${info.byteLength} bytes are too many to be read at once`, where);
  }
  return { ...info, bytes: await readTensorBytes(tensor, 0, info.byteLength, where) };
}

/**
 * `length` of a tensor's bytes from `offset`, wherever they are: so that a tensor of any size can be read in
 * parts. Errors: as `loadTensor`; `invalid_graph` for a range outside the tensor.
 */
export async function readTensorBytes(
  tensor: TensorProto,
  offset: number,
  length: number,
  where?: string,
): Promise<Uint8Array> {
  const { byteLength } = tensorInfo(tensor, where);
  if (!(offset >= 0 && length >= 0 && offset + length <= byteLength)) {
    throw tensorError(tensor, `${length} bytes from byte ${offset} were asked for; it has ${byteLength}`, where);
  }
  if (!isExternal(tensor)) return tensorData(tensor, where).bytes.subarray(offset, offset + length);
  const { data } = tensor;
  if (data === undefined) {
    throw tensorError(tensor, 'its elements are in another file, and the model was not read from a file', where);
  }
  return data.source.read(data.offset + offset, length);
}

function countElements(tensor: TensorProto, where?: string): number {
  if (tensor.segment !== undefined) throw tensorError(tensor, 'tensors in segments are not supported', where);
  let elements = 1;
  for (const dim of tensor.dims) {
    if (!(Number.isSafeInteger(dim) && dim >= 0)) throw tensorError(tensor, `${shown(tensor)} is negative`, where);
    elements *= dim;
    if (!Number.isSafeInteger(elements))
      throw tensorError(tensor, `${shown(tensor)} has more than 2^53 elements`, where);
  }
  return elements;
}

/** The shape for a message; a hostile one has millions of dimensions. */
function shown({ dims }: TensorProto): string {
  return `shape [${dims.slice(0, 16).join(', ')}${dims.length > 16 ? ', …' : ''}]`;
}

function checkCount(tensor: TensorProto, count: number, expected: number, what: string, where?: string): void {
  if (count === expected) return;
  throw tensorError(tensor, `has ${count} ${what}; its shape and dtype take ${expected}`, where);
}

/** The typed field that holds the elements, or undefined when they are raw or there are none. */
function checkStored(tensor: TensorProto, info: TensorInfo, where?: string): NumberArray | undefined {
  const { bits, field } = ONNX_DTYPES[info.dtype];
  const used = (['floatData', 'int32Data', 'int64Data', 'doubleData', 'uint64Data'] as const).filter(
    (name) => (tensor[name]?.length ?? 0) > 0,
  );
  if (tensor.stringData !== undefined) throw tensorError(tensor, `${info.dtype} elements cannot be strings`, where);
  if (tensor.rawData !== undefined && (tensor.rawData.length > 0 || used.length === 0)) {
    if (used.length > 0) throw tensorError(tensor, `has elements both in rawData and in ${used[0]}`, where);
    checkCount(tensor, tensor.rawData.length, info.byteLength, 'bytes', where);
    return undefined;
  }
  const other = used.find((name) => name !== field);
  if (other !== undefined) throw tensorError(tensor, `${info.dtype} elements cannot be in ${other}`, where);
  const values = tensor[field];
  // Complex numbers take two entries each; what is packed into a byte shares one.
  const expected = info.dtype.startsWith('C') ? 2 * info.elements : bits < 8 ? info.byteLength : info.elements;
  checkCount(tensor, values?.length ?? 0, expected, `numbers in ${field}`, where);
  return values;
}

function storedBytes(tensor: TensorProto, info: TensorInfo, where?: string): Uint8Array {
  const values = checkStored(tensor, info, where);
  if (values === undefined) return tensor.rawData ?? new Uint8Array(0);
  const direct = values.BYTES_PER_ELEMENT * values.length === info.byteLength;
  if (direct) return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return narrowed(tensor, values, info, where);
}

/** Elements that are stored in wider numbers than they have bits. */
function narrowed(tensor: TensorProto, values: NumberArray, info: TensorInfo, where?: string): Uint8Array {
  const bytes = new Uint8Array(info.byteLength);
  const view = new DataView(bytes.buffer);
  const width = info.byteLength / values.length;
  const limit = 2 ** (8 * width);
  values.forEach((entry, i) => {
    const value = Number(entry);
    // Signed and unsigned are both written into the one field, by some writers as if they were the other.
    if (value < -limit / 2 || value >= limit) {
      throw tensorError(tensor, `element ${i} is ${value}, which ${info.dtype} cannot hold`, where);
    }
    if (width === 1) view.setUint8(i, value);
    else if (width === 2) view.setUint16(2 * i, value, true);
    else view.setUint32(4 * i, value, true);
  });
  return bytes;
}
