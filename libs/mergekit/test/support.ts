import { type FieldError, isAmalgamError } from '@amalgam/contracts';
import { parseRecipeText, type ReadRecipe, readMergekit } from '../src/index.js';

/** A document in YAML. */
export function read(text: string): ReadRecipe {
  return readMergekit(parseRecipeText(text, 'test'));
}

/** What is wrong with it: none, where nothing is. */
export function problems(text: string): FieldError[] {
  try {
    read(text);
    return [];
  } catch (error) {
    if (isAmalgamError(error) && error.code === 'invalid_recipe') return error.errors;
    throw error;
  }
}
