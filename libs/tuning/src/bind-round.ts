/**
 * Float32 values rounded to the bits of a 16-bit format, to nearest even: the same as `fromFloat32` of
 * @amalgam/tensors, fast enough for whole models. All NaN become one.
 */
export function roundTo16(dtype: 'F16' | 'BF16', values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(values.length);
  const round = dtype === 'F16' ? toF16 : toBf16;
  for (let i = 0; i < bits.length; i++) result[i] = round(bits[i]!);
  return result;
}

/** The little-endian bytes of values in an initializer's dtype, each rounded to nearest even. */
export function bytesAs(dtype: 'F32' | 'F64' | 'F16' | 'BF16', values: Float32Array): Uint8Array {
  const numbers = dtype === 'F32' ? values : dtype === 'F64' ? Float64Array.from(values) : roundTo16(dtype, values);
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

const ONE = new Float32Array(1);
const ONE_BITS = new Uint32Array(ONE.buffer);

function toBf16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  // Half a unit of the last place, less one where the last bit is even; a carry runs into the exponent.
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function toF16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    const units = magnitude - 0x38000000;
    return sign | ((units + 0xfff + ((units >>> 13) & 1)) >>> 13);
  }
  // Subnormal: the unit of the last place of a float32 at 0.5 is that of float16's subnormals, 2^-24.
  ONE_BITS[0] = magnitude;
  ONE[0] = ONE[0]! + 0.5;
  return sign | (ONE_BITS[0]! - 0x3f000000);
}
