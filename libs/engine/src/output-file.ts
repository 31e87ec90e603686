import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { OutputFile } from './types.js';

/** Makes a file of the result in its full length, header written, tensors zero. */
export async function createFile(path: string, file: OutputFile): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const handle = await open(path, 'wx');
  try {
    await handle.writeFile(file.header);
    await handle.truncate(file.bytes);
  } finally {
    await handle.close();
  }
}

/** Overwrites bytes of a file that is there. */
export async function patchFile(path: string, bytes: Uint8Array, position: number): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    await handle.write(bytes, 0, bytes.length, position);
  } finally {
    await handle.close();
  }
}
