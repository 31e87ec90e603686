import { Worker } from 'node:worker_threads';
import { AmalgamError, fromPlain, toPlain } from '@amalgam/contracts';
import type { FolderSource } from '@amalgam/storage';
import type { FromThread, GraphReading, GraphThreadData, ToThread } from './graph-thread.js';

/** More than the messages of any file that the reader takes. */
const MAX_HEAP_MB = 2048;
/** A file this small is fetched at once; of larger ones only what is no weight, piece by piece. */
const AT_ONCE_BYTES = 8 << 20;
/** Others wait meanwhile; the largest files that there are take seconds. */
const LIMIT_MS = 120_000;

let last: Promise<unknown> = Promise.resolve();

/**
 * Checks and describes an ONNX file without its weights, wherever it lies. In a thread, since a large graph takes seconds
 * without a pause, and one at a time, since it may take much memory.
 *
 * @throws AmalgamError `invalid_graph`, `unsupported_graph`; `unavailable` when it takes too long; what reading throws
 */
export function readGraph(source: FolderSource, name: string, limitMs: number = LIMIT_MS): Promise<GraphReading> {
  const reading = last.then(() => inThread(source, name, limitMs));
  last = reading.catch(() => {});
  return reading;
}

async function inThread(source: FolderSource, name: string, limitMs: number): Promise<GraphReading> {
  const size = await source.size();
  const whole = size <= AT_ONCE_BYTES ? await source.read(0, size) : null;
  const read = async (offset: number, length: number) =>
    whole === null ? source.read(offset, length) : whole.subarray(offset, offset + length);
  const workerData: GraphThreadData = { name, size };
  const thread = new Worker(new URL('../dist/graph-thread.js', import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
  const answer = async ({ id, offset, length }: { id: number; offset: number; length: number }): Promise<ToThread> => {
    try {
      // A copy, in a buffer of its own.
      return { id, bytes: new Uint8Array(await read(offset, length)) };
    } catch (error) {
      return { id, error: toPlain(error) };
    }
  };
  let timer: NodeJS.Timeout | undefined;
  const reading = new Promise<GraphReading>((resolve, reject) => {
    timer = setTimeout(() => {
      reject(new AmalgamError('unavailable', `${name}: was not read within ${limitMs / 1000} s`));
      void thread.terminate();
    }, limitMs);
    thread.on('message', (message: FromThread) => {
      if (message.kind === 'read') void answer(message).then((reply) => thread.postMessage(reply));
      else if (message.kind === 'done') resolve(message.reading);
      else reject(fromPlain(message.error));
    });
    thread.once('error', (cause: NodeJS.ErrnoException) => {
      const full = cause.code === 'ERR_WORKER_OUT_OF_MEMORY';
      reject(full ? new AmalgamError('invalid_graph', `${name}: takes too much memory to read`, { cause }) : cause);
    });
    // After an answer, or an error, this changes nothing.
    thread.once('exit', () => reject(new AmalgamError('internal', `reading ${name} ended without an answer`)));
  });
  return reading.finally(() => clearTimeout(timer));
}
