import pg from 'pg';
import type { Channel } from './context.js';

export interface ListenOptions {
  url: string;
  /** Told of lost connections; the listener comes back by itself. */
  onError?: (error: Error) => void;
}

export type Handler = (payload: string) => void;

export interface Subscription {
  /** Stops the calls to this handler. */
  close(): Promise<void>;
}

const FIRST_DELAY_MS = 100;
const LAST_DELAY_MS = 10_000;

/**
 * LISTEN on one dedicated connection, which comes back by itself. Notifications only wake: those sent while the
 * connection was away are gone, so after each reconnect every handler is called once with an empty payload,
 * which means "look again at everything".
 */
export class Listener {
  readonly #options: ListenOptions;
  readonly #handlers = new Map<Channel, Set<Handler>>();
  #client: pg.Client | undefined;
  #connecting: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #delay = FIRST_DELAY_MS;
  #closed = false;

  constructor(options: ListenOptions) {
    this.#options = options;
  }

  /** Resolves when the channel is listened to, or when a first connection failed and is being tried again. */
  async listen(channel: Channel, handler: Handler): Promise<Subscription> {
    const handlers = this.#handlers.get(channel) ?? new Set();
    this.#handlers.set(channel, handlers.add(handler));
    await this.#connect();
    await this.#client?.query(`LISTEN ${channel}`).catch(() => {}); // a lost connection listens anew when it is back
    return {
      close: async () => {
        handlers.delete(handler);
        if (handlers.size === 0) await this.#client?.query(`UNLISTEN ${channel}`).catch(() => {});
      },
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#handlers.clear();
    await this.#connecting;
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => {});
  }

  #connect(): Promise<void> {
    if (this.#client !== undefined || this.#closed || this.#timer !== undefined) return Promise.resolve();
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #open(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#options.url,
      application_name: 'amalgam-listen',
      keepAlive: true,
    });
    // One loss can report both an error and an end; the second finds that the client is no longer ours.
    let lost = false;
    const lose = (error: Error) => {
      if (lost) return;
      lost = true;
      if (this.#client === client) this.#client = undefined;
      client.end().catch(() => {});
      this.#retry(error);
    };
    client.on('error', lose);
    client.on('end', () => lose(new Error('the connection that listens was closed')));
    client.on('notification', ({ channel, payload }) => this.#dispatch(channel as Channel, payload ?? ''));
    try {
      await client.connect();
      for (const channel of this.#handlers.keys()) await client.query(`LISTEN ${channel}`);
    } catch (error) {
      lose(error as Error);
      return;
    }
    if (lost) return;
    this.#client = client;
    this.#delay = FIRST_DELAY_MS;
  }

  #retry(error: Error): void {
    if (this.#closed) return;
    this.#options.onError?.(error);
    const delay = this.#delay;
    this.#delay = Math.min(delay * 2, LAST_DELAY_MS);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#connect().then(() => {
        if (this.#client === undefined) return;
        for (const channel of this.#handlers.keys()) this.#dispatch(channel, '');
      });
    }, delay);
    this.#timer.unref();
  }

  #dispatch(channel: Channel, payload: string): void {
    for (const handler of this.#handlers.get(channel) ?? []) {
      try {
        handler(payload);
      } catch (error) {
        this.#options.onError?.(error as Error);
      }
    }
  }
}
