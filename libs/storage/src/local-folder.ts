import { constants, lstatSync, realpathSync } from 'node:fs';
import { type FileHandle, lstat, open, readdir, realpath, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { copyInto, type FileVersion, fileVersion, readExactly, versionOf, writeAtomically } from './file-copy.js';
import { fileError, isMissing } from './file-errors.js';
import { isWithin } from './file-root.js';
import {
  type FolderFile,
  type FolderSource,
  type FolderView,
  MAX_FOLDER_FILES,
  noFile,
  tooManyFiles,
} from './folder.js';
import { checkKey, checkRange, compareKeys, pastEnd } from './keys.js';
import type { TransferOptions } from './port.js';

/**
 * A folder of this machine as a view. Symbolic links are followed as long as they stay below one of `roots`.
 * Folders whose name begins with a dot are left out, and so is everything that is not a regular file.
 */
export class LocalFolder implements FolderView {
  readonly label: string;
  readonly #folder: string;
  readonly #roots: readonly string[];
  readonly #seen = new Map<string, { real: string; version: FileVersion }>();

  /** `folder` and `roots` are real paths. */
  constructor(label: string, folder: string, roots: readonly string[]) {
    this.label = label;
    this.#folder = folder;
    this.#roots = roots;
  }

  async list(): Promise<FolderFile[]> {
    const files: FolderFile[] = [];
    try {
      await this.#walk('', [this.#folder], files);
    } catch (error) {
      throw fileError(error, this.label);
    }
    return files.sort((a, b) => compareKeys(a.path, b.path));
  }

  source(path: string): FolderSource {
    checkKey(path);
    const name = `${this.label}/${path}`;
    return {
      name,
      size: async () => (await this.describe(path)).bytes,
      read: async (offset, length) => {
        checkRange(name, offset, length);
        return this.#withFile(path, async (file, { bytes }) => {
          const read = offset + length <= bytes ? await readExactly(file, offset, length) : null;
          if (read === null) throw pastEnd(name, offset, length, bytes);
          return read;
        });
      },
    };
  }

  localPath(path: string): string {
    const full = join(this.#folder, ...checkKey(path).split('/'));
    let real: string;
    try {
      real = realpathSync(full);
    } catch {
      throw isLinkSync(full) ? outside(this.label, path) : noFile(this.label, path);
    }
    if (!this.#roots.some((root) => isWithin(root, real))) throw outside(this.label, path);
    return real;
  }

  async fetch(path: string, localFile: string, options: TransferOptions = {}): Promise<void> {
    const { real } = await this.#see(checkKey(path));
    try {
      await writeAtomically(localFile, async (temp) => {
        await copyInto(real, temp, options);
        // A file that was replaced or written to meanwhile must not pass for what was seen first.
        await this.#withFile(path, async () => {});
      });
    } catch (error) {
      throw fileError(error, `${this.label}/${path}`, options.signal);
    }
  }

  /** One file as `list` shows it. @throws not_found; uri_not_allowed when a link leads out */
  async describe(path: string): Promise<FolderFile> {
    const { bytes, etag } = (await this.#see(checkKey(path))).version;
    return { path, bytes, etag };
  }

  async #see(path: string): Promise<{ real: string; version: FileVersion }> {
    const seen = this.#seen.get(path);
    if (seen !== undefined) return seen;
    const full = join(this.#folder, ...path.split('/'));
    const real = await realInside(this.#folder, full, this.#roots, this.label, path);
    const info = await stat(real, { bigint: true });
    if (!info.isFile()) throw noFile(this.label, path);
    const fresh = { real, version: versionOf(info) };
    this.#seen.set(path, fresh);
    return fresh;
  }

  async #withFile<T>(path: string, use: (file: FileHandle, version: FileVersion) => Promise<T>): Promise<T> {
    const name = `${this.label}/${path}`;
    try {
      const { real, version } = await this.#see(path);
      // The path was real when it was seen; what became a link or a pipe since then is not followed or waited for.
      const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        const now = await fileVersion(file);
        if (!now.isFile || now.etag !== version.etag) {
          throw new AmalgamError('checkpoint_changed', `${name}: the file changed since it was registered`);
        }
        return await use(file, version);
      } finally {
        await file.close();
      }
    } catch (error) {
      throw fileError(error, name);
    }
  }

  /** `above` are the real folders on the way here: a link to one of them would never end. */
  async #walk(prefix: string, above: string[], files: FolderFile[]): Promise<void> {
    const folder = above.at(-1) ?? this.#folder;
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const path = prefix + entry.name;
      const full = join(folder, entry.name);
      let real = full;
      let folderHere = entry.isDirectory();
      if (entry.isSymbolicLink()) {
        real = await realInside(folder, full, this.#roots, this.label, path);
        folderHere = (await stat(real)).isDirectory();
      }
      if (folderHere) {
        if (!entry.name.startsWith('.') && !above.includes(real)) await this.#walk(`${path}/`, [...above, real], files);
        continue;
      }
      const info = await stat(real, { bigint: true });
      if (!info.isFile()) continue;
      const { version } = this.#seen.get(path) ?? { version: versionOf(info) };
      this.#seen.set(path, { real, version });
      files.push({ path, bytes: version.bytes, etag: version.etag });
      if (files.length > MAX_FOLDER_FILES) throw tooManyFiles(this.label);
    }
  }
}

/**
 * The real path of `path`, which lies lexically below `root`, checked component by component: what is outside of the
 * allowed roots is refused before it matters whether it exists.
 * @throws uri_not_allowed when a link leads out, or nowhere; not_found naming `label` and `shown`
 */
export async function realInside(
  root: string,
  path: string,
  roots: readonly string[],
  label: string,
  shown = '',
): Promise<string> {
  let at = root;
  let real = root;
  for (const segment of ['', ...relative(root, path).split(sep)]) {
    at = join(at, segment);
    try {
      real = await realpath(at);
    } catch (error) {
      if (await isLink(at)) throw outside(label, shown);
      if (isMissing(error))
        throw shown === '' ? new AmalgamError('not_found', `${label}: is not there`) : noFile(label, shown);
      throw fileError(error, label);
    }
    if (!roots.some((allowed) => isWithin(allowed, real))) throw outside(label, shown);
  }
  return real;
}

/** One text for links that leave and links to nothing, so that nobody can probe with them. */
function outside(label: string, path: string): AmalgamError {
  const what = path === '' ? label : `${label}: ${path}`;
  return new AmalgamError(
    'uri_not_allowed',
    `${what}: a symbolic link does not lead to a place below the allowed roots`,
  );
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink();
  } catch {
    return false;
  }
}

function isLinkSync(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}
