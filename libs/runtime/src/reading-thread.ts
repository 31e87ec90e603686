import { Worker } from 'node:worker_threads';
import { AmalgamError, type ErrorCode, fromPlain, type PlainError, toPlain } from '@amalgam/contracts';

/** A program of a thread that reads files which only this thread can open. See `answerReading`. */
export interface Reading {
  program: URL;
  /** What errors call what is read. */
  name: string;
  /** What the program is told: plain data. */
  data: unknown;
  /** Bytes of a file, by whatever the program calls it. */
  read(file: string, offset: number, length: number): Promise<Uint8Array>;
  /** What a file is that takes too much memory. */
  invalid: ErrorCode;
  maxHeapMb: number;
  limitMs: number;
}

export type FromThread =
  | { kind: 'read'; id: number; file: string; offset: number; length: number }
  | { kind: 'done'; value: unknown }
  | { kind: 'failed'; error: PlainError };

export type ToThread = { id: number; bytes: Uint8Array } | { id: number; error: PlainError };

let last: Promise<unknown> = Promise.resolve();

/**
 * Has a thread read and work out something, so that whoever else waits for this one is served meanwhile; one such thread at a time,
 * since each may take much memory. What it finds must be what the program says: plain data.
 *
 * @throws AmalgamError what the program throws; `unavailable` when it takes too long; `reading.invalid` when it takes too much memory
 */
export function readInThread<T>(reading: Reading): Promise<T> {
  const found = last.then(() => run<T>(reading));
  last = found.catch(() => {});
  return found;
}

async function run<T>({ program, name, data, read, invalid, maxHeapMb, limitMs }: Reading): Promise<T> {
  const thread = new Worker(program, { workerData: data, resourceLimits: { maxOldGenerationSizeMb: maxHeapMb } });
  const answer = async ({ id, file, offset, length }: Extract<FromThread, { kind: 'read' }>): Promise<ToThread> => {
    try {
      // A copy, in a buffer of its own.
      return { id, bytes: new Uint8Array(await read(file, offset, length)) };
    } catch (error) {
      return { id, error: toPlain(error) };
    }
  };
  let timer: NodeJS.Timeout | undefined;
  const found = new Promise<T>((resolve, reject) => {
    timer = setTimeout(() => {
      reject(new AmalgamError('unavailable', `${name}: was not read within ${limitMs / 1000} s`));
      void thread.terminate();
    }, limitMs);
    thread.on('message', (message: FromThread) => {
      if (message.kind === 'read') void answer(message).then((reply) => thread.postMessage(reply));
      else if (message.kind === 'done') resolve(message.value as T);
      else reject(fromPlain(message.error));
    });
    thread.once('error', (cause: NodeJS.ErrnoException) => {
      const full = cause.code === 'ERR_WORKER_OUT_OF_MEMORY';
      reject(full ? new AmalgamError(invalid, `${name}: takes too much memory to read`, { cause }) : cause);
    });
    // After an answer, or an error, this changes nothing.
    thread.once('exit', () => reject(new AmalgamError('internal', `reading ${name} ended without an answer`)));
  });
  return found.finally(() => clearTimeout(timer));
}
