import type { Client } from '@amalgam/client';
import type { ProjectEvent } from '@amalgam/contracts';
import { isSignedOut } from '../api.js';
import { whileSeen } from './while-seen.js';

/**
 * `live`: whatever happens is told. `reconnecting`: it was, and soon will be again; whoever shows something asks by itself
 * meanwhile. `off`: the key may not read events.
 */
export type FeedState = 'connecting' | 'live' | 'reconnecting' | 'off';

/** What has come since the last time. */
export interface News {
  /** In order. */
  events: readonly ProjectEvent[];
  /** Endpoints whose deliveries have changed. */
  endpoints: ReadonlySet<string>;
}

/** News that comes together is told together. */
const GATHER_MS = 100;

/**
 * The project's events, over one stream for the whole page. When it becomes live, at first and after each break, what was
 * read before may be old, and is to be read again: so nothing that happened meanwhile has to be told.
 */
export class Feed {
  readonly #client: Client;
  readonly #readers = new Set<(news: News) => void>();
  readonly #watchers = new Set<() => void>();
  #state: FeedState = 'connecting';
  #events: ProjectEvent[] = [];
  #endpoints = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(client: Client) {
    this.#client = client;
  }

  get state(): FeedState {
    return this.#state;
  }

  /** Calls `read` with all news; returns how to end that. */
  subscribe(read: (news: News) => void): () => void {
    this.#readers.add(read);
    return () => this.#readers.delete(read);
  }

  /** Calls `changed` after each change of the state; returns how to end that. */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }

  /** Follows the stream while the page is seen; returns how to end that. */
  start(onSignedOut: () => void): () => void {
    return whileSeen((signal) => {
      signal.addEventListener('abort', () => {
        clearTimeout(this.#timer);
        this.#timer = undefined;
        // Whoever begins again must see it become live.
        this.#become('connecting');
      });
      void this.#follow(signal, onSignedOut);
    });
  }

  async #follow(signal: AbortSignal, onSignedOut: () => void): Promise<void> {
    const events = this.#client.events({
      signal,
      onConnection: (state) => this.#become(state === 'open' ? 'live' : 'reconnecting'),
      onDeliveries: (endpointId) => {
        this.#endpoints.add(endpointId);
        this.#tellSoon();
      },
    });
    try {
      for await (const event of events) {
        this.#events.push(event);
        this.#tellSoon();
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#become('off');
      if (isSignedOut(error)) onSignedOut();
    }
  }

  #become(state: FeedState): void {
    if (state === this.#state) return;
    this.#state = state;
    for (const changed of this.#watchers) changed();
  }

  #tellSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const news = { events: this.#events, endpoints: this.#endpoints };
      this.#events = [];
      this.#endpoints = new Set();
      for (const read of this.#readers) read(news);
    }, GATHER_MS);
  }
}
