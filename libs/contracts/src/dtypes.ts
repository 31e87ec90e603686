/** Dtype names as the safetensors format spells them, with their width. */
export const DTYPE_BITS = {
  F64: 64,
  F32: 32,
  F16: 16,
  BF16: 16,
  F8_E5M2: 8,
  F8_E4M3: 8,
  I64: 64,
  I32: 32,
  I16: 16,
  I8: 8,
  U64: 64,
  U32: 32,
  U16: 16,
  U8: 8,
  BOOL: 8,
} as const;

export type Dtype = keyof typeof DTYPE_BITS;
export const DTYPES = Object.keys(DTYPE_BITS) as Dtype[];

export function isDtype(name: string): name is Dtype {
  return Object.hasOwn(DTYPE_BITS, name);
}

/** Floating-point dtypes take part in the arithmetic; the others are copied. */
export function isFloat(dtype: Dtype): boolean {
  return dtype.startsWith('F') || dtype === 'BF16';
}

/** Bytes of one element. */
export function dtypeBytes(dtype: Dtype): number {
  return DTYPE_BITS[dtype] / 8;
}

/** The names that recipes use for output dtypes, and the format's names for them. */
export const OUT_DTYPES = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
} as const satisfies Record<string, Dtype>;

export type OutDtype = keyof typeof OUT_DTYPES;
