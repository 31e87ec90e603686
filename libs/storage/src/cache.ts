import { createHash } from 'node:crypto';
import { rename, rm, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AmalgamError, isAmalgamError } from '@amalgam/contracts';
import { CacheFiles } from './cache-files.js';
import { fileError } from './file-errors.js';
import { tryLock } from './file-lock.js';
import { Flights } from './flights.js';
import { type FolderFile, type FolderView, noFile } from './folder.js';
import type { TransferOptions } from './port.js';

const DEFAULT_GRACE_MS = 10 * 60_000;
/** How often a process looks whether another one has finished fetching the file that it waits for. */
const POLL_MS = 200;
/** A fetched file can be evicted again before it is pinned; more often than this would be no accident. */
const PIN_TRIES = 5;

export interface CacheOptions {
  /** What a process that shows no sign of life for this long had in use may be evicted; default 10 minutes. */
  graceMs?: number;
}

/** A file that stays where it is until `release`. */
export interface CachedFile {
  /** To be read only. */
  path: string;
  /** May be called more than once. */
  release(): Promise<void>;
}

/**
 * Local copies of remote objects in one folder, shared by every process that uses it. At most `maxBytes` are kept,
 * the least recently used go first; files in use always stay, so many of those can exceed the limit.
 */
export class LocalCache {
  readonly #files: CacheFiles;
  readonly #maxBytes: number;
  readonly #flights = new Flights();
  readonly #listings = new WeakMap<FolderView, Promise<Map<string, FolderFile>>>();

  constructor(folder: string, maxBytes: number, options: CacheOptions = {}) {
    this.#files = new CacheFiles(folder, options.graceMs ?? DEFAULT_GRACE_MS);
    this.#maxBytes = maxBytes;
  }

  /**
   * A local path with the file's bytes: its own place when it has one on this machine, else a copy, which is fetched
   * unless it is there. Everybody who asks for one file at one time shares one fetch, also across processes.
   * @throws not_found; checkpoint_changed; storage_full; storage_error; the signal's reason
   */
  async acquire(folder: FolderView, path: string, options: TransferOptions = {}): Promise<CachedFile> {
    options.signal?.throwIfAborted();
    const local = folder.localPath(path);
    if (local !== null) return { path: local, release: async () => {} };
    const file = await this.#lookUp(folder, path);
    const name = nameOf(folder.label, file);
    try {
      await this.#files.ready();
      for (let tries = 0; tries < PIN_TRIES; tries++) {
        const pin = await this.#files.pin(name);
        if (pin !== null) return { path: pin, release: () => this.#release(pin) };
        await this.#flights.join(name, (shared) => this.#fetchOnce(folder, file, name, shared), options);
      }
    } catch (error) {
      throw fileError(error, `${folder.label}/${path}`, options.signal);
    }
    throw new AmalgamError('storage_error', `${folder.label}/${path}: cannot be kept in the cache`);
  }

  /** Gives up whatever this process has in use, and stops the signs of life. */
  async close(): Promise<void> {
    await this.#files.close();
  }

  async #release(pin: string): Promise<void> {
    await this.#files.unpin(pin);
    await this.#files.evict(this.#maxBytes);
  }

  async #lookUp(folder: FolderView, path: string): Promise<FolderFile> {
    let listing = this.#listings.get(folder);
    if (listing === undefined) {
      listing = folder.list().then((files) => new Map(files.map((file) => [file.path, file])));
      this.#listings.set(folder, listing);
      listing.catch(() => this.#listings.delete(folder));
    }
    const file = (await listing).get(path);
    if (file === undefined) throw noFile(folder.label, path);
    return file;
  }

  /** Fetches the file unless another process does, which is waited for then. */
  async #fetchOnce(
    folder: FolderView,
    file: FolderFile,
    name: string,
    options: Required<TransferOptions>,
  ): Promise<void> {
    for (;;) {
      options.signal.throwIfAborted();
      const lock = await tryLock(this.#files.lockOf(name));
      if (lock !== null) {
        try {
          if (!(await this.#has(name))) await this.#fetch(folder, file, name, options);
          return;
        } finally {
          await lock.release();
        }
      }
      await sleep(POLL_MS, undefined, { signal: options.signal });
      if (await this.#has(name)) return;
    }
  }

  async #fetch(folder: FolderView, file: FolderFile, name: string, options: Required<TransferOptions>): Promise<void> {
    await this.#files.evict(Math.max(0, this.#maxBytes - file.bytes));
    try {
      await this.#fill(folder, file, name, options);
    } catch (error) {
      if (!isAmalgamError(error) || error.code !== 'storage_full') throw error;
      // The disk is smaller than the limit, or others use it too: everything that nobody uses has to go.
      await this.#files.evict(0);
      await this.#fill(folder, file, name, options);
    }
  }

  async #fill(folder: FolderView, file: FolderFile, name: string, options: Required<TransferOptions>): Promise<void> {
    const temp = folder.resumes === true ? this.#files.unfinished(name) : this.#files.temp();
    try {
      await folder.fetch(file.path, temp, options);
      const { size } = await stat(temp);
      if (size !== file.bytes) {
        const detail = `${folder.label}/${file.path}: has ${size} bytes now, ${file.bytes} when it was listed`;
        throw new AmalgamError('checkpoint_changed', detail);
      }
      await rename(temp, this.#files.pathOf(name));
    } catch (error) {
      throw fileError(error, `${folder.label}/${file.path}`, options.signal);
    } finally {
      await rm(temp, { force: true });
    }
  }

  async #has(name: string): Promise<boolean> {
    return stat(this.#files.pathOf(name)).then(
      () => true,
      () => false,
    );
  }
}

/** Named by what it holds: another version of the file has another name. */
function nameOf(label: string, { path, bytes, etag }: FolderFile): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([label, path, bytes, etag]))
    .digest('hex');
  const ending = /^\.[A-Za-z0-9]{1,16}$/.test(extname(path)) ? extname(path) : '';
  return hash + ending;
}
