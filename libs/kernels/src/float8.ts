/**
 * float32 bits of all 256 float8 codes. E4M3 is the "fn" form of Micikevicius et al., 2022 (no infinities, NaN is 0x7f and
 * 0xff); E5M2 follows IEEE 754 conventions. NaN is given as the canonical float32 NaN.
 */
export function float8Table(dtype: 'F8_E4M3' | 'F8_E5M2'): Uint32Array {
  const [mantissaBits, bias] = dtype === 'F8_E4M3' ? [3, 7] : [2, 15];
  const values = new Float32Array(256);
  for (let code = 0; code < 256; code++) {
    const magnitude = code & 0x7f;
    const exponent = magnitude >> mantissaBits;
    const mantissa = magnitude & ((1 << mantissaBits) - 1);
    let value =
      exponent === 0
        ? mantissa * 2 ** (1 - bias - mantissaBits)
        : (mantissa + (1 << mantissaBits)) * 2 ** (exponent - bias - mantissaBits);
    if (dtype === 'F8_E4M3') {
      if (magnitude === 0x7f) value = Number.NaN;
    } else if (exponent === 31) value = mantissa === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
    values[code] = code < 128 ? value : -value;
  }
  const bits = new Uint32Array(values.buffer);
  for (let code = 0; code < 256; code++) if (Number.isNaN(values[code])) bits[code] = 0x7fc00000;
  return bits;
}
