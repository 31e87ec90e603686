import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';

const LOOK_MS = 20;
/** Above this many, those are dropped whose handlers have come to an end. */
const SWEEP_AT = 100;

/**
 * The requests that are being worked on. Fastify's close waits for connections; the handler of a request whose client has gone
 * away runs on without one, and what it uses must not be closed under it.
 */
export class InFlight {
  readonly #connected = new Set<FastifyReply>();
  /** Their clients have gone. */
  readonly #left = new Set<FastifyReply>();

  begin(reply: FastifyReply): void {
    this.#connected.add(reply);
    // Not onResponse, which Fastify does not call for a client that has gone.
    reply.raw.once('close', () => {
      this.#connected.delete(reply);
      if (isDone(reply)) return;
      this.#left.add(reply);
      if (this.#left.size > SWEEP_AT) this.#sweep();
    });
  }

  /** Resolves when none is left, or after `ms`; true when none is. */
  async drained(ms: number): Promise<boolean> {
    const until = performance.now() + ms;
    for (;;) {
      this.#sweep();
      if (this.#connected.size + this.#left.size === 0) return true;
      if (performance.now() >= until) return false;
      await sleep(LOOK_MS);
    }
  }

  #sweep(): void {
    for (const reply of this.#left) if (isDone(reply)) this.#left.delete(reply);
  }
}

/** Handlers end by ending the answer, or by beginning one that its stream ends. */
function isDone({ raw }: FastifyReply): boolean {
  return raw.writableEnded || (raw.destroyed && raw.headersSent);
}
