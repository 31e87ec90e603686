import type { Lane } from '@amalgam/contracts';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import {
  type ConsumeOptions,
  type Consumer,
  type JobHandler,
  type JobQueue,
  openQueue,
  type QueueConfig,
} from '../../src/index.js';
import { wipe } from '../helpers.js';

/** A server under the suite. */
export interface Backend {
  config: QueueConfig;
  /** Null when the server is somebody else's. */
  restart: ((whileDown?: () => Promise<void>) => Promise<void>) | null;
  stop(): Promise<void>;
}

export const LANE: Lane = 'cpu';

/** Short, so that the tests that wait for a lost lock are short. */
const QUICK = { concurrency: 1, lockMs: 1_000, stalledMs: 500 };

/** One server for a suite; an open queue with an empty lane for each test. */
export class Bench {
  #backend: Backend | undefined;
  #queue: JobQueue | undefined;
  readonly #consumers: Consumer[] = [];

  /** Registers the hooks; to be called within `describe`. */
  constructor(start: () => Promise<Backend>) {
    beforeAll(async () => {
      this.#backend = await start();
    });
    afterAll(async () => {
      await this.#backend?.stop();
    });
    beforeEach(async () => {
      this.#queue = await openQueue(this.backend.config);
      await wipe(this.backend.config, LANE);
    });
    afterEach(async () => {
      for (const consumer of this.#consumers.splice(0)) await consumer.close({ force: true });
      await this.#queue?.close();
    });
  }

  get backend(): Backend {
    return this.#backend!;
  }

  get queue(): JobQueue {
    return this.#queue!;
  }

  async consume(handler: JobHandler, options: Partial<ConsumeOptions> = {}): Promise<Consumer> {
    const consumer = await this.queue.consume(LANE, handler, { ...QUICK, ...options });
    this.closeLater(consumer);
    return consumer;
  }

  closeLater(consumer: Consumer): void {
    this.#consumers.push(consumer);
  }
}
