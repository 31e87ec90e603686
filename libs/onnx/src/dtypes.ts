import type { Dtype } from '@amalgam/contracts';

/** Dtypes that ONNX has and safetensors files do not. */
type OnnxOnly = 'C64' | 'C128' | 'F8_E4M3FNUZ' | 'F8_E5M2FNUZ' | 'F8_E8M0' | 'F4_E2M1' | 'U4' | 'I4' | 'U2' | 'I2';

/** Dtypes of tensors whose elements have a fixed width, under the names that checkpoints use where they have one. */
export type OnnxDtype = Dtype | OnnxOnly;

/** The typed field in which a dtype's elements may be stored instead of raw bytes. */
export type TypedField = 'floatData' | 'int32Data' | 'int64Data' | 'doubleData' | 'uint64Data';

export interface DtypeInfo {
  /** The format's number for it. */
  code: number;
  /** Bits of one element. Elements below 8 bits are packed, the first in the lowest bits. */
  bits: number;
  field: TypedField;
}

export const ONNX_DTYPES: Readonly<Record<OnnxDtype, DtypeInfo>> = {
  F32: { code: 1, bits: 32, field: 'floatData' },
  U8: { code: 2, bits: 8, field: 'int32Data' },
  I8: { code: 3, bits: 8, field: 'int32Data' },
  U16: { code: 4, bits: 16, field: 'int32Data' },
  I16: { code: 5, bits: 16, field: 'int32Data' },
  I32: { code: 6, bits: 32, field: 'int32Data' },
  I64: { code: 7, bits: 64, field: 'int64Data' },
  BOOL: { code: 9, bits: 8, field: 'int32Data' },
  F16: { code: 10, bits: 16, field: 'int32Data' },
  F64: { code: 11, bits: 64, field: 'doubleData' },
  U32: { code: 12, bits: 32, field: 'uint64Data' },
  U64: { code: 13, bits: 64, field: 'uint64Data' },
  C64: { code: 14, bits: 64, field: 'floatData' },
  C128: { code: 15, bits: 128, field: 'doubleData' },
  BF16: { code: 16, bits: 16, field: 'int32Data' },
  F8_E4M3: { code: 17, bits: 8, field: 'int32Data' },
  F8_E4M3FNUZ: { code: 18, bits: 8, field: 'int32Data' },
  F8_E5M2: { code: 19, bits: 8, field: 'int32Data' },
  F8_E5M2FNUZ: { code: 20, bits: 8, field: 'int32Data' },
  U4: { code: 21, bits: 4, field: 'int32Data' },
  I4: { code: 22, bits: 4, field: 'int32Data' },
  F4_E2M1: { code: 23, bits: 4, field: 'int32Data' },
  F8_E8M0: { code: 24, bits: 8, field: 'int32Data' },
  U2: { code: 25, bits: 2, field: 'int32Data' },
  I2: { code: 26, bits: 2, field: 'int32Data' },
};

/** The format's number for strings, which are stored as a list. */
export const STRING_CODE = 8;

const BY_CODE: ReadonlyMap<number, OnnxDtype> = new Map(
  Object.entries(ONNX_DTYPES).map(([name, { code }]) => [code, name as OnnxDtype]),
);

/** The dtype of a `dataType` or `elemType`; undefined for strings, 0 and numbers that the format does not have. */
export function dtypeOfCode(code: number | undefined): OnnxDtype | undefined {
  return code === undefined ? undefined : BY_CODE.get(code);
}

export function codeOfDtype(dtype: OnnxDtype): number {
  return ONNX_DTYPES[dtype].code;
}

/** True for the dtypes that gradients and merging are about. */
export function isFloatDtype(dtype: OnnxDtype): boolean {
  return dtype.startsWith('F') || dtype === 'BF16';
}

/** Bytes of `elements` elements, packed; null beyond 2^53 - 1. */
export function packedBytes(dtype: OnnxDtype, elements: number): number | null {
  const { bits } = ONNX_DTYPES[dtype];
  const bytes = bits >= 8 ? elements * (bits / 8) : Math.ceil(elements / (8 / bits));
  return Number.isSafeInteger(bytes) ? bytes : null;
}
