import { AmalgamError } from '@amalgam/contracts';
import {
  type ByteSource,
  describeGraph,
  type GraphDescription,
  type GraphFile,
  graphFiles,
  type OpenExternal,
  readOutline,
} from '@amalgam/onnx';
import { answerReading } from './answer-reading.js';

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

/** Whether the files beside it are there, and how large, is for the one who can see them. */
const unseen: OpenExternal = async (location) => ({
  name: location,
  size: async () => Number.MAX_SAFE_INTEGER,
  read: async () => {
    throw new AmalgamError('internal', 'weights are not read here');
  },
});

await answerReading(async ({ name, size }: GraphThreadData, read): Promise<GraphReading> => {
  const source: ByteSource = { name, size: async () => size, read: (offset, length) => read(name, offset, length) };
  const model = await readOutline(source, { name, openExternal: unseen });
  return { description: describeGraph(model, name), files: graphFiles(model, name) };
});
