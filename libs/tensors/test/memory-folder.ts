import { expect } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import {
  type ByteSource,
  bytesSource,
  describeCheckpoint,
  encodeSafetensors,
  type ReadableFolder,
  type TensorData,
} from '../src/index.js';

/** The beginning of a pickle, protocol 2. */
export const PICKLE = Buffer.from('80027d71002e0000000000000000', 'hex');

/** A tensor of zeros. */
export const tensor = (name: string, ...shape: number[]): TensorData => ({
  name,
  dtype: 'F32',
  shape,
  data: new Uint8Array(4 * shape.reduce((a, b) => a * b, 1)),
});
/** A file of small tensors of these names. */
export const weights = (...names: string[]) => encodeSafetensors(names.map((name) => tensor(name, 2)));
export const indexOf = (map: Record<string, string>) =>
  JSON.stringify({ metadata: { total_size: 1.5e3 }, weight_map: map });

export interface MemoryFolder extends ReadableFolder {
  open: number;
  mostOpen: number;
  opened: string[];
}

/** A folder in memory that counts the sources that are open. */
export function memory(files: Record<string, string | Uint8Array>): MemoryFolder {
  const folder: MemoryFolder = {
    label: 'M',
    open: 0,
    mostOpen: 0,
    opened: [],
    list: async () =>
      Object.entries(files)
        .map(([path, content]) => ({ path, bytes: Buffer.from(content).length }))
        .reverse(),
    source: (path): ByteSource => {
      const content = files[path];
      if (content === undefined) throw new Error(`the folder was asked for ${path}`);
      folder.opened.push(path);
      folder.mostOpen = Math.max(folder.mostOpen, ++folder.open);
      const inner = bytesSource(`M/${path}`, Buffer.from(content));
      return {
        ...inner,
        size: async () => {
          await new Promise((resolve) => setImmediate(resolve));
          return inner.size();
        },
        close: async () => {
          folder.open--;
        },
      };
    },
    localPath: () => null,
  };
  return folder;
}

/** Two shards with the tensors a, b and c; the arguments change the index and the files. */
export const sharded = (map: Record<string, string> = {}, files: Record<string, string | Uint8Array> = {}) => ({
  'config.json': '{}',
  'model-00001-of-00002.safetensors': weights('a', 'c'),
  'model-00002-of-00002.safetensors': weights('b'),
  'model.safetensors.index.json': indexOf({
    a: 'model-00001-of-00002.safetensors',
    b: 'model-00002-of-00002.safetensors',
    c: 'model-00001-of-00002.safetensors',
    ...map,
  }),
  ...files,
});

/** Describing these files fails with `invalid_checkpoint`, and leaves nothing open. */
export const refused = async (files: Record<string, string | Uint8Array>, ...parts: (string | RegExp)[]) => {
  const folder = memory(files);
  await expectError(() => describeCheckpoint(folder), 'invalid_checkpoint', ...parts);
  expect(folder.open).toBe(0);
};
/** Describing these files fails with `unsafe_format` and advice. */
export const unsafe = (files: Record<string, string | Uint8Array>, ...parts: (string | RegExp)[]) =>
  expectError(() => describeCheckpoint(memory(files)), 'unsafe_format', ...parts, 'save_file');
