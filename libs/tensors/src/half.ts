import { AmalgamError, type Dtype, dtypeBytes } from '@amalgam/contracts';

/**
 * The small floating-point formats, one number at a time: for tests and small tools; the kernels do the bulk.
 * Encoders take any JavaScript number and round once, to nearest even. NaN always becomes the one quiet NaN
 * named below, because JavaScript does not keep the sign or payload of a NaN.
 */
interface FloatFormat {
  mantissaBits: number;
  /** Exponent of the smallest normal number, and of the spacing of the subnormals below it. */
  minExponent: number;
  signBit: number;
  /** The largest pattern, without the sign, that stands for a finite number. */
  maxFinite: number;
  /** What a value that rounds beyond `maxFinite` becomes. */
  overflow: number;
  nan: number;
}

/** IEEE 754 binary16. */
const F16: FloatFormat = {
  mantissaBits: 10,
  minExponent: -14,
  signBit: 0x8000,
  maxFinite: 0x7bff,
  overflow: 0x7c00,
  nan: 0x7e00,
};
/** The upper half of binary32. */
const BF16: FloatFormat = {
  mantissaBits: 7,
  minExponent: -126,
  signBit: 0x8000,
  maxFinite: 0x7f7f,
  overflow: 0x7f80,
  nan: 0x7fc0,
};
/** FP8 Formats for Deep Learning (Micikevicius et al. 2022), table 1: no infinities, so overflow gives NaN. */
const E4M3: FloatFormat = {
  mantissaBits: 3,
  minExponent: -6,
  signBit: 0x80,
  maxFinite: 0x7e,
  overflow: 0x7f,
  nan: 0x7f,
};
/** The same paper: with infinities, as IEEE 754 would have it. */
const E5M2: FloatFormat = {
  mantissaBits: 2,
  minExponent: -14,
  signBit: 0x80,
  maxFinite: 0x7b,
  overflow: 0x7c,
  nan: 0x7f,
};

/** A pattern of 16 bits to its value. */
export const decodeF16 = (bits: number): number => decode(F16, bits);
/** The nearest float16's pattern; from 65520 on, infinity. */
export const encodeF16 = (value: number): number => encode(F16, value);
/** A pattern of 16 bits to its value. */
export const decodeBf16 = (bits: number): number => decode(BF16, bits);
/** The nearest bfloat16's pattern. */
export const encodeBf16 = (value: number): number => encode(BF16, value);
/** A pattern of 8 bits to its value; 0x7f and 0xff are NaN. */
export const decodeE4m3 = (bits: number): number => decode(E4M3, bits);
/** The nearest F8_E4M3's pattern; beyond 464 (which rounds to 448) and for infinities, NaN. As PyTorch, not saturating. */
export const encodeE4m3 = (value: number): number => encode(E4M3, value);
/** A pattern of 8 bits to its value. */
export const decodeE5m2 = (bits: number): number => decode(E5M2, bits);
/** The nearest F8_E5M2's pattern; from 61440 on, infinity. */
export const encodeE5m2 = (value: number): number => encode(E5M2, value);

function decode(format: FloatFormat, bits: number): number {
  const magnitude = bits & (format.signBit - 1);
  const sign = (bits & format.signBit) === 0 ? 1 : -1;
  if (magnitude > format.maxFinite) {
    return magnitude === format.overflow && format.overflow !== format.nan
      ? sign * Number.POSITIVE_INFINITY
      : Number.NaN;
  }
  const exponent = magnitude >> format.mantissaBits;
  const fraction = magnitude & (2 ** format.mantissaBits - 1);
  // Exponent field 0 is subnormal: no implied one, and the spacing of field 1.
  const units = exponent === 0 ? fraction : fraction + 2 ** format.mantissaBits;
  return sign * units * 2 ** (format.minExponent + Math.max(exponent, 1) - 1 - format.mantissaBits);
}

function encode(format: FloatFormat, value: number): number {
  if (Number.isNaN(value)) return format.nan;
  const sign = value < 0 || Object.is(value, -0) ? format.signBit : 0;
  const magnitude = Math.abs(value);
  if (magnitude === Number.POSITIVE_INFINITY) return sign | format.overflow;
  const exponent = Math.max(exponentOf(magnitude), format.minExponent);
  // Exact, being a division by a power of two: the value counted in units of the last place.
  const units = roundToEven(magnitude / 2 ** (exponent - format.mantissaBits));
  // The implied one adds itself to the exponent field, and so does a carry out of the rounding.
  const pattern = (exponent - format.minExponent) * 2 ** format.mantissaBits + units;
  return sign | (pattern > format.maxFinite ? format.overflow : pattern);
}

const scratch = new DataView(new ArrayBuffer(8));

/** The exponent of a number: e in 1.f * 2^e. Below the normal numbers of binary64 it is -1023, which no format minds. */
function exponentOf(magnitude: number): number {
  scratch.setFloat64(0, magnitude);
  return ((scratch.getUint16(0) >> 4) & 0x7ff) - 1023;
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

type Read = (view: DataView, at: number) => number;
type Write = (view: DataView, at: number, value: number) => void;

/** Safetensors data is little-endian, whatever the machine. */
const CODECS: Partial<Record<Dtype, { read: Read; write: Write }>> = {
  F64: { read: (view, at) => view.getFloat64(at, true), write: (view, at, value) => view.setFloat64(at, value, true) },
  F32: { read: (view, at) => view.getFloat32(at, true), write: (view, at, value) => view.setFloat32(at, value, true) },
  F16: words(decodeF16, encodeF16),
  BF16: words(decodeBf16, encodeBf16),
  F8_E4M3: octets(decodeE4m3, encodeE4m3),
  F8_E5M2: octets(decodeE5m2, encodeE5m2),
};

function words(
  decodeOne: (bits: number) => number,
  encodeOne: (value: number) => number,
): { read: Read; write: Write } {
  return {
    read: (view, at) => decodeOne(view.getUint16(at, true)),
    write: (view, at, value) => view.setUint16(at, encodeOne(value), true),
  };
}

function octets(
  decodeOne: (bits: number) => number,
  encodeOne: (value: number) => number,
): { read: Read; write: Write } {
  return {
    read: (view, at) => decodeOne(view.getUint8(at)),
    write: (view, at, value) => view.setUint8(at, encodeOne(value)),
  };
}

/**
 * Elements of any floating dtype, as stored, to float32. Exact but for F64, which is rounded to nearest even.
 * Errors: `dtype_unsupported` for integers and booleans; `invalid_checkpoint` for a length that is no whole
 * number of elements.
 */
export function toFloat32(dtype: Dtype, bytes: Uint8Array): Float32Array {
  const { read } = codecOf(dtype);
  const width = dtypeBytes(dtype);
  if (bytes.byteLength % width !== 0) {
    throw new AmalgamError(
      'invalid_checkpoint',
      `${bytes.byteLength} bytes are no whole number of ${dtype} elements of ${width} bytes`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array(bytes.byteLength / width);
  for (let i = 0; i < values.length; i++) values[i] = read(view, i * width);
  return values;
}

/**
 * Numbers to the stored bytes of any floating dtype, each rounded once to nearest even. A list of plain
 * numbers is taken as float64. Errors: `dtype_unsupported` for integers and booleans.
 */
export function fromFloat32(dtype: Dtype, values: Float32Array | readonly number[]): Uint8Array {
  const { write } = codecOf(dtype);
  const width = dtypeBytes(dtype);
  const bytes = new Uint8Array(values.length * width);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) write(view, i * width, values[i] ?? 0);
  return bytes;
}

function codecOf(dtype: Dtype): { read: Read; write: Write } {
  const codec = CODECS[dtype];
  if (codec === undefined) {
    throw new AmalgamError('dtype_unsupported', `${dtype} is not a floating-point dtype`);
  }
  return codec;
}
