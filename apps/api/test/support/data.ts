import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { readModel, writeModel } from '@amalgam/onnx';
import { encodeSafetensors } from '@amalgam/tensors';
import { zipFile } from '../../../../libs/tensors/test/zip-writer.js';
import type { World } from './world.js';

/** A file of the example zoo. */
export function zoo(file: string): string {
  return fileURLToPath(new URL(`../../../../examples/zoo/vit6/${file}`, import.meta.url));
}

/** Copies files of the zoo into a folder below the allowed root; returns its URI. */
export async function storeZoo(world: World, name: string, ...files: string[]): Promise<string> {
  const folder = join(world.root, name);
  await mkdir(folder, { recursive: true });
  for (const file of files) await copyFile(zoo(file), join(folder, file));
  return pathToFileURL(folder).href;
}

/** The zoo's graph for digits with its weights in `digits.onnx.data`, below the allowed root. */
export async function storeExternal(world: World, name: string): Promise<{ uri: string; folder: string }> {
  const folder = join(world.root, name);
  await mkdir(folder, { recursive: true });
  await writeModel(await readModel(zoo('digits.onnx')), join(folder, 'digits.onnx'), { externalData: {} });
  return { uri: pathToFileURL(folder).href, folder };
}

/** Bytes below the allowed root; returns the file's URI. */
export async function storeFile(world: World, path: string, bytes: Uint8Array): Promise<string> {
  const file = join(world.root, path);
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, bytes);
  return pathToFileURL(file).href;
}

/** A dataset as safetensors: float32 tensors of zeros, and labels when there are to be. */
export function samples(tensors: Record<string, number[]>, labels?: number): Buffer {
  const encoded = Object.entries(tensors).map(([name, shape]) => ({
    name,
    dtype: 'F32' as const,
    shape,
    data: new Uint8Array(4 * shape.reduce((product, size) => product * size, 1)),
  }));
  const counts =
    labels === undefined
      ? []
      : [{ name: 'labels', dtype: 'I64' as const, shape: [labels], data: new Uint8Array(8 * labels) }];
  return Buffer.from(encodeSafetensors([...encoded, ...counts]));
}

/** The same as npz, with one tensor. */
export function npz(name: string, shape: number[]): Uint8Array {
  const count = shape.reduce((product, size) => product * size, 1);
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  const padded = `${header.padEnd(128 - 10 - 1)}\n`;
  const start = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length, 0]);
  const data = Buffer.concat([start, Buffer.from(padded), Buffer.alloc(4 * count)]);
  return zipFile([{ name: `${name}.npy`, data }]);
}
