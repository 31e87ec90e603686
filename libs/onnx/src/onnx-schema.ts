import type {
  AttributeProto,
  Dimension,
  FunctionProto,
  GraphProto,
  MapTypeProto,
  ModelProto,
  NodeProto,
  OpaqueTypeProto,
  OperatorSetIdProto,
  Segment,
  SequenceTypeProto,
  SparseTensorProto,
  StringStringEntryProto,
  TensorAnnotation,
  TensorProto,
  TensorShapeProto,
  TensorTypeProto,
  TrainingInfoProto,
  TypeProto,
  ValueInfoProto,
} from './model.js';
import { always, define, list, type MessageSchema, message, messages, one, oneof } from './schema.js';

/** Field numbers of the ONNX format (IR version 13). What is not here, such as device placement, stays unknown. */

export const ENTRY: MessageSchema<StringStringEntryProto> = define<StringStringEntryProto>('StringStringEntryProto', {
  key: one(1, 'string'),
  value: one(2, 'string'),
});

export const OPERATOR_SET: MessageSchema<OperatorSetIdProto> = define<OperatorSetIdProto>('OperatorSetIdProto', {
  domain: one(1, 'string'),
  version: one(2, 'size'),
});

export const MODEL: MessageSchema<ModelProto> = define<ModelProto>('ModelProto', {
  irVersion: one(1, 'size'),
  producerName: one(2, 'string'),
  producerVersion: one(3, 'string'),
  domain: one(4, 'string'),
  modelVersion: one(5, 'int64'),
  docString: one(6, 'string'),
  graph: message(7, () => GRAPH),
  opsetImport: always(messages(8, () => OPERATOR_SET)),
  metadataProps: messages(14, () => ENTRY),
  trainingInfo: messages(20, () => TRAINING_INFO),
  functions: messages(25, () => FUNCTION),
});

export const TRAINING_INFO: MessageSchema<TrainingInfoProto> = define<TrainingInfoProto>('TrainingInfoProto', {
  initialization: message(1, () => GRAPH),
  algorithm: message(2, () => GRAPH),
  initializationBinding: messages(3, () => ENTRY),
  updateBinding: messages(4, () => ENTRY),
});

export const FUNCTION: MessageSchema<FunctionProto> = define<FunctionProto>('FunctionProto', {
  name: one(1, 'string'),
  input: always(list(4, 'string')),
  output: always(list(5, 'string')),
  attribute: list(6, 'string'),
  node: always(messages(7, () => NODE)),
  docString: one(8, 'string'),
  opsetImport: always(messages(9, () => OPERATOR_SET)),
  domain: one(10, 'string'),
  attributeProto: messages(11, () => ATTRIBUTE),
  valueInfo: messages(12, () => VALUE_INFO),
  overload: one(13, 'string'),
  metadataProps: messages(14, () => ENTRY),
});

export const GRAPH: MessageSchema<GraphProto> = define<GraphProto>('GraphProto', {
  node: always(messages(1, () => NODE)),
  name: one(2, 'string'),
  initializer: always(messages(5, () => TENSOR)),
  docString: one(10, 'string'),
  input: always(messages(11, () => VALUE_INFO)),
  output: always(messages(12, () => VALUE_INFO)),
  valueInfo: always(messages(13, () => VALUE_INFO)),
  quantizationAnnotation: messages(14, () => TENSOR_ANNOTATION),
  sparseInitializer: messages(15, () => SPARSE_TENSOR),
  metadataProps: messages(16, () => ENTRY),
});

export const TENSOR_ANNOTATION: MessageSchema<TensorAnnotation> = define<TensorAnnotation>('TensorAnnotation', {
  tensorName: one(1, 'string'),
  quantParameterTensorNames: messages(2, () => ENTRY),
});

export const NODE: MessageSchema<NodeProto> = define<NodeProto>('NodeProto', {
  input: always(list(1, 'string')),
  output: always(list(2, 'string')),
  name: one(3, 'string'),
  opType: one(4, 'string'),
  attribute: always(messages(5, () => ATTRIBUTE)),
  docString: one(6, 'string'),
  domain: one(7, 'string'),
  overload: one(8, 'string'),
  metadataProps: messages(9, () => ENTRY),
});

export const ATTRIBUTE: MessageSchema<AttributeProto> = define<AttributeProto>('AttributeProto', {
  name: one(1, 'string'),
  f: one(2, 'float'),
  i: one(3, 'int64'),
  s: one(4, 'bytes'),
  t: message(5, () => TENSOR),
  g: message(6, () => GRAPH),
  floats: list(7, 'float'),
  ints: list(8, 'int64'),
  strings: list(9, 'bytes'),
  tensors: messages(10, () => TENSOR),
  graphs: messages(11, () => GRAPH),
  docString: one(13, 'string'),
  tp: message(14, () => TYPE),
  typeProtos: messages(15, () => TYPE),
  type: one(20, 'int32'),
  refAttrName: one(21, 'string'),
  sparseTensor: message(22, () => SPARSE_TENSOR),
  sparseTensors: messages(23, () => SPARSE_TENSOR),
});

export const SEGMENT: MessageSchema<Segment> = define<Segment>('Segment', {
  begin: one(1, 'int64'),
  end: one(2, 'int64'),
});

export const TENSOR: MessageSchema<TensorProto> = define<TensorProto>('TensorProto', {
  dims: always(list(1, 'size')),
  dataType: one(2, 'int32'),
  segment: message(3, () => SEGMENT),
  floatData: one(4, 'floats'),
  int32Data: one(5, 'int32s'),
  stringData: list(6, 'bytes'),
  int64Data: one(7, 'int64s'),
  name: one(8, 'string'),
  rawData: one(9, 'bytes'),
  doubleData: one(10, 'doubles'),
  uint64Data: one(11, 'uint64s'),
  docString: one(12, 'string'),
  externalData: messages(13, () => ENTRY),
  dataLocation: one(14, 'int32'),
  metadataProps: messages(16, () => ENTRY),
});

export const SPARSE_TENSOR: MessageSchema<SparseTensorProto> = define<SparseTensorProto>('SparseTensorProto', {
  values: message(1, () => TENSOR),
  indices: message(2, () => TENSOR),
  dims: always(list(3, 'size')),
});

export const VALUE_INFO: MessageSchema<ValueInfoProto> = define<ValueInfoProto>('ValueInfoProto', {
  name: one(1, 'string'),
  type: message(2, () => TYPE),
  docString: one(3, 'string'),
  metadataProps: messages(4, () => ENTRY),
});

export const DIMENSION: MessageSchema<Dimension> = define<Dimension>('Dimension', {
  dimValue: oneof(one(1, 'size')),
  dimParam: oneof(one(2, 'string')),
  denotation: one(3, 'string'),
});

export const SHAPE: MessageSchema<TensorShapeProto> = define<TensorShapeProto>('TensorShapeProto', {
  dim: always(messages(1, () => DIMENSION)),
});

export const TENSOR_TYPE: MessageSchema<TensorTypeProto> = define<TensorTypeProto>('TypeProto.Tensor', {
  elemType: one(1, 'int32'),
  shape: message(2, () => SHAPE),
});

export const SEQUENCE_TYPE: MessageSchema<SequenceTypeProto> = define<SequenceTypeProto>('TypeProto.Sequence', {
  elemType: message(1, () => TYPE),
});

export const MAP_TYPE: MessageSchema<MapTypeProto> = define<MapTypeProto>('TypeProto.Map', {
  keyType: one(1, 'int32'),
  valueType: message(2, () => TYPE),
});

export const OPAQUE_TYPE: MessageSchema<OpaqueTypeProto> = define<OpaqueTypeProto>('TypeProto.Opaque', {
  domain: one(1, 'string'),
  name: one(2, 'string'),
});

export const TYPE: MessageSchema<TypeProto> = define<TypeProto>('TypeProto', {
  tensorType: oneof(message(1, () => TENSOR_TYPE)),
  sequenceType: oneof(message(4, () => SEQUENCE_TYPE)),
  mapType: oneof(message(5, () => MAP_TYPE)),
  denotation: one(6, 'string'),
  opaqueType: oneof(message(7, () => OPAQUE_TYPE)),
  sparseTensorType: oneof(message(8, () => TENSOR_TYPE)),
  optionalType: oneof(message(9, () => SEQUENCE_TYPE)),
});
