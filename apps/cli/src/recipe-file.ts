import { isUtf8 } from 'node:buffer';
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { AmalgamError, isAmalgamError } from '@amalgam/contracts';
import { LARGEST_RECIPE, parseRecipeText, type ReadRecipe, readRecipe } from '@amalgam/mergekit';

/**
 * Reads a recipe in YAML or JSON, in our language or in mergekit's. References to checkpoints stay as written; `folder` is what
 * relative paths start from.
 *
 * @throws AmalgamError `invalid_recipe` naming file, line or field, and rule
 */
export async function readRecipeFile(path: string): Promise<ReadRecipe & { folder: string }> {
  const document = parseRecipeText(await readText(path), path);
  try {
    return { ...readRecipe(document), folder: dirname(resolve(path)) };
  } catch (error) {
    throw inFile(error, path);
  }
}

/** The error, which is about a recipe, with the file's name and the place of the first problem before its words. */
export function inFile(error: unknown, path: string): unknown {
  if (!isAmalgamError(error)) return error;
  const [first] = error.errors;
  // Problems of several fields begin with each one's pointer already.
  const place = first !== undefined && first.pointer !== '' && error.detail.startsWith(first.detail);
  const detail = `${path}: ${place ? `${first.pointer}: ` : ''}${error.detail}`;
  return new AmalgamError(error.code, detail, { errors: error.errors, cause: error });
}

/** The file's text. A checkpoint in a recipe's place is refused before it is read or shown. */
async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > LARGEST_RECIPE) throw wrong(path, `is larger than ${LARGEST_RECIPE} bytes, so it is no recipe`);
    const bytes = await readFile(path);
    if (!isUtf8(bytes) || bytes.includes(0)) throw wrong(path, 'is not text, so it is no recipe');
    return bytes.toString();
  } catch (cause) {
    if (isAmalgamError(cause)) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw wrong(path, 'there is no such file');
    throw wrong(path, code === 'EISDIR' ? 'is a folder, not a recipe' : message);
  }
}

function wrong(path: string, rule: string): AmalgamError {
  return new AmalgamError('invalid_recipe', `${path}: ${rule}`);
}
