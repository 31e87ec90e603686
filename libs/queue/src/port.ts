import type { Lane } from '@amalgam/contracts';

/** Which server carries the queue. Nothing above this library knows which one it is. */
export type QueueConfig = { kind: 'postgres'; url: string } | { kind: 'redis'; url: string };

/** Ids only: what a job is about lives in the database, so losing the queue loses nothing. */
export type JobData = Record<string, string>;

/** A job as a handler sees it. */
export interface QueueJob {
  id: string;
  data: JobData;
}

/** A job as a producer gives it. */
export interface NewJob extends QueueJob {
  /** Not before this many milliseconds from now. */
  delayMs?: number;
}

/**
 * What runs a job. It is called at least once per added job, sometimes twice at the same time (a consumer that
 * stalled and came back): it must claim its work in the database. Throwing fails the job and nothing else; the
 * queue never retries by itself. The signal fires when the consumer is closed by force.
 */
export type JobHandler = (job: QueueJob, signal: AbortSignal) => Promise<void>;

export interface ConsumeOptions {
  /** Jobs running at once in this consumer. */
  concurrency: number;
  /** How long a job stays this consumer's without a sign of life; renewed at half of it. Default 15 s. */
  lockMs?: number;
  /** How often jobs of dead consumers are looked for. Default 10 s. */
  stalledMs?: number;
}

export interface LaneCounts {
  waiting: number;
  delayed: number;
  active: number;
  failed: number;
}

/** Takes jobs of one lane until it is closed. */
export interface Consumer {
  /**
   * Takes no more jobs and waits for the running ones, however long they take. With `force` their signals are
   * aborted, those that end by throwing (or do not end within two seconds) go back to the lane at once for
   * another consumer, and the call returns within seconds. A forced close may follow an unforced one.
   */
  close(options?: { force?: boolean }): Promise<void>;
  /** Handlers that are running now. */
  running(): number;
}

/** Lanes of jobs over BullMQ. Failures of the server are AmalgamErrors with the code `unavailable`. */
export interface JobQueue {
  readonly kind: QueueConfig['kind'];
  /**
   * Adds a job. Does nothing while a job with that id is waiting, delayed or active, so a handler cannot add
   * its own id again: give a follow-up another id. A finished id can be added again.
   */
  add(lane: Lane, job: NewJob): Promise<void>;
  consume(lane: Lane, handler: JobHandler, options: ConsumeOptions): Promise<Consumer>;
  /** Is it waiting, delayed or active? */
  has(lane: Lane, id: string): Promise<boolean>;
  counts(lane: Lane): Promise<LaneCounts>;
  /** Takes a waiting, delayed or finished job out; leaves an active one alone. */
  remove(lane: Lane, id: string): Promise<void>;
  /** Throws when the server does not answer. */
  ping(): Promise<void>;
  /** Closes the consumers, waiting for their jobs, and then the connections. */
  close(): Promise<void>;
}

/** Where connection errors and failed jobs are told; a pino logger fits. */
export interface QueueLog {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
