export * from './attributes.js';
export { checkModel } from './checks.js';
export { constantsToInitializers } from './constants.js';
export { graphOf, modelOf } from './convert.js';
export { describeNode, domainOf, operatorOf } from './describe.js';
export { describeGraph, type GraphDescription, type GraphFile, graphFiles, type ValueSpec } from './describe-graph.js';
export * from './dtypes.js';
export type { OpenExternal } from './external.js';
export { Graph, type NewNode, type Shell } from './graph.js';
export { type MergedGraphs, type MergePart, mergeGraphs } from './merge-graphs.js';
export * from './model.js';
export { bodiesOf, freeNames, readsOf } from './nested.js';
export { type OutlineOptions, readOutline } from './outline.js';
export { decodeModel, MAX_MODEL_BYTES, type ReadOptions, readModel } from './read.js';
export { sameTensor } from './same-tensor.js';
export { type KnownType, probeModel, shapesFrom, type ValueMetadata } from './shapes.js';
export { ancestors, between, descendants, extract, removeDead } from './slices.js';
export type { ByteSource } from './source.js';
export { MINIMUM_OPSET, obstacle, requireOpset, requireSupported } from './supported.js';
export {
  checkTensor,
  isExternal,
  isStringTensor,
  lazyTensor,
  loadTensor,
  rawTensor,
  readTensorBytes,
  type TensorData,
  type TensorInfo,
  tensorData,
  tensorInfo,
  tensorStrings,
} from './tensor.js';
export { float32Of, numbersOf, tensorOf } from './values.js';
export { tensorsOf } from './visit.js';
export { type ExternalOptions, encodeModel, writeModel } from './write.js';
