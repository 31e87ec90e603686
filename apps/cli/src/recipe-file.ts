import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { AmalgamError, Recipe, validate } from '@amalgam/contracts';
import { parseDocument } from 'yaml';

const LARGEST_RECIPE = 1 << 20;

/**
 * Reads a recipe in YAML or JSON. References to checkpoints stay as written; `folder` is what relative paths start from.
 *
 * @throws AmalgamError `invalid_recipe` naming file, line or field, and rule
 */
export async function readRecipe(path: string): Promise<{ recipe: Recipe; folder: string }> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new AmalgamError(
      'invalid_recipe',
      `${path}: ${cause.code === 'ENOENT' ? 'there is no such file' : cause.message}`,
    );
  });
  if (text.length > LARGEST_RECIPE)
    throw new AmalgamError('invalid_recipe', `${path}: is larger than ${LARGEST_RECIPE} bytes`);
  // JSON is YAML; aliases are bounded, and a key that stands twice is an error.
  const document = parseDocument(text, { uniqueKeys: true });
  const [problem] = document.errors;
  if (problem !== undefined) throw new AmalgamError('invalid_recipe', `${path}: ${problem.message.trim()}`);
  const value: unknown = document.toJS({ maxAliasCount: 100 });
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
