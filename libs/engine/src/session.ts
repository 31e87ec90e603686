import { fromPlain, isNoSpace, toPlain } from '@amalgam/contracts';
import { createPool, defaultThreads, startThreads } from '@amalgam/kernels';
import type { Found } from '@amalgam/methods';
import { findBlends } from './blends.js';
import type { Job, Task } from './job.js';
import { makeJob } from './make-job.js';
import type { RunTask } from './search.js';
import { findSurveys } from './surveys.js';
import { type Bands, findBands } from './trim.js';
import type { MergePlan } from './types.js';

const PROGRESS_MS = 200;
const THREAD = new URL('../dist/thread.js', import.meta.url);

export interface SessionOptions {
  /** Local path of an input's file. */
  pathOf(input: number, file: string): string;
  /** Stops between chunks; the promise then rejects with `canceled`. */
  signal?: AbortSignal;
  onProgress?(bytesDone: number, bytesTotal: number): void;
}

export interface SessionPlan {
  /** What will be read and written, for the progress. */
  bytesTotal: number;
  /** As Job says. */
  outWidth: number;
  coefficients: number[][] | null;
}

/** Threads at work on one plan. */
export interface Session {
  job: Job;
  /** A file of an input as tasks name it. */
  inputIndex(input: number, file: string): number;
  run: RunTask;
  /** What is kept of each tensor, for methods that keep by magnitude over tensors or models. */
  findBands(): Promise<Bands | null>;
  /** By tensor and model: the coefficients that methods on norms and angles merge with. */
  findBlends(): Promise<number[][] | null>;
  /** By tensor: what the method's surveys find, in their order. */
  findSurveys(bands: Bands | null): Promise<Found[][] | null>;
  /** Tasks in flight stop at their next chunk. */
  stop(): void;
  reportProgress(): void;
}

/** Starts the threads of a merge that is only being planned yet: they take a sixth of a second to load. */
export function prepareThreads(threads = defaultThreads()): void {
  startThreads(THREAD, threads);
}

/**
 * Has threads for the plan for the time of `work`, as many as it wants at most. When one fails, or `work`, the others stop at their
 * next chunk. Nothing is at work, or open, when the promise settles.
 */
export async function withThreads<T>(
  plan: MergePlan,
  options: SessionOptions,
  session: SessionPlan,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { job, inputIndex } = makeJob(plan, options, session);
  const flag = new Int32Array(job.stop);
  const stop = () => {
    Atomics.store(flag, 0, 1);
  };
  const pool = createPool<Task>({
    filename: THREAD,
    threads: plan.threads,
    job,
    onFailure: stop,
  });
  options.signal?.addEventListener('abort', stop);
  if (options.signal?.aborted) stop();
  const progress = new BigUint64Array(job.progress);
  const total = session.bytesTotal;
  const reportProgress = () => options.onProgress?.(Math.min(Number(Atomics.load(progress, 0)), total), total);
  const timer = setInterval(reportProgress, PROGRESS_MS);

  const run = <T>(task: Task) => pool.run<T>(task);
  try {
    return await work({
      job,
      inputIndex,
      run,
      findBands: () => findBands(job, run),
      findBlends: () => findBlends(job, run),
      findSurveys: (bands) => findSurveys(job, bands, run),
      stop,
      reportProgress,
    });
  } catch (error) {
    stop();
    throw isNoSpace(error) ? fromPlain(toPlain(error)) : error;
  } finally {
    clearInterval(timer);
    options.signal?.removeEventListener('abort', stop);
    await pool.close();
  }
}
