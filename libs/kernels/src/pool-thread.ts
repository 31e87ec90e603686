import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Answer, Message } from './serve.js';

/** A thread costs a quarter of a second of a core to start: those that held little memory wait this long for another job. */
const IDLE_MS = 60_000;
/** Memory for kernels grows and never shrinks. */
const MOST_KEPT_BYTES = 32 * 2 ** 20;

/** Threads of this process without a job, the longest idle first; at most one per core. */
const idle: PoolThread[] = [];

/** A thread that serves one job after the other (serve.ts). It answers one question at a time. */
export class PoolThread {
  readonly filename: string;
  readonly #worker: Worker;
  #asked: { resolve(answer: Answer): void; reject(error: unknown): void } | undefined;
  #death: unknown;
  #timer: NodeJS.Timeout | undefined;

  constructor(filename: URL) {
    this.filename = filename.href;
    this.#worker = new Worker(filename, {
      // A thread's JavaScript heap holds bookkeeping only; bulk data lives in the kernels' memory.
      resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 8 },
    });
    this.#worker.on('message', (answer: Answer) => {
      this.#asked?.resolve(answer);
      this.#asked = undefined;
    });
    this.#worker.on('messageerror', (error) => this.#die(error));
    this.#worker.on('error', (error) => this.#die(error));
    this.#worker.on('exit', () => this.#die(new Error('a thread ended before its task')));
  }

  begin(job: unknown): void {
    this.#post({ kind: 'begin', job });
  }

  /** Rejects with the reason when the thread is gone, or goes. */
  ask(message: Exclude<Message, { kind: 'begin' }>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#death !== undefined) {
        reject(this.#death);
        return;
      }
      this.#asked = { resolve, reject };
      this.#post(message);
    });
  }

  /** Until `wake`, it keeps no process alive, and ends by itself after a while. */
  rest(): void {
    this.#worker.unref();
    this.#timer = setTimeout(() => void this.terminate(), IDLE_MS).unref();
  }

  wake(): void {
    clearTimeout(this.#timer);
    this.#worker.ref();
  }

  async terminate(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#worker.terminate();
  }

  #post(message: Message): void {
    this.#worker.postMessage(message);
  }

  #die(reason: unknown): void {
    this.#death ??= reason;
    this.#asked?.reject(this.#death);
    this.#asked = undefined;
    const at = idle.indexOf(this);
    if (at >= 0) idle.splice(at, 1);
  }
}

/** Starts threads that wait for a job, and load this module meanwhile, as if they had ended another; at most one per core. */
export function startThreads(filename: URL, count: number): void {
  const waiting = idle.filter((thread) => thread.filename === filename.href).length;
  for (let i = waiting; i < Math.min(count, availableParallelism()); i++) {
    const thread = new PoolThread(filename);
    thread.rest();
    idle.push(thread);
  }
}

/** An idle thread that has loaded this module. */
export function takeThread(filename: URL): PoolThread | undefined {
  const at = idle.findLastIndex((thread) => thread.filename === filename.href);
  if (at < 0) return undefined;
  const [thread] = idle.splice(at, 1);
  thread?.wake();
  return thread;
}

/** Ends a thread's job. It then waits for another, or is gone where it holds much memory. */
export async function keepThread(thread: PoolThread): Promise<void> {
  const answer = await thread.ask({ kind: 'end' }).catch(() => ({ ok: false }) as const);
  if (!answer.ok || Number(answer.value) > MOST_KEPT_BYTES) {
    await thread.terminate();
    return;
  }
  thread.rest();
  idle.push(thread);
  if (idle.length > availableParallelism()) await idle.shift()?.terminate();
}
