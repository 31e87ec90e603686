/** Plain TypeScript twins of assembly/convert.ts: the readable definition of each conversion. */

const scratch = new DataView(new ArrayBuffer(8));

export function bitsOf(x: number): number {
  scratch.setFloat32(0, x);
  return scratch.getUint32(0);
}

export function fromBits(bits: number): number {
  scratch.setUint32(0, bits);
  return scratch.getFloat32(0);
}

const F32_NAN = 0x7fc00000;

/** Copies float32 bits, NaN made the canonical positive quiet NaN. */
export function storeF32(src: Uint32Array, dst: Uint32Array): void {
  for (let i = 0; i < src.length; i++) dst[i] = (src[i]! & 0x7fffffff) > 0x7f800000 ? F32_NAN : src[i]!;
}

/** bfloat16 bits → float32 bits, exactly (NaN payloads kept). */
export function widenBF16(src: Uint16Array, dst: Uint32Array): void {
  for (let i = 0; i < src.length; i++) dst[i] = src[i]! << 16;
}

/** float32 bits → bfloat16 bits, round to nearest even. */
export function narrowBF16(src: Uint32Array, dst: Uint16Array): void {
  for (let i = 0; i < src.length; i++) {
    const x = src[i]!;
    if ((x & 0x7fffffff) > 0x7f800000) dst[i] = 0x7fc0;
    else dst[i] = (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
}

/** float16 bits → float32 bits, exactly; NaN canonical. */
export function widenF16(src: Uint16Array, dst: Uint32Array): void {
  for (let i = 0; i < src.length; i++) {
    const h = src[i]!;
    const sign = (h & 0x8000) << 16;
    const exponent = (h >> 10) & 31;
    const mantissa = h & 0x3ff;
    if (exponent === 31) dst[i] = mantissa === 0 ? sign | 0x7f800000 : F32_NAN;
    else {
      const magnitude = exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25);
      dst[i] = sign | bitsOf(magnitude);
    }
  }
}

/** float32 bits → float16 bits, round to nearest even, overflow to infinity. */
export function narrowF16(src: Uint32Array, dst: Uint16Array): void {
  for (let i = 0; i < src.length; i++) {
    const sign = (src[i]! >>> 16) & 0x8000;
    const magnitude = fromBits(src[i]! & 0x7fffffff);
    if (Number.isNaN(magnitude)) dst[i] = 0x7e00;
    else if (magnitude >= 65520) dst[i] = sign | 0x7c00;
    // Counting in units of the last place, the code of a float16 is an integer that runs through all exponents.
    else if (magnitude < 2 ** -14) dst[i] = sign | roundEven(magnitude * 2 ** 24);
    else {
      const exponent = Math.floor(Math.log2(magnitude));
      dst[i] = sign | (roundEven(magnitude * 2 ** (10 - exponent)) + ((exponent + 14) << 10));
    }
  }
}

/** float64 → float32 bits, round to nearest even; NaN canonical. */
export function widenF64(src: Float64Array, dst: Uint32Array): void {
  for (let i = 0; i < src.length; i++) dst[i] = Number.isNaN(src[i]) ? F32_NAN : bitsOf(src[i]!);
}

/** float32 bits → float64, exactly. */
export function narrowF64(src: Uint32Array, dst: Float64Array): void {
  for (let i = 0; i < src.length; i++) dst[i] = fromBits(src[i]!);
}

/** float32 bits → float8 E4M3 (fn: no infinity, overflow is NaN) or E5M2 bits, round to nearest even. */
export function narrowF8(src: Uint32Array, dst: Uint8Array, form: 'E4M3' | 'E5M2'): void {
  const { mantissa, bias, overflow, nan } =
    form === 'E4M3'
      ? { mantissa: 3, bias: 7, overflow: 0x7f, nan: 0x7f }
      : { mantissa: 2, bias: 15, overflow: 0x7c, nan: 0x7e };
  for (let i = 0; i < src.length; i++) {
    const sign = (src[i]! >>> 24) & 0x80;
    const magnitude = fromBits(src[i]! & 0x7fffffff);
    if (Number.isNaN(magnitude)) dst[i] = nan;
    else if (magnitude === Number.POSITIVE_INFINITY) dst[i] = sign | overflow;
    else {
      const exponent = Math.max(1 - bias, magnitude === 0 ? -200 : Math.floor(Math.log2(magnitude)));
      const code = roundEven(magnitude * 2 ** (mantissa - exponent)) + ((exponent + bias - 1) << mantissa);
      dst[i] = sign | Math.min(code, overflow);
    }
  }
}

function roundEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
