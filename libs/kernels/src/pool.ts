import { availableParallelism } from 'node:os';
import { Piscina } from 'piscina';

export interface PoolOptions {
  /** Module that each thread loads; its default export runs a task. */
  filename: URL;
  /** Threads; default: one per core. */
  threads?: number;
  /** Given to every thread once (`workerData`), so that tasks stay small. */
  shared: unknown;
}

/** A fixed set of threads, each with its own instance of whatever `filename` sets up. */
export interface ThreadPool<Task, Result> {
  readonly threads: number;
  run(task: Task): Promise<Result>;
  close(): Promise<void>;
}

export function defaultThreads(): number {
  return availableParallelism();
}

export function createPool<Task, Result>(options: PoolOptions): ThreadPool<Task, Result> {
  const threads = options.threads ?? defaultThreads();
  const pool = new Piscina<Task, Result>({
    filename: options.filename.href,
    minThreads: threads,
    maxThreads: threads,
    workerData: options.shared,
    // A thread's JavaScript heap holds bookkeeping only; bulk data lives in the kernels' memory.
    resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 8 },
  });
  return {
    threads,
    run: (task) => pool.run(task),
    close: () => pool.destroy(),
  };
}
