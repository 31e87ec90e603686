import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import {
  checkTensor,
  float32Of,
  numbersOf,
  ONNX_DTYPES,
  type OnnxDtype,
  packedBytes,
  rawTensor,
  type TensorProto,
  tensorData,
  tensorInfo,
  tensorOf,
  tensorStrings,
} from '../src/index.js';

/** Two elements (of C64 and C128: one) of each dtype: in its typed field, and the bytes they are. */
const STORED: Record<OnnxDtype, [Partial<TensorProto>, number[]]> = {
  F32: [{ floatData: Float32Array.of(1, -2) }, [0, 0, 128, 63, 0, 0, 0, 192]],
  C64: [{ floatData: Float32Array.of(1, -2, 1, -2) }, [0, 0, 128, 63, 0, 0, 0, 192, 0, 0, 128, 63, 0, 0, 0, 192]],
  F64: [{ doubleData: Float64Array.of(1, 0) }, [0, 0, 0, 0, 0, 0, 240, 63, 0, 0, 0, 0, 0, 0, 0, 0]],
  C128: [{ doubleData: new Float64Array(4) }, Array(32).fill(0)],
  I64: [{ int64Data: BigInt64Array.of(1n, -1n) }, [1, 0, 0, 0, 0, 0, 0, 0, ...Array(8).fill(255)]],
  U64: [{ uint64Data: BigUint64Array.of(1n, 2n ** 64n - 1n) }, [1, 0, 0, 0, 0, 0, 0, 0, ...Array(8).fill(255)]],
  U32: [{ uint64Data: BigUint64Array.of(1n, 2n ** 32n - 1n) }, [1, 0, 0, 0, 255, 255, 255, 255]],
  I32: [{ int32Data: Int32Array.of(1, -1) }, [1, 0, 0, 0, 255, 255, 255, 255]],
  I16: [{ int32Data: Int32Array.of(1, -1) }, [1, 0, 255, 255]],
  U16: [{ int32Data: Int32Array.of(1, 65535) }, [1, 0, 255, 255]],
  F16: [{ int32Data: Int32Array.of(0x3c00, 0xc000) }, [0, 0x3c, 0, 0xc0]],
  BF16: [{ int32Data: Int32Array.of(0x3f80, 0xc000) }, [0x80, 0x3f, 0, 0xc0]],
  I8: [{ int32Data: Int32Array.of(1, -1) }, [1, 255]],
  U8: [{ int32Data: Int32Array.of(1, 255) }, [1, 255]],
  BOOL: [{ int32Data: Int32Array.of(1, 0) }, [1, 0]],
  F8_E4M3: [{ int32Data: Int32Array.of(0x38, 0xc0) }, [0x38, 0xc0]],
  F8_E4M3FNUZ: [{ int32Data: Int32Array.of(0x38, 0xc0) }, [0x38, 0xc0]],
  F8_E5M2: [{ int32Data: Int32Array.of(0x38, 0xc0) }, [0x38, 0xc0]],
  F8_E5M2FNUZ: [{ int32Data: Int32Array.of(0x38, 0xc0) }, [0x38, 0xc0]],
  F8_E8M0: [{ int32Data: Int32Array.of(0x38, 0xc0) }, [0x38, 0xc0]],
  U4: [{ int32Data: Int32Array.of(0xf1) }, [0xf1]],
  I4: [{ int32Data: Int32Array.of(0xf1) }, [0xf1]],
  F4_E2M1: [{ int32Data: Int32Array.of(0xf1) }, [0xf1]],
  U2: [{ int32Data: Int32Array.of(0x9) }, [0x9]],
  I2: [{ int32Data: Int32Array.of(0x9) }, [0x9]],
};

const dtypes = Object.keys(STORED) as OnnxDtype[];
const typed = (dtype: OnnxDtype, fields: Partial<TensorProto>, dims = [2]): TensorProto => ({
  dims,
  dataType: ONNX_DTYPES[dtype].code,
  name: 'w',
  ...fields,
});

describe('tensors', () => {
  it.each(dtypes)('%s: the same bytes from the typed field and from raw data', (dtype) => {
    const [fields, bytes] = STORED[dtype];
    const expected = { dtype, dims: [2], elements: 2, byteLength: bytes.length };
    const fromTyped = tensorData(typed(dtype, fields));
    expect({ ...fromTyped, bytes: [...fromTyped.bytes] }).toEqual({ ...expected, bytes });
    const fromRaw = tensorData(rawTensor('w', dtype, [2], Uint8Array.from(bytes)));
    expect({ ...fromRaw, bytes: [...fromRaw.bytes] }).toEqual({ ...expected, bytes });
  });

  it('packs elements below a byte, the last byte perhaps in part', () => {
    expect([0, 1, 2, 3, 5].map((n) => packedBytes('I4', n))).toEqual([0, 1, 1, 2, 3]);
    expect([0, 1, 4, 5].map((n) => packedBytes('U2', n))).toEqual([0, 1, 1, 2]);
  });

  it('of no elements and of no dimensions', () => {
    expect(tensorData({ dims: [0, 3], dataType: 1, name: 'w' }).bytes.length).toBe(0);
    expect(tensorData({ dims: [], dataType: 1, floatData: Float32Array.of(7) }).elements).toBe(1);
    expect(tensorInfo({ dims: [0, 2 ** 40], dataType: 1 }).byteLength).toBe(0);
  });

  it('hold strings', () => {
    const strings = [Buffer.from('a'), Buffer.from([0xff])];
    expect(tensorStrings({ dims: [2], dataType: 8, stringData: strings })).toEqual(strings);
  });

  it('are made from numbers and read as numbers', () => {
    expect(numbersOf(tensorOf('a', 'I64', [3], [1, -2, 3]))).toEqual([1, -2, 3]);
    expect(numbersOf(tensorOf('a', 'BOOL', [2], [5, 0]))).toEqual([1, 0]);
    expect(numbersOf(typed('I64', { int64Data: BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n)) }))).toEqual([
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
    ]);
    expect(float32Of(tensorOf('a', 'F32', [2], [0.5, 2]))).toEqual(Float32Array.of(0.5, 2));
  });
});

describe('tensors that are wrong', () => {
  const cases: [string, TensorProto, string][] = [
    ['a negative dimension', typed('F32', {}, [-1]), 'shape [-1] is negative'],
    ['two negative dimensions', typed('F32', { floatData: Float32Array.of(1) }, [-1, -1]), 'is negative'],
    ['a product beyond 2^53', typed('F32', {}, [2 ** 40, 2 ** 40]), 'more than 2^53 elements'],
    ['bytes beyond 2^53', typed('F64', {}, [2 ** 52]), 'more than 2^53 bytes'],
    ['an unknown dtype', { dims: [1], dataType: 99, name: 'w' }, 'there is no dtype 99'],
    ['no dtype', { dims: [1], name: 'w' }, 'there is no dtype given'],
    ['too few raw bytes', typed('F32', { rawData: new Uint8Array(7) }), 'has 7 bytes; its shape and dtype take 8'],
    ['too many numbers', typed('F32', { floatData: new Float32Array(3) }), 'has 3 numbers in floatData'],
    ['no elements', typed('F32', {}), 'has 0 numbers in floatData; its shape and dtype take 2'],
    ['the wrong field', typed('F32', { int64Data: new BigInt64Array(2) }), 'F32 elements cannot be in int64Data'],
    [
      'raw and typed elements',
      typed('F32', { rawData: new Uint8Array(8), floatData: new Float32Array(2) }),
      'both in rawData and in floatData',
    ],
    ['a segment', typed('F32', { segment: {} }), 'tensors in segments are not supported'],
    ['too few strings', { dims: [2], dataType: 8, name: 'w', stringData: [] }, 'has 0 strings'],
    ['strings among numbers', typed('F32', { stringData: [] }), 'F32 elements cannot be strings'],
    [
      'raw strings',
      { dims: [1], dataType: 8, name: 'w', rawData: new Uint8Array(1) },
      'only be in the list of strings',
    ],
  ];
  it.each(cases)('are refused: %s', async (_, tensor, part) => {
    await expectError(() => checkTensor(tensor, 'm.onnx'), 'invalid_graph', 'm.onnx: tensor "w": ', part);
  });

  it('are refused: a number that the dtype cannot hold', async () => {
    const tensor = typed('U8', { int32Data: Int32Array.of(1, 256) });
    await expectError(() => tensorData(tensor), 'invalid_graph', 'element 1 is 256, which U8 cannot hold');
  });

  it('are refused as numbers: float16', async () => {
    await expectError(
      () => numbersOf(rawTensor('h', 'F16', [1], new Uint8Array(2))),
      'unsupported_graph',
      '"h"',
      'F16',
    );
  });
});
