import type { Dtype } from '@amalgam/contracts';
import { decodeBf16, decodeE4m3, decodeE5m2, decodeF16 } from '@amalgam/tensors';

type Read = (view: DataView, offset: number) => number;

/** One little-endian element as a number. Whole numbers beyond 2^53 are rounded. */
const READ: Record<Dtype, Read> = {
  F64: (view, offset) => view.getFloat64(offset, true),
  F32: (view, offset) => view.getFloat32(offset, true),
  F16: table(decodeF16),
  BF16: table(decodeBf16),
  F8_E5M2: (view, offset) => decodeE5m2(view.getUint8(offset)),
  F8_E4M3: (view, offset) => decodeE4m3(view.getUint8(offset)),
  I64: (view, offset) => Number(view.getBigInt64(offset, true)),
  I32: (view, offset) => view.getInt32(offset, true),
  I16: (view, offset) => view.getInt16(offset, true),
  I8: (view, offset) => view.getInt8(offset),
  U64: (view, offset) => Number(view.getBigUint64(offset, true)),
  U32: (view, offset) => view.getUint32(offset, true),
  U16: (view, offset) => view.getUint16(offset, true),
  U8: (view, offset) => view.getUint8(offset),
  BOOL: (view, offset) => view.getUint8(offset),
};

/** How an element of a dtype is read. */
export function readerOf(dtype: Dtype): Read {
  return READ[dtype];
}

/** The 65 536 values of a format of 16 bits, worked out when the first one is read. */
function table(decode: (bits: number) => number): Read {
  let values: Float32Array | undefined;
  return (view, offset) => {
    values ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => decode(bits));
    return values[view.getUint16(offset, true)] ?? Number.NaN;
  };
}
