export {
  checkpointPrefix,
  describeFolder,
  findInputs,
  openCheckpoint,
  type RecipeInputs,
  resultPrefix,
  toContents,
} from './checkpoints.js';
export { type Config, loadConfig, queueConfig, storeConfig } from './config.js';
export { DescriptionCache } from './description-cache.js';
export { openParts, type Parts } from './parts.js';
