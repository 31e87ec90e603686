export { movePointer, movePointers } from './pointers.js';
export { isMergekit, type ReadRecipe, readMergekit, readRecipe } from './recipe.js';
export { LARGEST_RECIPE, parseRecipeText } from './text.js';
