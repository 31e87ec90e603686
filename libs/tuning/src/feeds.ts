import { AmalgamError, type Dtype, dtypeBytes, quote } from '@amalgam/contracts';
import { type DatasetReader, toFloat32 } from '@amalgam/tensors';
import { Tensor } from 'onnxruntime-node';

type Maker = (bytes: Uint8Array<ArrayBuffer>, dims: readonly number[]) => Tensor;

/** Graph inputs of these dtypes can be fed; bfloat16 and float8 have no tensors in the runtime's package. */
const MAKERS: Partial<Record<Dtype, Maker>> = {
  F32: ({ buffer }, dims) => new Tensor('float32', new Float32Array(buffer), dims),
  F64: ({ buffer }, dims) => new Tensor('float64', new Float64Array(buffer), dims),
  F16: ({ buffer }, dims) => new Tensor('float16', new Uint16Array(buffer), dims),
  I64: ({ buffer }, dims) => new Tensor('int64', new BigInt64Array(buffer), dims),
  I32: ({ buffer }, dims) => new Tensor('int32', new Int32Array(buffer), dims),
  I16: ({ buffer }, dims) => new Tensor('int16', new Int16Array(buffer), dims),
  I8: ({ buffer }, dims) => new Tensor('int8', new Int8Array(buffer), dims),
  U64: ({ buffer }, dims) => new Tensor('uint64', new BigUint64Array(buffer), dims),
  U32: ({ buffer }, dims) => new Tensor('uint32', new Uint32Array(buffer), dims),
  U16: ({ buffer }, dims) => new Tensor('uint16', new Uint16Array(buffer), dims),
  U8: (bytes, dims) => new Tensor('uint8', bytes, dims),
  BOOL: (bytes, dims) => new Tensor('bool', bytes, dims),
};

/** Rows of a dataset's tensor, of several datasets in turn, as one tensor to feed. */
export async function gatherRows(
  parts: readonly { reader: DatasetReader; rows: readonly number[] }[],
  tensor: string,
): Promise<Tensor> {
  const pieces = await Promise.all(parts.map(({ reader, rows }) => reader.gather(tensor, rows)));
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  const { dtype, shape } = specOf(parts[0]!.reader, tensor);
  const count = parts.reduce((sum, { rows }) => sum + rows.length, 0);
  const make = MAKERS[dtype];
  if (make === undefined) {
    throw new AmalgamError('unsupported_graph', `the input ${quote(tensor)} is ${dtype}, which cannot be fed`);
  }
  return make(bytes, [count, ...shape.slice(1)]);
}

/** The same as ones and, where the tensor is zero, zeros. */
export async function gatherMask(
  parts: readonly { reader: DatasetReader; rows: readonly number[] }[],
  tensor: string,
): Promise<Tensor> {
  const { dtype, shape } = specOf(parts[0]!.reader, tensor);
  const width = dtypeBytes(dtype);
  const values: number[] = [];
  for (const { reader, rows } of parts) {
    const bytes = await reader.gather(tensor, rows);
    if (dtype.startsWith('F') || dtype === 'BF16') {
      for (const value of toFloat32(dtype, bytes)) values.push(value === 0 ? 0 : 1);
    } else {
      for (let at = 0; at < bytes.length; at += width) {
        values.push(bytes.subarray(at, at + width).some((byte) => byte !== 0) ? 1 : 0);
      }
    }
  }
  const count = parts.reduce((sum, { rows }) => sum + rows.length, 0);
  return new Tensor('float32', Float32Array.from(values), [count, ...shape.slice(1)]);
}

function specOf(reader: DatasetReader, tensor: string) {
  const found = reader.description.tensors.find(({ name }) => name === tensor);
  if (found === undefined) throw new AmalgamError('invalid_dataset', `there is no tensor ${quote(tensor)}`);
  return found;
}
