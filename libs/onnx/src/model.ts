/**
 * An ONNX model as plain objects: one interface per message of the format, named as there, fields in camelCase.
 *
 * Absent optional fields are absent here. Lists that nearly every message of a kind has are always there;
 * the others are absent when empty. 64-bit integers that may leave the safe integers (attribute values) are
 * bigint, the others (dimensions, versions) number. Objects that come from a file share its bytes: treat them,
 * and above all tensors, as immutable, and replace them by changed copies.
 */

import type { ByteSource } from './source.js';

/** What every message has. */
export interface Message {
  /** Fields that this package does not know, each with its tag, as they stood in the file. Written back. */
  unknown?: Uint8Array[];
}

export interface StringStringEntryProto extends Message {
  key?: string;
  value?: string;
}

/** `domain` absent, '' and 'ai.onnx' all mean the standard operators. */
export interface OperatorSetIdProto extends Message {
  domain?: string;
  version?: number;
}

export interface ModelProto extends Message {
  irVersion?: number;
  producerName?: string;
  producerVersion?: string;
  domain?: string;
  modelVersion?: bigint;
  docString?: string;
  graph?: GraphProto;
  opsetImport: OperatorSetIdProto[];
  metadataProps?: StringStringEntryProto[];
  trainingInfo?: TrainingInfoProto[];
  functions?: FunctionProto[];
}

export interface TrainingInfoProto extends Message {
  initialization?: GraphProto;
  algorithm?: GraphProto;
  initializationBinding?: StringStringEntryProto[];
  updateBinding?: StringStringEntryProto[];
}

export interface FunctionProto extends Message {
  name?: string;
  input: string[];
  output: string[];
  attribute?: string[];
  node: NodeProto[];
  docString?: string;
  opsetImport: OperatorSetIdProto[];
  domain?: string;
  attributeProto?: AttributeProto[];
  valueInfo?: ValueInfoProto[];
  overload?: string;
  metadataProps?: StringStringEntryProto[];
}

export interface GraphProto extends Message {
  node: NodeProto[];
  name?: string;
  initializer: TensorProto[];
  docString?: string;
  input: ValueInfoProto[];
  output: ValueInfoProto[];
  valueInfo: ValueInfoProto[];
  quantizationAnnotation?: TensorAnnotation[];
  sparseInitializer?: SparseTensorProto[];
  metadataProps?: StringStringEntryProto[];
}

export interface TensorAnnotation extends Message {
  tensorName?: string;
  quantParameterTensorNames?: StringStringEntryProto[];
}

/** An input or output named '' is an optional one that is left out. */
export interface NodeProto extends Message {
  input: string[];
  output: string[];
  name?: string;
  opType?: string;
  attribute: AttributeProto[];
  docString?: string;
  domain?: string;
  overload?: string;
  metadataProps?: StringStringEntryProto[];
}

/** The codes of `AttributeProto.type`. */
export const ATTRIBUTE_TYPES = {
  FLOAT: 1,
  INT: 2,
  STRING: 3,
  TENSOR: 4,
  GRAPH: 5,
  FLOATS: 6,
  INTS: 7,
  STRINGS: 8,
  TENSORS: 9,
  GRAPHS: 10,
  SPARSE_TENSOR: 11,
  SPARSE_TENSORS: 12,
  TYPE_PROTO: 13,
  TYPE_PROTOS: 14,
} as const;

export interface AttributeProto extends Message {
  name?: string;
  f?: number;
  i?: bigint;
  s?: Uint8Array;
  t?: TensorProto;
  g?: GraphProto;
  floats?: number[];
  ints?: bigint[];
  strings?: Uint8Array[];
  tensors?: TensorProto[];
  graphs?: GraphProto[];
  docString?: string;
  tp?: TypeProto;
  typeProtos?: TypeProto[];
  type?: number;
  refAttrName?: string;
  sparseTensor?: SparseTensorProto;
  sparseTensors?: SparseTensorProto[];
}

/** Where a tensor's bytes lie outside the model: `length` bytes from `offset`, little-endian, row-major. */
export interface TensorSlice {
  source: ByteSource;
  offset: number;
  length: number;
}

export interface Segment extends Message {
  begin?: bigint;
  end?: bigint;
}

export interface TensorProto extends Message {
  dims: number[];
  /** A code of `DTYPES_BY_CODE`. */
  dataType?: number;
  segment?: Segment;
  floatData?: Float32Array;
  int32Data?: Int32Array;
  stringData?: Uint8Array[];
  int64Data?: BigInt64Array;
  name?: string;
  rawData?: Uint8Array;
  doubleData?: Float64Array;
  uint64Data?: BigUint64Array;
  docString?: string;
  externalData?: StringStringEntryProto[];
  /** 1 when the bytes are in the file that `externalData` names. */
  dataLocation?: number;
  metadataProps?: StringStringEntryProto[];
  /**
   * Not a field of the format: the bytes of an external tensor, set by `readModel`, or of one that was made
   * with `lazyTensor`. Copies carry it, so a tensor can move to another model.
   */
  data?: TensorSlice;
}

export interface SparseTensorProto extends Message {
  values?: TensorProto;
  indices?: TensorProto;
  dims: number[];
}

export interface ValueInfoProto extends Message {
  name?: string;
  type?: TypeProto;
  docString?: string;
  metadataProps?: StringStringEntryProto[];
}

/** Neither value nor param: a dimension of unknown size. */
export interface Dimension extends Message {
  dimValue?: number;
  dimParam?: string;
  denotation?: string;
}

export interface TensorShapeProto extends Message {
  dim: Dimension[];
}

/** `shape` absent: not even the rank is known. */
export interface TensorTypeProto extends Message {
  elemType?: number;
  shape?: TensorShapeProto;
}

export interface SequenceTypeProto extends Message {
  elemType?: TypeProto;
}

export interface MapTypeProto extends Message {
  keyType?: number;
  valueType?: TypeProto;
}

export interface OpaqueTypeProto extends Message {
  domain?: string;
  name?: string;
}

/** One of the types; at most one is there. */
export interface TypeProto extends Message {
  tensorType?: TensorTypeProto;
  sequenceType?: SequenceTypeProto;
  mapType?: MapTypeProto;
  denotation?: string;
  opaqueType?: OpaqueTypeProto;
  sparseTensorType?: TensorTypeProto;
  optionalType?: SequenceTypeProto;
}
