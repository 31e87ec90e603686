import { once } from 'node:events';
import type { FastifyReply } from 'fastify';

/** What a client waits before it connects again, in milliseconds. */
const RETRY_MS = 1000;

/** A server-sent event. Without data the client only notes the id, for its Last-Event-ID. */
export interface SentFrame {
  id?: number;
  event?: string;
  data?: object;
}

/** Writes server-sent events as fast as the client takes them; begins the answer. */
export class SseWriter {
  readonly #raw: FastifyReply['raw'];
  readonly #heartbeat: NodeJS.Timeout;
  readonly #gone = new AbortController();

  constructor(reply: FastifyReply, heartbeatMs: number) {
    reply.hijack();
    this.#raw = reply.raw;
    // One that left while the answer was worked out is told of no more, and a write to it is never taken.
    if (this.#raw.destroyed) this.#gone.abort();
    this.#raw.once('close', () => this.#gone.abort());
    this.#raw.on('error', () => this.#gone.abort());
    this.#raw.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      connection: 'keep-alive',
    });
    this.#raw.write(`retry: ${RETRY_MS}\n\n`);
    this.#heartbeat = setInterval(() => {
      // To a client that does not read, more would only fill our memory.
      if (!this.#raw.writableNeedDrain) this.#raw.write(': heartbeat\n\n');
    }, heartbeatMs);
  }

  get closed(): boolean {
    return this.#gone.signal.aborted;
  }

  onClose(call: () => void): void {
    this.#gone.signal.addEventListener('abort', call, { once: true });
  }

  /** Resolves when the client can take more, or has gone. */
  async send({ id, event, data }: SentFrame): Promise<void> {
    if (this.closed) return;
    const lines = [
      ...(id === undefined ? [] : [`id: ${id}`]),
      ...(event === undefined ? [] : [`event: ${event}`]),
      ...(data === undefined ? [] : [`data: ${JSON.stringify(data)}`]),
    ];
    if (this.#raw.write(`${lines.join('\n')}\n\n`)) return;
    await once(this.#raw, 'drain', { signal: this.#gone.signal }).catch(() => {});
  }

  /** The service stops: a client that does not read what waits for it is not waited for. */
  stop(): void {
    if (this.#raw.writableNeedDrain) this.#raw.destroy();
  }

  end(): void {
    clearInterval(this.#heartbeat);
    this.#raw.end();
  }
}
