import type { Database, Subscription } from '@amalgam/database';

/** One stream's wish to be woken. */
export interface Waker {
  /** Resolves at the next news of the subject, at once when there was some since the last call, or after `ms`. */
  wait(ms: number): Promise<void>;
  /** Endpoints of a project whose deliveries have changed since the last call; `all` when nobody knows which. */
  takeEndpoints(): readonly string[] | 'all';
  /** Called when the service stops. */
  onStop(call: () => void): void;
  close(): void;
}

/**
 * Tells event streams that their merge or their project has news. All streams of the process share one connection that
 * listens; a NOTIFY only wakes, and the streams read the events themselves.
 */
export class EventHub {
  readonly #database: Database;
  /** By the id of the merge or of the project. */
  readonly #streams = new Map<string, Set<Stream>>();
  #listening: Promise<Subscription[]> | undefined;
  #closed = false;

  constructor(database: Database) {
    this.#database = database;
  }

  /** `subject`: a merge's or a project's id. Resolves when news from now on will be heard. */
  async subscribe(subject: string): Promise<Waker> {
    const stream = new Stream(() => this.#remove(subject, stream));
    const streams = this.#streams.get(subject) ?? new Set();
    this.#streams.set(subject, streams.add(stream));
    this.#listening ??= this.#listen();
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
    for (const stream of this.#of('')) stream.stop();
    for (const subscription of (await this.#listening) ?? []) await subscription.close();
  }

  #listen(): Promise<Subscription[]> {
    return Promise.all([
      this.#database.listen('amalgam_events', (payload) => {
        for (const subject of payload.split(' ')) for (const stream of this.#of(subject)) stream.wake();
      }),
      this.#database.listen('amalgam_deliveries', (payload) => {
        const [project = '', endpoint] = payload.split(' ');
        for (const stream of this.#of(project)) stream.wakeOfDeliveries(endpoint);
      }),
    ]);
  }

  /** The streams of a subject. An empty one means that notifications may have been lost: all of them. */
  #of(subject: string): Stream[] {
    const sets = subject === '' ? [...this.#streams.values()] : [this.#streams.get(subject) ?? []];
    return sets.flatMap((streams) => [...streams]);
  }

  #remove(subject: string, stream: Stream): void {
    const streams = this.#streams.get(subject);
    streams?.delete(stream);
    if (streams?.size === 0) this.#streams.delete(subject);
  }
}

class Stream implements Waker {
  readonly #onClose: () => void;
  /** A project has few endpoints, so this stays small however slowly it is taken. */
  #endpoints: Set<string> | 'all' = new Set();
  #news = false;
  #resolve: (() => void) | undefined;
  #onStop = () => {};

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  wake(): void {
    this.#news = true;
    this.#resolve?.();
  }

  wakeOfDeliveries(endpointId: string | undefined): void {
    if (endpointId === undefined) this.#endpoints = 'all';
    else if (this.#endpoints !== 'all') this.#endpoints.add(endpointId);
    this.wake();
  }

  takeEndpoints(): readonly string[] | 'all' {
    const taken = this.#endpoints;
    this.#endpoints = new Set();
    return taken === 'all' ? taken : [...taken];
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

  onStop(call: () => void): void {
    this.#onStop = call;
  }

  stop(): void {
    this.#onStop();
    this.wake();
  }

  close(): void {
    this.#onClose();
    this.wake();
  }
}
