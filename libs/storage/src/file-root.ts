import { randomUUID } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { mkdir, open, readdir, realpath, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { errno, isMissing } from './file-errors.js';
import { TEMP_FOLDER } from './keys.js';

/** Where the file driver's objects lie: keys to paths, and the check that no symbolic link leads out. */
export class FileRoot {
  readonly path: string;
  #real: Promise<string> | undefined;

  constructor(root: string) {
    this.path = resolve(root);
  }

  /** The path of a key that passed `checkKey`, whatever lies there. */
  pathOf(key: string): string {
    return join(this.path, ...key.split('/'));
  }

  /** The root without symbolic links; makes it, and its folder of temporary files, when missing. */
  async real(): Promise<string> {
    this.#real ??= mkdir(join(this.path, TEMP_FOLDER), { recursive: true }).then(() => realpath(this.path));
    try {
      return await this.#real;
    } catch (error) {
      this.#real = undefined;
      throw error;
    }
  }

  /**
   * The real path of what lies at the key, or null.
   * @throws storage_error when a symbolic link leads out of the root
   */
  async existing(key: string): Promise<string | null> {
    const root = await this.real();
    try {
      return this.#inside(root, await realpath(this.pathOf(key)), key);
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  /** `existing` for callers that cannot wait; a path where nothing lies comes back as it is. */
  existingSync(key: string): string {
    const path = this.pathOf(key);
    try {
      return this.#inside(realpathSync(this.path), realpathSync(path), key);
    } catch (error) {
      if (isMissing(error)) return path;
      throw error;
    }
  }

  /** Makes the key's folders and returns the real path to write to. */
  async forWriting(key: string): Promise<string> {
    const root = await this.real();
    const segments = key.split('/');
    const name = segments.pop() ?? '';
    // mkdir would follow a link out of the root and make folders there, so the part that exists is checked first.
    for (let depth = segments.length; depth > 0; depth--) {
      if ((await this.existing(segments.slice(0, depth).join('/'))) !== null) break;
    }
    const folder = join(root, ...segments);
    const made = await mkdir(folder, { recursive: true });
    const real = this.#inside(root, await realpath(folder), key);
    if (made !== undefined) {
      // New folders must survive a crash as the file in them does.
      for (let path = real; path.length >= dirname(made).length && isWithin(root, path); path = dirname(path)) {
        await syncFolder(path);
      }
    }
    return join(real, name);
  }

  /** A fresh path for an unfinished write, on the root's file system. */
  async temp(): Promise<string> {
    return join(await this.real(), TEMP_FOLDER, randomUUID());
  }

  /** Removes the folders above a deleted key that are empty now. */
  async prune(key: string): Promise<void> {
    const segments = key.split('/').slice(0, -1);
    for (; segments.length > 0; segments.pop()) {
      try {
        await rmdir(join(await this.real(), ...segments));
      } catch (error) {
        if (!isMissing(error)) return;
      }
    }
  }

  /** Removes temporary files that nobody wrote to for `olderThanMs`. Returns how many. */
  async sweep(olderThanMs: number): Promise<number> {
    const folder = join(await this.real(), TEMP_FOLDER);
    const limit = Date.now() - olderThanMs;
    let removed = 0;
    for (const name of await readdir(folder)) {
      const path = join(folder, name);
      try {
        if ((await stat(path)).mtimeMs > limit) continue;
        await rm(path, { force: true, recursive: true });
        removed++;
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
    return removed;
  }

  #inside(root: string, real: string, key: string): string {
    if (isWithin(root, real)) return real;
    throw new AmalgamError('storage_error', `object ${key}: a symbolic link leads out of the store's folder`);
  }
}

/** True when `path` is `folder` or below it; both absolute, compared by whole components. */
export function isWithin(folder: string, path: string): boolean {
  const rest = relative(folder, path);
  return rest === '' || (rest !== '..' && !rest.startsWith(`..${sep}`) && !rest.startsWith(sep));
}

/** Forces a folder's entries to the disk, where the file system can. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } catch (error) {
    if (errno(error) !== 'EINVAL' && errno(error) !== 'ENOTSUP') throw error;
  } finally {
    await folder.close();
  }
}
