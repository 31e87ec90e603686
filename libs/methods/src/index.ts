export type { AdapterSettings } from './adapter-settings.js';
export {
  BLOCK,
  type Block,
  isOverVectors,
  type MergeMethod,
  NUMBERS,
  type Rows,
  type Settings,
  type TuningSettings,
} from './definition.js';
export type { Gram } from './gram.js';
export { type Level, type Levels, levelsOf, type Place } from './levels.js';
export { lines, linesAlpha, linesFactor, listModifiers, type Modifier } from './lines.js';
export { hasParameter } from './parameter-schemas.js';
export { gradientsOf, unmatchedFilters } from './reach.js';
export { describeMethod, getMethod, listMethods } from './registry.js';
export { type ResolvedRecipe, resolveRecipe } from './settings.js';
export { type ByChance, type ByMagnitude, type ByRankedChance, isByRow, keptOf, type Sparsify } from './sparsify.js';
export type { Found, Mark, Rank, Ranking, Sums, Survey } from './survey.js';
