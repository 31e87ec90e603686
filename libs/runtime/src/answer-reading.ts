import { parentPort, workerData } from 'node:worker_threads';
import { AmalgamError, fromPlain, toPlain } from '@amalgam/contracts';
import type { FromThread, ToThread } from './reading-thread.js';

/** Bytes of a file, which the other thread reads. */
export type ReadFile = (file: string, offset: number, length: number) => Promise<Uint8Array>;

/** The whole of a thread's program: works out what `readInThread` in the other thread waits for, from what it was told. */
export async function answerReading<Data, T>(work: (data: Data, read: ReadFile) => Promise<T>): Promise<void> {
  const port = parentPort;
  if (port === null) throw new AmalgamError('internal', 'this is the program of a thread');
  const waiting = new Map<number, { resolve: (bytes: Uint8Array) => void; reject: (error: unknown) => void }>();
  let asked = 0;
  const say = (message: FromThread) => port.postMessage(message);

  port.on('message', (answer: ToThread) => {
    const asker = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ('error' in answer) asker?.reject(fromPlain(answer.error));
    else asker?.resolve(answer.bytes);
  });
  const read: ReadFile = (file, offset, length) =>
    new Promise((resolve, reject) => {
      const id = asked++;
      waiting.set(id, { resolve, reject });
      say({ kind: 'read', id, file, offset, length });
    });

  try {
    say({ kind: 'done', value: await work(workerData as Data, read) });
  } catch (error) {
    say({ kind: 'failed', error: toPlain(error) });
  } finally {
    port.close();
  }
}
