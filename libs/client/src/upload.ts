import { AmalgamError, type UploadTarget } from '@amalgam/contracts';
import type { Body, Transport } from './transport.js';

/** A file to upload: bytes in memory, or a path of this machine. */
export type UploadFile = { path: string; sha256?: string } & ({ bytes: Uint8Array } | { file: string });

export interface UploadOptions {
  name?: string;
  files: UploadFile[];
  metadata?: Record<string, string>;
  /** Id of a pending upload of the same files that was broken off: only what has not arrived is sent. */
  resume?: string;
  /** Files in flight; default 4. */
  concurrency?: number;
  signal?: AbortSignal;
  /** Bytes of the files that have arrived (cumulative) and of all. */
  onProgress?(done: number, total: number): void;
}

interface Asset {
  id: string;
  uploads?: UploadTarget[];
}

/** Begins an upload at `url`, `/v1/checkpoints` say, or goes on with one, sends every file to its link, and completes it. */
export async function uploadAsset<T extends Asset>(
  transport: Transport,
  url: string,
  options: UploadOptions,
): Promise<T> {
  const { files, name, metadata, resume, signal, concurrency = 4, onProgress } = options;
  const sized = await Promise.all(files.map(async (file) => ({ file, bytes: await sizeOf(file) })));
  const total = sized.reduce((sum, { bytes }) => sum + bytes, 0);
  const body = { name, metadata, files: sized.map(({ file: { path, sha256 }, bytes }) => ({ path, bytes, sha256 })) };
  const begun = await (resume === undefined
    ? transport.json<T>('POST', url, { body, signal })
    : transport.json<T>('POST', `${url}/${resume}/uploads`, { signal }));
  const links = new Map(begun.uploads?.map((target) => [target.path, target.url]));
  for (const path of links.keys()) {
    if (!files.some((file) => file.path === path)) {
      throw new AmalgamError('upload_incomplete', `${begun.id} waits for ${path}, which is not among the files`);
    }
  }

  let done = sized.reduce((sum, { file, bytes }) => (links.has(file.path) ? sum : sum + bytes), 0);
  if (done > 0) onProgress?.(done, total);
  const work = sized.values();
  const worker = async () => {
    for (const { file, bytes } of work) {
      const link = links.get(file.path);
      if (link === undefined) continue;
      await transport.put(link, bytes, () => bodyOf(file), signal);
      done += bytes;
      onProgress?.(done, total);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, concurrency) }, worker));
  return transport.json<T>('POST', `${url}/${begun.id}/complete`, { signal });
}

async function sizeOf(file: UploadFile): Promise<number> {
  if ('bytes' in file) return file.bytes.byteLength;
  const { stat } = await import('node:fs/promises');
  try {
    return (await stat(file.file)).size;
  } catch (cause) {
    throw new AmalgamError('not_found', `there is no file ${file.file}`, { cause });
  }
}

async function bodyOf(file: UploadFile): Promise<Body> {
  if ('bytes' in file) return file.bytes as Uint8Array<ArrayBuffer>;
  const [{ createReadStream }, { Readable }] = await Promise.all([import('node:fs'), import('node:stream')]);
  return Readable.toWeb(createReadStream(file.file, { highWaterMark: 1 << 20 })) as unknown as Body;
}
