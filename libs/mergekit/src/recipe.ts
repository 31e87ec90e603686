import { AmalgamError, type FieldError, Recipe, validate } from '@amalgam/contracts';
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
  /** An error about the recipe as one about what was written: its pointers lead there. */
  placed(error: unknown): unknown;
}

/** mergekit's documents, and nothing else, have this key. */
export function isMergekit(document: unknown): boolean {
  return typeof document === 'object' && document !== null && Object.hasOwn(document, 'merge_method');
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
  return { recipe: checked.value, warnings: [], placed: (error) => error };
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
  const placed = (error: unknown) => movePointers(error, (pointer) => pointers.of(pointer));
  try {
    const checked = validate(Recipe, recipe);
    if (!checked.ok) throw invalid(checked.errors);
    resolveRecipe(recipe);
  } catch (error) {
    throw placed(error);
  }
  return { recipe, warnings, placed };
}

function invalid(errors: FieldError[]): AmalgamError {
  const detail = errors.map((error) => `${error.pointer || '/'}: ${error.detail}`).join('; ');
  return new AmalgamError('invalid_recipe', detail, { errors });
}
