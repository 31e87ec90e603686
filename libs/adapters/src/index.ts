export { type AdapterConfig, readAdapterConfig, scaleOf } from './adapter-config.js';
export {
  type AdapterDeltas,
  type AdapterFactor,
  type AdapterLabels,
  adapterDeltas,
  type LowRankDelta,
} from './deltas.js';
