import { parentPort, workerData } from 'node:worker_threads';
import { AmalgamError, fromPlain, type PlainError, toPlain } from '@amalgam/contracts';
import {
  type ByteSource,
  describeGraph,
  type GraphDescription,
  type GraphFile,
  graphFiles,
  type OpenExternal,
  readOutline,
} from '@amalgam/onnx';

export interface GraphThreadData {
  name: string;
  /** Of the file. */
  size: number;
}

export interface GraphReading {
  description: GraphDescription;
  /** Files that must lie beside it. */
  files: GraphFile[];
}

export type FromThread =
  | { kind: 'read'; id: number; offset: number; length: number }
  | { kind: 'done'; reading: GraphReading }
  | { kind: 'failed'; error: PlainError };

export type ToThread = { id: number; bytes: Uint8Array } | { id: number; error: PlainError };

const port = parentPort;
if (port === null) throw new AmalgamError('internal', 'this is the program of a thread');
const { name, size } = workerData as GraphThreadData;

const waiting = new Map<number, { resolve: (bytes: Uint8Array) => void; reject: (error: unknown) => void }>();
let asked = 0;

/** The file, of which the other thread reads what is asked for. */
const source: ByteSource = {
  name,
  size: async () => size,
  read: (offset, length) =>
    new Promise((resolve, reject) => {
      const id = asked++;
      waiting.set(id, { resolve, reject });
      port.postMessage({ kind: 'read', id, offset, length } satisfies FromThread);
    }),
};

port.on('message', (answer: ToThread) => {
  const asker = waiting.get(answer.id);
  waiting.delete(answer.id);
  if ('error' in answer) asker?.reject(fromPlain(answer.error));
  else asker?.resolve(answer.bytes);
});

/** Whether the files beside it are there, and how large, is for the one who can see them. */
const unseen: OpenExternal = async (location) => ({
  name: location,
  size: async () => Number.MAX_SAFE_INTEGER,
  read: async () => {
    throw new AmalgamError('internal', 'weights are not read here');
  },
});

try {
  const model = await readOutline(source, { name, openExternal: unseen });
  const reading = { description: describeGraph(model, name), files: graphFiles(model, name) };
  port.postMessage({ kind: 'done', reading } satisfies FromThread);
} catch (error) {
  port.postMessage({ kind: 'failed', error: toPlain(error) } satisfies FromThread);
} finally {
  port.close();
}
