import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, rm, stat, unlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { errno, isMissing } from './file-errors.js';

/** Names within the cache's folder. */
const FILES = 'files';
const PINS = 'pins';
const LOCKS = 'locks';
const TEMP = 'temp';
/** A file this young may be about to be pinned by whoever fetched it. */
const FRESH_MS = 2_000;
/** What an unfinished fetch that can be gone on with is called, and how long it stays. */
const PARTIAL = '.part';
const PARTIAL_MS = 24 * 3600_000;

/**
 * The files of a cache that several processes share:
 *
 *     files/<name>          a whole object; its time of change is when it was last asked for
 *     pins/<process>/<id>   a hard link to a file that is in use
 *     locks/<name>          somebody is fetching it
 *     temp/                 unfinished fetches
 *
 * A pin is a hard link, so taking one either fails or keeps the bytes, whatever another process evicts meanwhile, and
 * the link count shows everybody that a file is in use. The pins of a process that died are recognised by their folder's
 * time, which a living process renews.
 */
export class CacheFiles {
  readonly #folder: string;
  readonly #graceMs: number;
  readonly #pins: string;
  #ready: Promise<void> | undefined;
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(folder: string, graceMs: number) {
    this.#folder = folder;
    this.#graceMs = graceMs;
    this.#pins = join(folder, PINS, randomUUID());
  }

  pathOf(name: string): string {
    return join(this.#folder, FILES, name);
  }

  lockOf(name: string): string {
    return join(this.#folder, LOCKS, name);
  }

  temp(): string {
    return join(this.#folder, TEMP, randomUUID());
  }

  /** Where whoever has the lock of this name puts a fetch that can be gone on with, also by another process. */
  unfinished(name: string): string {
    return join(this.#folder, TEMP, name);
  }

  /** Makes the folders, once. */
  ready(): Promise<void> {
    this.#ready ??= this.#prepare().catch((error) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  async #prepare(): Promise<void> {
    for (const folder of [FILES, LOCKS, TEMP].map((name) => join(this.#folder, name))) {
      await mkdir(folder, { recursive: true });
    }
    await mkdir(this.#pins, { recursive: true });
    this.#heartbeat = setInterval(
      () => {
        const now = new Date();
        utimes(this.#pins, now, now).catch(() => {});
      },
      Math.max(100, this.#graceMs / 4),
    );
    this.#heartbeat.unref();
  }

  /** Pins a file and marks it as used now; returns the path of the pin, or null when the file is not there. */
  async pin(name: string): Promise<string | null> {
    // The file's own ending: readers go by it.
    const pin = join(this.#pins, `${randomUUID()}-${name}`);
    try {
      await link(this.pathOf(name), pin);
      const now = new Date();
      await utimes(pin, now, now);
      return pin;
    } catch (error) {
      if (errno(error) !== 'ENOENT') throw error;
      // Either the file is missing, or the folder of pins, which another process took for a dead one's.
      await mkdir(this.#pins, { recursive: true });
      return null;
    }
  }

  async unpin(pin: string): Promise<void> {
    await rm(pin, { force: true });
  }

  /** Removes the files used longest ago, but none that is in use or brand-new, until at most `maxBytes` are left. */
  async evict(maxBytes: number): Promise<void> {
    await this.#clearDead(maxBytes === 0 ? 0 : PARTIAL_MS);
    const files = await this.#list(FILES);
    let total = files.reduce((sum, file) => sum + file.bytes, 0);
    const fresh = Date.now() - Math.min(FRESH_MS, this.#graceMs);
    const unused = files.filter(({ links, usedMs }) => links === 1 && usedMs <= fresh);
    for (const file of unused.sort((a, b) => a.usedMs - b.usedMs)) {
      if (total <= maxBytes) return;
      await unlink(file.path).catch((error) => {
        if (!isMissing(error)) throw error;
      });
      total -= file.bytes;
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#heartbeat);
    if (this.#ready !== undefined) await rm(this.#pins, { recursive: true, force: true });
  }

  /** Pins of dead processes, and their unfinished fetches; those that can be gone on with stay for longer. */
  async #clearDead(partialMs: number): Promise<void> {
    for (const entry of [...(await this.#list(PINS)), ...(await this.#list(TEMP))]) {
      const graceMs = entry.path.endsWith(PARTIAL) ? Math.max(partialMs, this.#graceMs) : this.#graceMs;
      if (entry.usedMs < Date.now() - graceMs && entry.path !== this.#pins)
        await rm(entry.path, { recursive: true, force: true });
    }
  }

  async #list(folder: string): Promise<{ path: string; bytes: number; links: number; usedMs: number }[]> {
    const entries = [];
    for (const name of await readdir(join(this.#folder, folder))) {
      const path = join(this.#folder, folder, name);
      try {
        const { size, nlink, mtimeMs } = await stat(path);
        entries.push({ path, bytes: size, links: nlink, usedMs: mtimeMs });
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
    return entries;
  }
}
