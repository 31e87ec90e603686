import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type UploadFile, uploadFiles } from '@amalgam/client';
import type { AssetKind } from '@amalgam/contracts';
import { graphFiles } from '@amalgam/onnx';
import { openCheckpoint, openLocalDataset, openLocalGraph } from '../local-input.js';

/** A file of this machine that belongs to an asset, with its digest. */
export type LocalFile = Extract<UploadFile, { file: string }> & { sha256: string };

/** The same weights in formats that nothing reads here; some can run code. */
const OTHER_FORMATS = /\.(bin|pt|pth|ckpt|pkl|gguf|h5|msgpack|onnx)$/i;

/**
 * What to upload of an asset that lies on this machine. Its headers are read first, so that what is wrong is found before
 * anything is sent.
 *
 * @throws AmalgamError `not_found`, `invalid_checkpoint` and the like, naming the reference
 */
export async function listLocalFiles(kind: AssetKind, reference: string, folder: string): Promise<LocalFile[]> {
  const path = resolve(folder, reference);
  const files = await filesOf(kind, reference, path, folder);
  const hashed: LocalFile[] = [];
  for (const file of files) hashed.push({ ...file, sha256: await sha256Of(file.file) });
  return hashed;
}

async function filesOf(kind: AssetKind, reference: string, path: string, folder: string) {
  if (kind === 'dataset') {
    const { path: file } = await openLocalDataset(path, reference);
    return [{ path: basename(file), file }];
  }
  if (kind === 'graph') {
    const { path: file, model } = await openLocalGraph(path, reference);
    const beside = graphFiles(model, reference).map(({ location }) => ({
      path: location,
      file: join(dirname(file), location),
    }));
    return [{ path: basename(file), file }, ...beside];
  }
  await openCheckpoint(reference, folder);
  const files = (await uploadFiles(path)).filter((file) => 'file' in file);
  return files.filter((file) => !OTHER_FORMATS.test(file.path));
}

/** Of all files together, whatever their order: what tells whether the service has the asset already. */
export function contentOf(files: readonly { path: string; sha256: string }[]): string {
  const lines = files.map(({ path, sha256 }) => `${sha256}  ${path}\n`).sort();
  return createHash('sha256').update(lines.join('')).digest('hex');
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}
