import { createHash } from 'node:crypto';

interface Entry<T> {
  found: Promise<T>;
  /** By `performance.now()`, which no change of the wall clock moves. */
  until: number;
}

/** Far more than one service has in use; it bounds the memory. */
const MOST = 10_000;

/**
 * Remembers for a short time which tokens were found good, by their sha256, so that not every request asks the database. Requests
 * that come together share one question. What was refused is forgotten at once.
 */
export class KeyCache<T> {
  readonly #entries = new Map<string, Entry<T>>();

  /** An answer is good for `ttlMs`, counted from when it was asked for. */
  constructor(private readonly ttlMs: number) {}

  async get(token: string, find: () => Promise<T>): Promise<T> {
    const digest = createHash('sha256').update(token).digest('base64');
    const now = performance.now();
    const known = this.#entries.get(digest);
    if (known !== undefined && known.until > now) return known.found;
    const entry = { found: find(), until: now + this.ttlMs };
    // Again, so that it is the youngest; the oldest comes first.
    this.#entries.delete(digest);
    this.#entries.set(digest, entry);
    if (this.#entries.size > MOST) this.#entries.delete(this.#entries.keys().next().value ?? '');
    try {
      return await entry.found;
    } catch (error) {
      if (this.#entries.get(digest) === entry) this.#entries.delete(digest);
      throw error;
    }
  }

  /** Also of what is being asked now: whoever comes after this asks anew. */
  clear(): void {
    this.#entries.clear();
  }
}
