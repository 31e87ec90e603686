import type { Database, Subscription } from '@amalgam/database';

/** One stream's wish to be woken. */
export interface Waker {
  /** Resolves at the next news of the merge, at once when there was some since the last call, or after `ms`. */
  wait(ms: number): Promise<void>;
  close(): void;
}

/**
 * Tells event streams that a merge has news. All streams of the process share one LISTEN, which begins with the first
 * stream; a NOTIFY only wakes, and the streams read the events themselves.
 */
export class EventHub {
  readonly #database: Database;
  readonly #streams = new Map<string, Set<Stream>>();
  #listening: Promise<Subscription> | undefined;
  #closed = false;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Resolves when news from now on will be heard. */
  async subscribe(mergeId: string): Promise<Waker> {
    const stream = new Stream(() => this.#remove(mergeId, stream));
    const streams = this.#streams.get(mergeId) ?? new Set();
    this.#streams.set(mergeId, streams.add(stream));
    this.#listening ??= this.#database.listen('amalgam_events', (id) => this.#wake(id));
    await this.#listening;
    if (this.#closed) stream.close();
    return stream;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Wakes every stream, which then ends. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake('');
    await (await this.#listening)?.close();
  }

  #wake(mergeId: string): void {
    // An empty id means that notifications may have been lost.
    const woken = mergeId === '' ? [...this.#streams.values()] : [this.#streams.get(mergeId) ?? []];
    for (const streams of woken) for (const stream of streams) stream.wake();
  }

  #remove(mergeId: string, stream: Stream): void {
    const streams = this.#streams.get(mergeId);
    streams?.delete(stream);
    if (streams?.size === 0) this.#streams.delete(mergeId);
  }
}

class Stream implements Waker {
  readonly #onClose: () => void;
  #news = false;
  #resolve: (() => void) | undefined;

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  wake(): void {
    this.#news = true;
    this.#resolve?.();
  }

  async wait(ms: number): Promise<void> {
    if (!this.#news) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
        timer = setTimeout(resolve, ms);
      });
      clearTimeout(timer);
      this.#resolve = undefined;
    }
    this.#news = false;
  }

  close(): void {
    this.#onClose();
    this.wake();
  }
}
