import { AmalgamError } from '@amalgam/contracts';
import { isMergekit, movePointers, parseRecipeText, type ReadRecipe, readMergekit } from '@amalgam/mergekit';
import { below } from './problem.js';

/**
 * The largest body in YAML. Its parser is a hundred times slower than JSON's, and nothing else is answered meanwhile.
 */
const LARGEST_YAML = 1 << 17;

/** The recipe of a body as it was written, where that is not our language. */
export interface WrittenRecipe {
  /** Where the body has it. */
  pointer: '' | '/recipe';
  read: ReadRecipe;
}

/** @throws AmalgamError `payload_too_large`, `invalid_recipe` */
export function parseYamlBody(text: string): unknown {
  if (Buffer.byteLength(text) > LARGEST_YAML) {
    throw new AmalgamError('payload_too_large', `a body in YAML has at most ${LARGEST_YAML} bytes; JSON may be larger`);
  }
  return parseRecipeText(text, 'the body');
}

/**
 * A body whose recipe, or which itself, is a document of mergekit, with that recipe in our language; every other body as it is.
 *
 * @throws AmalgamError `invalid_recipe`
 */
export function readRecipeBody(body: unknown): { body: unknown; written: WrittenRecipe | null } {
  if (isMergekit(body)) {
    const read = readMergekit(body);
    return { body: { recipe: read.recipe }, written: { pointer: '', read } };
  }
  const recipe = typeof body === 'object' && body !== null && 'recipe' in body ? body.recipe : undefined;
  if (!isMergekit(recipe)) return { body, written: null };
  try {
    const read = readMergekit(recipe);
    return { body: { ...(body as object), recipe: read.recipe }, written: { pointer: '/recipe', read } };
  } catch (error) {
    throw below('/recipe', error);
  }
}

/** An error about `/recipe` as one about what was written there. */
export function asWritten(error: unknown, written: WrittenRecipe | null): unknown {
  if (written === null) return error;
  const { pointer: at, read } = written;
  return movePointers(error, (pointer) =>
    pointer.startsWith('/recipe') ? at + read.pointerOf(pointer.slice('/recipe'.length)) : pointer,
  );
}
