import { type MergeStage, PROGRESS_INTERVAL_MS, type TuningProgress } from '@amalgam/contracts';
import type { Database } from '@amalgam/database';
import type { Logger } from '@amalgam/telemetry';
import type { Lease } from '../lease.js';
import { patiently } from '../patience.js';

/** Tells the database how far an attempt is: stages always, bytes at most every 500 ms and never two at a time. */
export class ProgressReporter {
  /** Seconds by stage, of the stages that have ended. */
  readonly seconds: Record<string, number> = {};
  readonly #attempts: Database['attempts'];
  readonly #lease: Lease;
  readonly #log: Logger;
  #stage: MergeStage = 'planning';
  #enteredAt = performance.now();
  #sending: Promise<void> | undefined;
  #sentAt = 0;

  constructor(attempts: Database['attempts'], lease: Lease, log: Logger) {
    this.#attempts = attempts;
    this.#lease = lease;
    this.#log = log;
  }

  /** Begins a stage. @throws Stopped when the attempt is to end */
  async enter(stage: MergeStage, bytesDone: number, bytesTotal: number): Promise<void> {
    this.#endStage();
    await this.#sending;
    this.#stage = stage;
    this.#sentAt = Date.now();
    const { signal, attemptId } = this.#lease;
    signal.throwIfAborted();
    const update = { stage, bytesDone, bytesTotal };
    const told = () => this.#attempts.progress(attemptId, update);
    this.#lease.observe(await patiently(told, { signal, log: this.#log, what: `entering ${stage}` }));
    signal.throwIfAborted();
  }

  /** May be called as often as one likes. */
  report(bytesDone: number, bytesTotal: number, tuning?: TuningProgress): void {
    if (this.#sending !== undefined || Date.now() - this.#sentAt < PROGRESS_INTERVAL_MS) return;
    this.#sentAt = Date.now();
    const update = { stage: this.#stage, bytesDone, bytesTotal, ...(tuning !== undefined && { tuning }) };
    this.#sending = this.#attempts
      .progress(this.#lease.attemptId, update)
      .then(
        (state) => this.#lease.observe(state),
        // The next one says more; the lease's heartbeat is the one that complains.
        (error) => this.#log.debug({ err: error }, 'progress was not told'),
      )
      .finally(() => {
        this.#sending = undefined;
      });
  }

  /** Ends the last stage, and waits for what is on its way. */
  async finish(): Promise<void> {
    this.#endStage();
    await this.#sending;
  }

  #endStage(): void {
    const now = performance.now();
    this.seconds[this.#stage] = (this.seconds[this.#stage] ?? 0) + (now - this.#enteredAt) / 1000;
    this.#enteredAt = now;
  }
}
