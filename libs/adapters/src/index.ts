export { type AdapterConfig, readAdapterConfig, scaleOf } from './adapter-config.js';
export {
  type AdapterDeltas,
  type AdapterFactor,
  type AdapterLabels,
  adapterDeltas,
  type LowRankDelta,
} from './deltas.js';
export { type ExtractionSettings, planExtraction } from './extract-adapter.js';
export { type AdapterMergeSettings, planAdapterMerge } from './merge-adapters.js';
export { ADAPTER_CONFIG_FILE, ADAPTER_FILE } from './output.js';
export type { AdapterInput, AdapterPlan, AdapterPlanOptions, ModuleReport } from './plan.js';
export { type WriteAdapterOptions, type WrittenAdapter, writeAdapter } from './write.js';
