import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { AssetFile } from '@amalgam/contracts';
import type { LearnedFrom } from '@amalgam/engine';
import { graphFiles, readOutline } from '@amalgam/onnx';
import type { TaskJob } from './jobs.js';

/**
 * Digests of what a tuning read of each task: the graph, the files beside it that its tensors lie in, and the dataset. Each file is read once.
 *
 * @throws AmalgamError as `readOutline`; what reading throws
 */
export async function digestLearned(tasks: readonly TaskJob[], signal?: AbortSignal): Promise<LearnedFrom[]> {
  const known = new Map<string, Promise<Omit<AssetFile, 'path'>>>();
  const digest = async (file: string, path: string): Promise<AssetFile> => {
    const found = known.get(file) ?? digestFile(file, signal);
    known.set(file, found);
    return { path, ...(await found) };
  };
  const learned: LearnedFrom[] = [];
  for (const { name, graph, data } of tasks) {
    const beside = graphFiles(await readOutline(graph.path, { name: graph.name }), graph.name);
    const files = [await digest(graph.path, basename(graph.path))];
    for (const { location } of beside) files.push(await digest(join(dirname(graph.path), location), location));
    learned.push({
      task: name,
      graph: files,
      data: data === null ? [] : [await digest(data.path, data.description.file)],
    });
  }
  return learned;
}

async function digestFile(file: string, signal: AbortSignal | undefined): Promise<Omit<AssetFile, 'path'>> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20, signal })) {
    const part = chunk as Uint8Array;
    hash.update(part);
    bytes += part.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}
