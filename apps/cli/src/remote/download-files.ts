import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Download } from '@amalgam/client';
import { AmalgamError, type AssetFile } from '@amalgam/contracts';
import { SingleBar } from 'cli-progress';
import { showBytes } from '../show.js';

/** @throws AmalgamError `invalid_request` for a folder that holds something */
export async function refuseFullFolder(option: string, folder: string): Promise<void> {
  const entries = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new AmalgamError(
      'invalid_request',
      `${option} ${folder}: ${error.code === 'ENOTDIR' ? 'is not a folder' : error.message}`,
    );
  });
  if (entries.length > 0) throw new AmalgamError('invalid_request', `${option} ${folder}: the folder is not empty`);
}

/** Copies an asset's files into a folder, one after the other, each checked by its digest. */
export async function downloadFiles(download: Download, id: string, files: readonly AssetFile[], folder: string) {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let before = 0;
  for (const { path, bytes } of files) {
    const onProgress = (done: number) => showTransfer(path, before + done, total);
    await download(id, path, join(folder, path), { onProgress });
    before += bytes;
  }
  endTransfer();
}

let bar: SingleBar | null = null;

/** One bar on stderr for what goes to the service or comes from it, when that is a terminal. */
export function showTransfer(title: string, done: number, total: number): void {
  if (!process.stderr.isTTY) return;
  const state = { title, state: `${showBytes(done)} of ${showBytes(total)}` };
  if (bar === null) {
    bar = new SingleBar({
      format: '{bar} {percentage}% | {state} | {title}',
      stream: process.stderr,
      hideCursor: true,
    });
    bar.start(total, 0, state);
  }
  bar.setTotal(total);
  bar.update(done, state);
}

export function endTransfer(): void {
  bar?.stop();
  bar = null;
}
