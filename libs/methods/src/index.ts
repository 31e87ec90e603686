export { BLOCK, type Block, type MergeMethod, type Settings, type TuningSettings } from './definition.js';
export { describeMethod, getMethod, listMethods } from './registry.js';
export { type ResolvedRecipe, resolveRecipe } from './settings.js';
export { type ByMagnitude, isByRow, keptOf, type Sparsify } from './sparsify.js';
