import { AmalgamError } from '@amalgam/contracts';
import { checkFolder, checkKey } from './keys.js';
import type { ObjectInfo, ObjectStore, TransferOptions } from './port.js';

/** The most files that a folder may hold; it is also the most that an upload may. */
export const MAX_FOLDER_FILES = 10_000;

export interface FolderFile {
  /** Relative to the folder, `/`-separated. */
  path: string;
  bytes: number;
  etag: string;
}

/** Random access to one file. */
export interface FolderSource {
  /** Names the file in errors: the folder's label and the path. */
  readonly name: string;
  /** Bytes. @throws not_found */
  size(): Promise<number>;
  /** Exactly `length` bytes. @throws not_found; checkpoint_changed when the file is not the one that was seen first */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/**
 * A read-only view of a folder of files. Whatever was seen of a file once, by `list` or by opening it, must stay true
 * as long as the view is used: other bytes are `checkpoint_changed`.
 */
export interface FolderView {
  /** Names the folder in errors. */
  readonly label: string;
  /** Every file, by path. @throws invalid_checkpoint when there are more than 10 000 */
  list(): Promise<FolderFile[]>;
  source(path: string): FolderSource;
  /** The file on this machine, to be read only; null when it has to be fetched. */
  localPath(path: string): string | null;
  /** A `fetch` that fails leaves beside `localFile` what it has, and the next one goes on from there. */
  readonly resumes?: boolean;
  /** Copies a file to `localFile`, atomically. @throws not_found; checkpoint_changed */
  fetch(path: string, localFile: string, options?: TransferOptions): Promise<void>;
}

export interface StoreFolderOptions {
  /** Leaves out what is in folders whose name begins with a dot (`.git`, `.cache`). */
  skipHidden?: boolean;
}

/** The objects below `prefix` as a folder. @throws invalid_request for a bad prefix */
export function storeFolder(
  store: ObjectStore,
  prefix: string,
  label: string,
  options: StoreFolderOptions = {},
): FolderView {
  return new StoreFolder(store, checkFolder(prefix), label, options.skipHidden === true);
}

/** See `storeFolder`; here the prefix is '' or ends with a slash. */
export class StoreFolder implements FolderView {
  readonly label: string;
  readonly #store: ObjectStore;
  readonly #prefix: string;
  readonly #skipHidden: boolean;
  readonly #seen = new Map<string, { bytes: number; etag: string }>();

  constructor(store: ObjectStore, prefix: string, label: string, skipHidden: boolean) {
    this.label = label;
    this.#store = store;
    this.#prefix = prefix;
    this.#skipHidden = skipHidden;
  }

  async list(): Promise<FolderFile[]> {
    const files: FolderFile[] = [];
    for (let cursor: string | null = null; ; ) {
      const page = await this.#store.list(this.#prefix, cursor === null ? {} : { cursor });
      for (const object of page.objects) {
        const file = this.#see(object);
        if (!this.#skipHidden || !isHidden(file.path)) files.push(file);
      }
      if (files.length > MAX_FOLDER_FILES) throw tooManyFiles(this.label);
      cursor = page.next_cursor;
      if (cursor === null) return files;
    }
  }

  source(path: string): FolderSource {
    const key = this.#key(path);
    return {
      name: `${this.label}/${path}`,
      size: async () => (await this.#version(path)).bytes,
      read: async (offset, length) => {
        const { etag } = await this.#version(path);
        return this.#store.read(key, offset, length, { etag });
      },
    };
  }

  /** One file as `list` shows it. @throws not_found */
  async describe(path: string): Promise<FolderFile> {
    return { path, ...(await this.#version(checkKey(path))) };
  }

  localPath(path: string): string | null {
    return this.#store.localPath(this.#key(path));
  }

  async fetch(path: string, localFile: string, options: TransferOptions = {}): Promise<void> {
    const { etag } = await this.#version(path);
    await this.#store.download(this.#key(path), localFile, { ...options, etag });
  }

  async #version(path: string): Promise<{ bytes: number; etag: string }> {
    const seen = this.#seen.get(path);
    if (seen !== undefined) return seen;
    const info = await this.#store.head(this.#key(path));
    if (info === null) throw noFile(this.label, path);
    return this.#see(info);
  }

  #see({ key, bytes, etag }: ObjectInfo): FolderFile {
    const path = key.slice(this.#prefix.length);
    const first = this.#seen.get(path) ?? { bytes, etag };
    this.#seen.set(path, first);
    return { path, ...first };
  }

  #key(path: string): string {
    return this.#prefix + checkKey(path);
  }
}

/**
 * One file of a folder, and others that belong to it, as a folder of their own; anything else is `not_found`. The
 * folder's label names the one file.
 */
export function someFiles(folder: FolderView, file: FolderFile, others: readonly FolderFile[] = []): FolderView {
  const files = [file, ...others];
  const only = (path: string): string => {
    if (!files.some((known) => known.path === path)) throw noFile(folder.label, path);
    return path;
  };
  return {
    label: folder.label,
    ...(folder.resumes === undefined ? {} : { resumes: folder.resumes }),
    list: async () => [...files],
    source: (path) => {
      const name = path === file.path ? folder.label : `${folder.label}: ${path}`;
      return { ...folder.source(only(path)), name };
    },
    localPath: (path) => folder.localPath(only(path)),
    fetch: async (path, localFile, options) => folder.fetch(only(path), localFile, options),
  };
}

/** True when a folder on the path, not the file itself, has a name that begins with a dot. */
export function isHidden(path: string): boolean {
  return path.startsWith('.') ? path.includes('/') : /\/\.[^/]*\//.test(path);
}

export function noFile(label: string, path: string): AmalgamError {
  return new AmalgamError('not_found', `${label}: there is no file ${path}`);
}

export function tooManyFiles(label: string): AmalgamError {
  return new AmalgamError('invalid_checkpoint', `${label}: holds more than ${MAX_FOLDER_FILES} files`);
}
