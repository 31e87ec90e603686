import { parentPort } from 'node:worker_threads';
import { type PlainError, toPlain } from '@amalgam/contracts';
import { Kernels } from './kernels.js';

/** What a pool tells its threads. All but `begin` is answered. */
export type Message = { kind: 'begin'; job: unknown } | { kind: 'task'; task: unknown } | { kind: 'end' };

/** The value of a task; of `end`, the bytes that the thread's kernels hold. */
export type Answer = { ok: true; value: unknown } | { ok: false; error: PlainError };

/** A job in a thread: runs its tasks one at a time, with buffers that are laid out once. */
export interface JobThread<Task> {
  /** A promise is waited for; no other task comes meanwhile. */
  perform(task: Task): unknown;
  /** Called when the job has ended well: closes its files. Otherwise they close with the thread. */
  close(): void;
}

/** Makes a thread of a pool of the module that calls it. The kernels are the job's alone until it ends. */
export function serveJobs<Job, Task>(begin: (job: Job, kernels: Kernels) => JobThread<Task>): void {
  const kernels = new Kernels();
  let start: (() => JobThread<Task>) | undefined;
  let current: JobThread<Task> | undefined;

  const handle = (message: Exclude<Message, { kind: 'begin' }>): unknown => {
    if (message.kind === 'task') {
      current ??= start?.();
      return current?.perform(message.task as Task);
    }
    current?.close();
    current = undefined;
    return kernels.reset();
  };
  parentPort?.on('message', async (message: Message) => {
    if (message.kind === 'begin') {
      // With the first task, which then tells what went wrong.
      start = () => begin(message.job as Job, kernels);
      return;
    }
    let answer: Answer;
    try {
      answer = { ok: true, value: await handle(message) };
    } catch (error) {
      answer = { ok: false, error: toPlain(error) };
    }
    parentPort?.postMessage(answer);
  });
}
