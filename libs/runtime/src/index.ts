export {
  assetPrefix,
  checkpointPrefix,
  describeAsset,
  describeFolder,
  KIND_RULES,
  openAsset,
  type Place,
  resultPrefix,
  toContents,
} from './assets.js';
export { type Config, hubCache, hubConnection, loadConfig, queueConfig, storeConfig } from './config.js';
export { DescriptionCache } from './description-cache.js';
export type { OpenBeside, StoredGraph } from './graph-files.js';
export { type DatasetInput, findInputs, type RecipeInputs, type TaskInput } from './inputs.js';
export { openParts, type Parts } from './parts.js';
export { readHistogram } from './read-histogram.js';
export { readTokens } from './read-tokens.js';
