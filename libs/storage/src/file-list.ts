import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { versionOf } from './file-copy.js';
import { isMissing } from './file-errors.js';
import type { FileRoot } from './file-root.js';
import { checkPrefix, compareKeys, decodeCursor, encodeCursor, pageLimit, TEMP_FOLDER } from './keys.js';
import type { ListOptions, ObjectInfo, ObjectPage } from './port.js';

/** One page of the objects below a root (see `ObjectStore.list`). Symbolic links are no objects of the store's. */
export async function listFiles(root: FileRoot, prefix: string, options: ListOptions): Promise<ObjectPage> {
  checkPrefix(prefix);
  const limit = pageLimit(options.limit);
  const after = options.cursor === undefined ? '' : decodeCursor(options.cursor);
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  const start = folder === '' ? await root.real() : await root.existing(folder.slice(0, -1));
  const objects: ObjectInfo[] = [];
  if (start === null) return { objects, next_cursor: null };
  for await (const { key, path } of walk(start, folder, prefix, after)) {
    if (objects.length === limit) return { objects, next_cursor: encodeCursor(objects.at(-1)?.key ?? '') };
    const info = await infoAt(key, path);
    if (info !== null) objects.push(info);
  }
  return { objects, next_cursor: null };
}

async function* walk(
  path: string,
  folder: string,
  prefix: string,
  after: string,
): AsyncGenerator<{ key: string; path: string }> {
  for (const name of await namesIn(path)) {
    const key = folder + name;
    if (key === `${TEMP_FOLDER}/`) continue;
    if (!name.endsWith('/')) {
      if (key.startsWith(prefix) && compareKeys(key, after) > 0) yield { key, path: join(path, name) };
    } else if (key.startsWith(prefix) || prefix.startsWith(key)) {
      // A folder whose keys all come before the cursor is not even opened.
      if (compareKeys(key, after) > 0 || after.startsWith(key)) yield* walk(join(path, name), key, prefix, after);
    }
  }
}

/** Files, and folders with a final `/`, which is what makes the order of names the order of keys. */
async function namesIn(path: string): Promise<string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile() || entry.isDirectory())
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .sort(compareKeys);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

async function infoAt(key: string, path: string): Promise<ObjectInfo | null> {
  try {
    return { key, ...versionOf(await stat(path, { bigint: true })) };
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
