import type { Database, Lease as LeaseState } from '@amalgam/database';
import type { Logger } from '@amalgam/telemetry';
import { Loop } from './loop.js';

/**
 * Why work on a merge stops before its end: the user canceled it, another worker has it (or it ended), or this worker
 * shuts down.
 */
export type StopReason = 'canceled' | 'lost' | 'stopping';

export class Stopped extends Error {
  constructor(readonly why: StopReason) {
    super(`the attempt was stopped: ${why}`);
    this.name = 'Stopped';
  }
}

export interface LeaseOptions {
  attempts: Database['attempts'];
  attemptId: string;
  everyMs: number;
  log: Logger;
}

/**
 * Keeps an attempt's claim alive, and its signal tells when and why to stop. A database that does not answer is no
 * reason to stop: as long as it is away nobody else can take the merge, and when it is back the next heartbeat tells
 * whether somebody did. Publishing checks the claim anyway.
 */
export class Lease {
  readonly attemptId: string;
  readonly #controller = new AbortController();
  readonly #loop: Loop;
  #lost = false;
  #closed = false;

  constructor({ attempts, attemptId, everyMs, log }: LeaseOptions) {
    this.attemptId = attemptId;
    const beat = async () => this.observe(await attempts.heartbeat(attemptId));
    this.#loop = new Loop(beat, { name: 'lease', everyMs, log }).start();
  }

  /** Aborted with a `Stopped`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The first reason to stop, if there is one. */
  get stopped(): StopReason | undefined {
    return this.signal.aborted ? (this.signal.reason as Stopped).why : undefined;
  }

  /** The claim is gone, whatever the first reason to stop was: nothing that others can see may be touched. */
  get lost(): boolean {
    return this.#lost;
  }

  /** What the database said of the claim. */
  observe({ ok, cancelRequested }: LeaseState): void {
    if (this.#closed) return;
    if (!ok) this.lose();
    else if (cancelRequested) this.stop('canceled');
  }

  lose(): void {
    this.#lost = true;
    this.stop('lost');
  }

  stop(why: StopReason): void {
    this.#controller.abort(new Stopped(why));
  }

  /** Looks at the claim now. */
  wake(): void {
    this.#loop.wake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#loop.stop();
  }
}
