import { type AmalgamError, fromPlain, isNoSpace, toPlain } from '@amalgam/contracts';
import { createPool, type ThreadPool } from '@amalgam/kernels';
import type { Found } from '@amalgam/methods';
import { findBlends } from './blends.js';
import type { Job, Result, Task } from './job.js';
import { makeJob } from './make-job.js';
import type { RunTask } from './search.js';
import { findSurveys } from './surveys.js';
import { type Bands, findBands } from './trim.js';
import type { MergePlan } from './types.js';

const PROGRESS_MS = 200;

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

/** Starts the plan's threads for the time of `work`. They stop when it fails, and are gone when the promise settles. */
export async function withThreads<T>(
  plan: MergePlan,
  options: SessionOptions,
  session: SessionPlan,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { job, inputIndex } = makeJob(plan, options, session);
  const pool = createPool<Task, Result<unknown>>({
    filename: new URL('../dist/thread-entry.cjs', import.meta.url),
    threads: plan.threads,
    shared: job,
  });
  const flag = new Int32Array(job.stop);
  const stop = () => {
    Atomics.store(flag, 0, 1);
  };
  options.signal?.addEventListener('abort', stop);
  if (options.signal?.aborted) stop();
  const progress = new BigUint64Array(job.progress);
  const total = session.bytesTotal;
  const reportProgress = () => options.onProgress?.(Math.min(Number(Atomics.load(progress, 0)), total), total);
  const timer = setInterval(reportProgress, PROGRESS_MS);

  const run = runner(pool, stop);
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

/**
 * Runs tasks in the pool. A failure comes back as the error it was in the thread; the tasks in flight then stop at their next
 * chunk instead of finishing for nobody, and report the same error.
 */
function runner(pool: ThreadPool<Task, Result<unknown>>, stopAll: () => void): RunTask {
  let failure: AmalgamError | undefined;
  return async <T>(task: Task): Promise<T> => {
    if (failure !== undefined) throw failure;
    // The pool itself fails when a thread dies, of too little memory say.
    const result = await pool.run(task).catch((error: unknown) => ({ ok: false as const, error: toPlain(error) }));
    if (result.ok) return result.value as T;
    failure ??= fromPlain(result.error);
    stopAll();
    throw failure;
  };
}
