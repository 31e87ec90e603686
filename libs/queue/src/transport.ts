import type { Lane } from '@amalgam/contracts';
import type { Job, QueueOptions, WorkerOptions } from 'bullmq';
import type { JobData } from './port.js';

/** The part of BullMQ's Queue that is used; the same on every backend. */
export interface LaneQueue {
  add(name: string, data: JobData, options: { jobId: string; delay?: number }): Promise<unknown>;
  getJobState(id: string): Promise<string>;
  getJobCounts(...types: ('waiting' | 'delayed' | 'active' | 'failed')[]): Promise<{ [type: string]: number }>;
  remove(id: string): Promise<number>;
  close(): Promise<void>;
}

/** The part of BullMQ's Worker that is used. */
export interface LaneWorker {
  waitUntilReady(): Promise<void>;
  close(force?: boolean): Promise<void>;
}

/** What BullMQ calls for each job. */
export type Process = (job: Job<JobData, void>, token?: string) => Promise<void>;

/** What a worker tells besides running jobs. */
export interface WorkerListeners {
  error: (error: unknown) => void;
  failed: (id: string | undefined, error: Error) => void;
  stalled: (id: string) => void;
}

export type LaneWorkerOptions = Omit<WorkerOptions, 'connection'>;
export type LaneQueueOptions = Omit<QueueOptions, 'connection'>;

/** One kind of server: its connections, and BullMQ's classes bound to them. */
export interface Transport {
  /** Opened with the transport, so that a producer never waits for a connection later. */
  queue(lane: Lane): LaneQueue;
  worker(lane: Lane, process: Process, options: LaneWorkerOptions, listeners: WorkerListeners): TransportWorker;
  ping(): Promise<void>;
  /** Ends the producers' connections. */
  close(): Promise<void>;
}

export interface TransportWorker {
  worker: LaneWorker;
  /** Frees what the worker itself does not own. Safe to call twice. */
  release(): void;
}

/** For every job: no retries (the database decides), and a finished id soon free again. */
export const QUEUE_OPTIONS = {
  defaultJobOptions: {
    attempts: 1,
    removeOnComplete: true,
    // Failed jobs are kept a while to be looked at; add() clears one of the same id.
    removeOnFail: { count: 1000, age: 7 * 24 * 3600 },
    stackTraceLimit: 5,
  },
  // Nobody reads BullMQ's event stream: QueueEvents lose events on Postgres.
  streams: { events: { maxLen: 1000 } },
} satisfies LaneQueueOptions;
