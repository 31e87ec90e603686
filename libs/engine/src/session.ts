import { type AmalgamError, fromPlain, isNoSpace, toPlain } from '@amalgam/contracts';
import { createPool, type ThreadPool } from '@amalgam/kernels';
import { type Found, getMethod, isOverVectors } from '@amalgam/methods';
import { findBlends } from './blends.js';
import type { Job, JobSource, JobTensor, Result, Task } from './job.js';
import { rowLength } from './memory.js';
import type { RunTask } from './search.js';
import { findSurveys } from './surveys.js';
import { type Bands, findBands } from './trim.js';
import type { MergePlan, Source } from './types.js';

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
  const { job, inputIndex } = toJob(plan, options, session);
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

function toJob(plan: MergePlan, options: SessionOptions, { outWidth, coefficients }: SessionPlan) {
  const inputs: string[] = [];
  const indices = new Map<string, number>();
  const inputIndex = (input: number, file: string): number => {
    const key = `${input}/${file}`;
    let index = indices.get(key);
    if (index === undefined) {
      index = inputs.push(options.pathOf(input, file)) - 1;
      indices.set(key, index);
    }
    return index;
  };
  const source = ({ input, file, begin, dtype }: Source): JobSource => ({
    input: inputIndex(input, file),
    begin,
    dtype,
  });
  const method = getMethod(plan.recipe.method);
  const tensors = plan.merged.map(
    ({ name, shape, elements, base, models, columns, settings, dtype, begin }): JobTensor => ({
      name,
      elements,
      row: rowLength(shape),
      base: base === null ? null : source(base),
      models: models.map(source),
      columns,
      settings,
      overVectors: isOverVectors(method, base !== null),
      dtype,
      begin,
    }),
  );
  for (const { from } of [...plan.copied, ...plan.heads]) inputIndex(from.input, from.file);
  const job: Job = {
    inputs,
    tensors,
    method: plan.recipe.method,
    settings: plan.settings,
    coefficients,
    chunkElements: plan.chunkElements,
    outWidth,
    models: tensors.reduce((most, { models }) => Math.max(most, models.length), 0),
    progress: new SharedArrayBuffer(8),
    stop: new SharedArrayBuffer(4),
  };
  return { job, inputIndex };
}
