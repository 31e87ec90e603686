import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Identity } from './heartbeat.js';

/** The folder of a worker that gave no sign of life for this long belongs to a dead one. */
const DEAD_AFTER_MS = 10 * 60_000;

/** Folders of the workers of this very process: several can run in one, in tests say. */
const own = new Set<string>();

/**
 * Where attempts write before they publish: `<home>/scratch/<worker>/<attempt>`, on the file system of the file
 * driver's objects, so that publishing is a rename.
 */
export class Scratch {
  readonly #root: string;
  readonly #identity: Identity;
  readonly #folder: string;

  constructor(home: string, identity: Identity) {
    this.#root = join(home, 'scratch');
    this.#identity = identity;
    this.#folder = join(this.#root, identity.id);
    own.add(this.#folder);
  }

  /** An empty folder for an attempt. */
  async make(attemptId: string): Promise<string> {
    const folder = join(this.#folder, attemptId);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    return folder;
  }

  async remove(folder: string): Promise<void> {
    await rm(folder, { recursive: true, force: true });
  }

  /** A sign of life for whoever shares the home folder. */
  async touch(): Promise<void> {
    const now = new Date();
    await utimes(this.#folder, now, now).catch(() => {});
  }

  /** Removes what dead workers left behind; returns how many folders. */
  async sweep(): Promise<number> {
    const names = await readdir(this.#root).catch(() => []);
    let removed = 0;
    for (const name of names) {
      const folder = join(this.#root, name);
      if (own.has(folder) || !(await this.#isDead(name, folder))) continue;
      await rm(folder, { recursive: true, force: true });
      removed++;
    }
    return removed;
  }

  async close(): Promise<void> {
    own.delete(this.#folder);
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #isDead(name: string, folder: string): Promise<boolean> {
    const { pid } = this.#identity;
    const prefix = this.#identity.id.slice(0, this.#identity.id.lastIndexOf(`_${pid}_`) + 1);
    if (name.startsWith(prefix)) {
      const other = Number(name.slice(prefix.length).split('_')[0]);
      // The same number after a restart of a container is an earlier life of ours.
      if (other === pid || (other > 0 && !exists(other))) return true;
    }
    const { mtimeMs } = await stat(folder).catch(() => ({ mtimeMs: Date.now() }));
    return mtimeMs < Date.now() - DEAD_AFTER_MS;
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
