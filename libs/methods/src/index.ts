export { BLOCK, type Block, type MergeMethod, type Settings, type Trim, type TuningSettings } from './definition.js';
export { describeMethod, getMethod, listMethods } from './registry.js';
export { type ResolvedRecipe, resolveRecipe } from './settings.js';
