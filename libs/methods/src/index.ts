export { BLOCK, type Block, type MergeMethod, type Settings, type Trim } from './definition.js';
export { describeMethod, getMethod, listMethods } from './registry.js';
export { type ResolvedRecipe, resolveRecipe } from './settings.js';
