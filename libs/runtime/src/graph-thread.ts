import { parentPort, workerData } from 'node:worker_threads';
import { type PlainError, toPlain } from '@amalgam/contracts';
import {
  describeGraph,
  type GraphDescription,
  type GraphFile,
  graphFiles,
  type OpenExternal,
  readModel,
} from '@amalgam/onnx';

export interface GraphThreadData {
  buffer: ArrayBuffer;
  name: string;
}

export interface GraphReading {
  description: GraphDescription;
  /** Files that must lie beside it. */
  files: GraphFile[];
}

export type GraphThreadAnswer = { ok: true; reading: GraphReading } | { ok: false; error: PlainError };

/** Whether the files are there, and how large, is for the one who can see them. */
const unseen: OpenExternal = async (location) => ({
  name: location,
  size: async () => Number.MAX_SAFE_INTEGER,
  read: async () => {
    throw new Error('weights are not read here');
  },
});

async function read({ buffer, name }: GraphThreadData): Promise<GraphThreadAnswer> {
  try {
    const model = await readModel(new Uint8Array(buffer), { name, openExternal: unseen });
    return { ok: true, reading: { description: describeGraph(model, name), files: graphFiles(model, name) } };
  } catch (error) {
    return { ok: false, error: toPlain(error) };
  }
}

parentPort?.postMessage(await read(workerData as GraphThreadData));
