import type { TensorProto } from './model.js';
import { isStringTensor, readTensorBytes, tensorInfo, tensorStrings } from './tensor.js';

/** Bytes compared at a time, so that tensors of any size are. */
const CHUNK = 2 ** 22;

/** True when two tensors have the same dtype, shape and bytes, wherever these are stored. Errors: as `loadTensor`. */
export async function sameTensor(a: TensorProto, b: TensorProto): Promise<boolean> {
  if (a.dataType !== b.dataType || a.dims.length !== b.dims.length) return false;
  if (a.dims.some((dim, i) => dim !== b.dims[i])) return false;
  if (isStringTensor(a)) {
    const strings = tensorStrings(b);
    return tensorStrings(a).every((bytes, i) => Buffer.compare(bytes, strings[i]!) === 0);
  }
  if (a.rawData !== undefined && a.rawData === b.rawData) return true;
  if (a.data && b.data && a.data.source === b.data.source && a.data.offset === b.data.offset) return true;
  const { byteLength } = tensorInfo(a);
  for (let at = 0; at < byteLength; at += CHUNK) {
    const length = Math.min(CHUNK, byteLength - at);
    const [one, other] = await Promise.all([readTensorBytes(a, at, length), readTensorBytes(b, at, length)]);
    if (Buffer.compare(one, other) !== 0) return false;
  }
  return true;
}
