import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { identify, isAlive, type ProcessId } from './process.js';

interface Content {
  owner: ProcessId;
  /** The server that the owner started. */
  server: ProcessId | null;
}

/**
 * One process of ours at a time on a folder, by the file postgres.lock. It outlives a SIGKILL, and then tells the next
 * process which server was left behind by a dead owner and may be stopped.
 */
export class Ownership {
  private constructor(
    private readonly file: string,
    private readonly self: ProcessId,
    /** What a dead owner left; null when there was none. */
    readonly inherited: Content | null,
  ) {}

  /** Throws `unavailable` when a live process owns the folder. */
  static async take(dir: string): Promise<Ownership> {
    const file = join(dir, 'postgres.lock');
    const self = await identify(process.pid);
    let inherited: Content | null = null;
    for (;;) {
      if (await create(file, { owner: self, server: null })) return new Ownership(file, self, inherited);
      const text = await readFile(file, 'utf8').catch(() => null);
      if (text === null) continue;
      const content = parse(text);
      if (content !== null && (await isAlive(content.owner))) {
        throw new AmalgamError('unavailable', `${dir} is in use by process ${content.owner.pid}`);
      }
      const aside = `${file}.${randomBytes(4).toString('hex')}`;
      await rename(file, aside).catch(() => {}); // another one was quicker: the loop looks again
      const moved = await readFile(aside, 'utf8').catch(() => null);
      // Another one had taken it between our look and our move: it gets it back.
      if (moved !== null && moved !== text) await link(aside, file).catch(() => {});
      else if (moved !== null) inherited = content;
      await rm(aside, { force: true });
    }
  }

  /** Notes the server that was started. */
  async setServer(server: ProcessId): Promise<void> {
    const draft = `${this.file}.draft`;
    await writeFile(draft, JSON.stringify({ owner: this.self, server } satisfies Content), { mode: 0o600 });
    await rename(draft, this.file);
  }

  async release(): Promise<void> {
    await rm(this.file, { force: true });
  }
}

/** Makes the file with its content at once, or not at all. */
async function create(file: string, content: Content): Promise<boolean> {
  const draft = `${file}.${randomBytes(4).toString('hex')}`;
  await writeFile(draft, JSON.stringify(content), { mode: 0o600 });
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

function parse(text: string): Content | null {
  try {
    const content = JSON.parse(text) as Partial<Content>;
    return typeof content.owner?.pid === 'number' ? { owner: content.owner, server: content.server ?? null } : null;
  } catch {
    return null;
  }
}
