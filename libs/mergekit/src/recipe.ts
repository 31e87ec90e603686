import { AmalgamError, type FieldError, joinDetails, Recipe, suggest, validate } from '@amalgam/contracts';
import { resolveRecipe } from '@amalgam/methods';
import { readDocument } from './document.js';
import { movePointers } from './pointers.js';
import { Reader } from './reader.js';
import { translate } from './translate.js';

export interface ReadRecipe {
  /** In our language. */
  recipe: Recipe;
  /** What it means otherwise than in mergekit; none for a recipe in our language. */
  warnings: string[];
  /** Where in the document a part of the recipe was written: a JSON pointer for a JSON pointer. */
  pointerOf(pointer: string): string;
}

/** Keys of mergekit's documents that a recipe of ours lacks. */
const THEIRS = ['base_model', 'tokenizer_source', 'experts'];

/** mergekit's documents, and nothing else, have `merge_method`; those in which it is forgotten or misspelt are told by their other keys. */
export function isMergekit(document: unknown): boolean {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) return false;
  if (Object.hasOwn(document, 'merge_method')) return true;
  if (Object.hasOwn(document, 'method') || Object.hasOwn(document, 'recipe')) return false;
  return THEIRS.some((key) => Object.hasOwn(document, key)) || Object.keys(document).some(isMeantAsMethod);
}

function isMeantAsMethod(key: string): boolean {
  return key.startsWith('merge_') && suggest(key, ['merge_method']).includes('mean');
}

/**
 * A recipe in our language, or in mergekit's. Whether its own fields fit together is checked, for mergekit's completely.
 *
 * @throws AmalgamError `invalid_recipe`, with every problem and its JSON pointer into the document
 */
export function readRecipe(document: unknown): ReadRecipe {
  if (isMergekit(document)) return readMergekit(document);
  const checked = validate(Recipe, document);
  if (!checked.ok) throw invalid(checked.errors);
  return { recipe: checked.value, warnings: [], pointerOf: (pointer) => pointer };
}

/**
 * A document of mergekit as our recipe; differences in meaning are parameters, or warnings where there is no parameter for
 * them.
 *
 * @throws AmalgamError `invalid_recipe`, with every problem and its JSON pointer into the document
 */
export function readMergekit(document: unknown): ReadRecipe {
  const reader = new Reader();
  const read = readDocument(reader, document);
  if (read === undefined) throw invalid(reader.errors);
  const { recipe, warnings, pointers } = translate(read, reader);
  if (reader.errors.length > 0) throw invalid(reader.errors);
  const pointerOf = (pointer: string) => pointers.of(pointer);
  try {
    const checked = validate(Recipe, recipe);
    if (!checked.ok) throw invalid(checked.errors);
    resolveRecipe(recipe);
  } catch (error) {
    throw movePointers(error, pointerOf);
  }
  return { recipe, warnings, pointerOf };
}

function invalid(errors: FieldError[]): AmalgamError {
  const detail = joinDetails(errors.map((error) => `${error.pointer || '/'}: ${error.detail}`));
  return new AmalgamError('invalid_recipe', detail, { errors });
}
