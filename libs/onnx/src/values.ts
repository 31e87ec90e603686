import { AmalgamError } from '@amalgam/contracts';
import type { OnnxDtype } from './dtypes.js';
import type { TensorProto } from './model.js';
import { rawTensor, type TensorData, tensorData, tensorError } from './tensor.js';

type Writer = { width: number; set: (view: DataView, at: number, value: number) => void };
type Reader = (view: DataView, at: number) => number;

const WRITERS: Partial<Record<OnnxDtype, Writer>> = {
  F32: { width: 4, set: (view, at, value) => view.setFloat32(at, value, true) },
  F64: { width: 8, set: (view, at, value) => view.setFloat64(at, value, true) },
  I64: { width: 8, set: (view, at, value) => view.setBigInt64(at, BigInt(value), true) },
  I32: { width: 4, set: (view, at, value) => view.setInt32(at, value, true) },
  U8: { width: 1, set: (view, at, value) => view.setUint8(at, value) },
  BOOL: { width: 1, set: (view, at, value) => view.setUint8(at, value === 0 ? 0 : 1) },
};

const READERS: Partial<Record<OnnxDtype, Reader>> = {
  F32: (view, at) => view.getFloat32(at, true),
  F64: (view, at) => view.getFloat64(at, true),
  I64: (view, at) => clamp(view.getBigInt64(at, true)),
  U64: (view, at) => clamp(view.getBigUint64(at, true)),
  I32: (view, at) => view.getInt32(at, true),
  U32: (view, at) => view.getUint32(at, true),
  I16: (view, at) => view.getInt16(at, true),
  U16: (view, at) => view.getUint16(at, true),
  I8: (view, at) => view.getInt8(at),
  U8: (view, at) => view.getUint8(at),
  BOOL: (view, at) => view.getUint8(at),
};

/** A small tensor from numbers, for constants of a rewritten graph: dtype F32, F64, I64, I32, U8 or BOOL. */
export function tensorOf(
  name: string,
  dtype: 'F32' | 'F64' | 'I64' | 'I32' | 'U8' | 'BOOL',
  dims: readonly number[],
  values: ArrayLike<number>,
): TensorProto {
  const writer = WRITERS[dtype]!;
  const bytes = new Uint8Array(values.length * writer.width);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) writer.set(view, i * writer.width, values[i]!);
  return rawTensor(name, dtype, dims, bytes);
}

/**
 * The elements of a small tensor that is stored in the model: axes, shapes, indices, scalars. 64-bit integers
 * beyond 2^53 - 1 become that: exporters write 2^63 - 1 for "to the end". Errors: those of `tensorData`;
 * `unsupported_graph` for dtypes that JavaScript has no reader for.
 */
export function numbersOf(tensor: TensorProto | TensorData): number[] {
  const data = 'bytes' in tensor ? tensor : tensorData(tensor);
  const read = READERS[data.dtype];
  if (read === undefined) {
    const rule = `its ${data.dtype} elements cannot be read as numbers`;
    if ('bytes' in tensor) throw new AmalgamError('unsupported_graph', rule);
    throw new AmalgamError('unsupported_graph', tensorError(tensor, rule).detail);
  }
  const view = new DataView(data.bytes.buffer, data.bytes.byteOffset, data.bytes.byteLength);
  const width = data.elements === 0 ? 1 : data.byteLength / data.elements;
  return Array.from({ length: data.elements }, (_, i) => read(view, i * width));
}

/** A float32 tensor's elements, in an array of their own. Errors: those of `tensorData`, or another dtype. */
export function float32Of(tensor: TensorProto | TensorData): Float32Array {
  const { dtype, bytes } = 'bytes' in tensor ? tensor : tensorData(tensor);
  if (dtype !== 'F32') throw new AmalgamError('invalid_graph', `a float32 tensor is expected, this is ${dtype}`);
  return new Float32Array(new Uint8Array(bytes).buffer);
}

function clamp(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) return Number.MAX_SAFE_INTEGER;
  if (value < BigInt(Number.MIN_SAFE_INTEGER)) return Number.MIN_SAFE_INTEGER;
  return Number(value);
}
