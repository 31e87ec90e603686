import { posix } from 'node:path';
import { AmalgamError, quote, quoteList } from '@amalgam/contracts';
import type { GraphDescription } from '@amalgam/onnx';
import type { FolderFile, FolderView } from '@amalgam/storage';
import { readGraph } from './read-graph.js';

/** Opens the folder that is to be described. Of a single file that was named, with these files beside it. */
export type OpenBeside = (beside?: readonly string[]) => Promise<FolderView>;

/** A graph as its row keeps it. */
export interface StoredGraph extends GraphDescription {
  /** The .onnx file, relative to the folder. */
  file: string;
}

export interface GraphFiles {
  folder: FolderView;
  /** The .onnx file, and the files beside it that its tensors lie in. */
  own: string[];
  description: StoredGraph;
}

/**
 * Describes the graph of a folder: one .onnx file at its top level, and the files that it names, which must be there
 * with all the bytes that its tensors take.
 *
 * @throws AmalgamError `invalid_graph`, `unsupported_graph`; what opening and reading throw
 */
export async function describeGraphFiles(open: OpenBeside): Promise<GraphFiles> {
  const first = await open();
  const file = chooseFile(first.label, await first.list());
  const { description, files } = await readGraph(first.source(file.path), file.path);
  const needed = new Map<string, number>();
  for (const { location, bytes: end } of files) {
    const path = posix.normalize(location);
    needed.set(path, Math.max(needed.get(path) ?? 0, end));
  }
  const paths = [...needed.keys()];
  const folder = paths.length === 0 ? first : await openWith(open, file.path, paths);
  const there = new Map((await folder.list()).map((found) => [found.path, found.bytes]));
  for (const [path, end] of needed) {
    const has = there.get(path);
    if (has === undefined) {
      const problem = `has weights in the file ${quote(path)}, which is not there`;
      throw new AmalgamError('invalid_graph', `${file.path}: ${problem}`);
    }
    if (has < end) {
      throw new AmalgamError(
        'invalid_graph',
        `${file.path}: its tensors take ${end} bytes of ${quote(path)}, which has ${has} bytes`,
      );
    }
  }
  return { folder, own: [file.path, ...paths], description: { file: file.path, ...description } };
}

function chooseFile(label: string, files: readonly FolderFile[]): FolderFile {
  const [only, ...others] = files.filter(({ path }) => path.endsWith('.onnx') && !path.includes('/'));
  if (only !== undefined && others.length === 0) return only;
  const rule = 'a graph is one .onnx file, with its external data in the same folder';
  if (only === undefined)
    throw new AmalgamError('invalid_graph', `${label}: has no .onnx file at its top level; ${rule}`);
  const names = [only, ...others].map(({ path }) => path);
  throw new AmalgamError('invalid_graph', `${label}: has ${quoteList(names)}; ${rule}`);
}

/** The folder with the files that the graph names. */
async function openWith(open: OpenBeside, file: string, paths: readonly string[]): Promise<FolderView> {
  try {
    return await open(paths);
  } catch (error) {
    // A name that no file of a store can have is as absent as any.
    if (!(error instanceof AmalgamError) || !['not_found', 'invalid_request'].includes(error.code)) throw error;
    throw new AmalgamError('invalid_graph', `${file}: has weights in a file that is not there: ${error.detail}`);
  }
}
