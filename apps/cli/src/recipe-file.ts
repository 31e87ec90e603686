import { isUtf8 } from 'node:buffer';
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { AmalgamError, isAmalgamError, Recipe, validate } from '@amalgam/contracts';
import { type Document, parseDocument } from 'yaml';

const LARGEST_RECIPE = 1 << 20;

/**
 * Reads a recipe in YAML or JSON. References to checkpoints stay as written; `folder` is what relative paths start from.
 *
 * @throws AmalgamError `invalid_recipe` naming file, line or field, and rule
 */
export async function readRecipe(path: string): Promise<{ recipe: Recipe; folder: string }> {
  const text = await readText(path);
  // JSON is YAML; aliases are bounded, and a key that stands twice is an error.
  const document = parseDocument(text, { uniqueKeys: true });
  const [problem] = document.errors;
  if (problem !== undefined) throw new AmalgamError('invalid_recipe', `${path}: ${problem.message.trim()}`);
  const value = toValue(path, document);
  if (value !== null && typeof value === 'object' && 'merge_method' in value) {
    throw new AmalgamError('invalid_recipe', `${path}: merge_method is mergekit's key; here it is "method"`);
  }
  const checked = validate(Recipe, value);
  if (!checked.ok) {
    const detail = checked.errors.map((error) => `${error.pointer || '/'}: ${error.detail}`).join('; ');
    throw new AmalgamError('invalid_recipe', `${path}: ${detail}`, { errors: checked.errors });
  }
  return { recipe: checked.value, folder: dirname(resolve(path)) };
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

/** Aliases are looked up only here: one that names no anchor is mostly a glob without its quotes. */
function toValue(path: string, document: Document.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    if (!(cause instanceof ReferenceError)) throw cause;
    const hint = cause.message.startsWith('Unresolved') ? '; a text that begins with * needs quotes' : '';
    throw wrong(path, `${cause.message}${hint}`);
  }
}

function wrong(path: string, rule: string): AmalgamError {
  return new AmalgamError('invalid_recipe', `${path}: ${rule}`);
}
