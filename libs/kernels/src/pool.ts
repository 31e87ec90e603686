import { availableParallelism } from 'node:os';
import { type AmalgamError, fromPlain, toPlain } from '@amalgam/contracts';
import { keepThread, PoolThread, takeThread } from './pool-thread.js';

export interface PoolOptions {
  /** Module that each thread loads; it calls `serveJobs`. */
  filename: URL;
  /** Threads at most; default: one per core. */
  threads?: number;
  /** Given to every thread once, so that tasks stay small. */
  job: unknown;
  /** Called when a task has failed, once: whatever else is running may stop. */
  onFailure?(): void;
}

/** Threads at work on one job, each with kernels of its own. They start as tasks come, so there are never more than tasks. */
export interface ThreadPool<Task> {
  /** Threads at most. */
  readonly threads: number;
  /** @throws AmalgamError what the task threw; after a first failure all that fail, or have not begun, fail with that one */
  run<Value>(task: Task): Promise<Value>;
  /** Resolves when the job's files are closed. The threads then wait for another job, or are gone where one has failed. */
  close(): Promise<void>;
}

export function defaultThreads(): number {
  return availableParallelism();
}

interface Waiting<Task> {
  task: Task;
  resolve(value: unknown): void;
  reject(error: AmalgamError): void;
}

export function createPool<Task>({ filename, threads, job, onFailure }: PoolOptions): ThreadPool<Task> {
  return new JobPool<Task>(filename, threads ?? defaultThreads(), job, onFailure ?? (() => {}));
}

class JobPool<Task> implements ThreadPool<Task> {
  readonly threads: number;
  readonly #filename: URL;
  readonly #job: unknown;
  readonly #onFailure: () => void;
  readonly #all: PoolThread[] = [];
  readonly #idle: PoolThread[] = [];
  #waiting: Waiting<Task>[] = [];
  #failure: AmalgamError | undefined;
  #closed = false;

  constructor(filename: URL, threads: number, job: unknown, onFailure: () => void) {
    this.#filename = filename;
    this.threads = threads;
    this.#job = job;
    this.#onFailure = onFailure;
  }

  run<Value>(task: Task): Promise<Value> {
    return new Promise<Value>((resolve, reject) => {
      this.#waiting.push({ task, resolve: (value) => resolve(value as Value), reject });
      this.#next();
    });
  }

  /** Begins what waits, as far as there are threads for it. */
  #next(): void {
    if (this.#closed) this.#fail(new Error('the pool of threads is closed'));
    if (this.#failure !== undefined) {
      const left = this.#waiting;
      this.#waiting = [];
      for (const { reject } of left) reject(this.#failure);
    }
    while (this.#waiting.length > 0) {
      const thread = this.#idle.pop() ?? this.#another();
      if (thread === undefined) return;
      const waiting = this.#waiting.shift();
      if (waiting !== undefined) this.#perform(thread, waiting);
    }
  }

  #another(): PoolThread | undefined {
    if (this.#all.length >= this.threads) return undefined;
    const thread = takeThread(this.#filename) ?? new PoolThread(this.#filename);
    thread.begin(this.#job);
    this.#all.push(thread);
    return thread;
  }

  #perform(thread: PoolThread, { task, resolve, reject }: Waiting<Task>): void {
    thread.ask({ kind: 'task', task }).then(
      (answer) => {
        if (answer.ok) resolve(answer.value);
        else reject(this.#fail(fromPlain(answer.error)));
        this.#idle.push(thread);
        this.#next();
      },
      // It died, of too little memory say.
      (error: unknown) => {
        reject(this.#fail(error));
        this.#next();
      },
    );
  }

  #fail(error: unknown): AmalgamError {
    if (this.#failure === undefined) {
      this.#failure = fromPlain(toPlain(error));
      this.#onFailure();
    }
    return this.#failure;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const isSound = this.#failure === undefined && this.#idle.length === this.#all.length;
    this.#next();
    await Promise.all(this.#all.map((thread) => (isSound ? keepThread(thread) : thread.terminate())));
  }
}
