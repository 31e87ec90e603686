import { Worker } from 'node:worker_threads';
import { AmalgamError, fromPlain } from '@amalgam/contracts';
import type { GraphReading, GraphThreadAnswer, GraphThreadData } from './graph-thread.js';

/** More than the messages of any file that the reader takes. */
const MAX_HEAP_MB = 2048;

let last: Promise<unknown> = Promise.resolve();

/**
 * Checks and describes an ONNX model that is given as bytes, which are gone afterwards. In a thread, since a large file
 * takes seconds without a pause, and one at a time, since its messages may take much memory.
 *
 * @throws AmalgamError `invalid_graph`, `unsupported_graph`
 */
export function readGraph(bytes: Uint8Array, name: string): Promise<GraphReading> {
  const reading = last.then(() => inThread(bytes, name));
  last = reading.catch(() => {});
  return reading;
}

function inThread(bytes: Uint8Array, name: string): Promise<GraphReading> {
  // A view of a larger buffer would take that one with it.
  const own = bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
  const data: GraphThreadData = { buffer: own.buffer as ArrayBuffer, name };
  const thread = new Worker(new URL('../dist/graph-thread.js', import.meta.url), {
    workerData: data,
    transferList: [data.buffer],
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
  return new Promise((resolve, reject) => {
    thread.once('message', (answer: GraphThreadAnswer) => {
      if (answer.ok) resolve(answer.reading);
      else reject(fromPlain(answer.error));
    });
    thread.once('error', (cause: NodeJS.ErrnoException) => {
      const full = cause.code === 'ERR_WORKER_OUT_OF_MEMORY';
      reject(full ? new AmalgamError('invalid_graph', `${name}: takes too much memory to read`, { cause }) : cause);
    });
    // After an answer, or an error, this changes nothing.
    thread.once('exit', () => reject(new AmalgamError('internal', `reading ${name} ended without an answer`)));
  });
}
