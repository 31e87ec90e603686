import { AmalgamError, type UploadTarget } from '@amalgam/contracts';
import type { Body, Transport } from './transport.js';

/** A file to upload: bytes in memory, or a path of this machine. */
export type UploadFile = { path: string; sha256?: string } & ({ bytes: Uint8Array } | { file: string });

export interface UploadOptions {
  name?: string;
  files: UploadFile[];
  metadata?: Record<string, string>;
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

/** Begins an upload at `url`, `/v1/checkpoints` say, sends every file to its link, and completes it. */
export async function uploadAsset<T extends Asset>(
  transport: Transport,
  url: string,
  options: UploadOptions,
): Promise<T> {
  const { files, name, metadata, signal, concurrency = 4, onProgress } = options;
  const sized = await Promise.all(files.map(async (file) => ({ file, bytes: await sizeOf(file) })));
  const total = sized.reduce((sum, { bytes }) => sum + bytes, 0);
  const begun = await transport.json<T>('POST', url, {
    body: {
      name,
      metadata,
      files: sized.map(({ file: { path, sha256 }, bytes }) => ({ path, bytes, sha256 })),
    },
    signal,
  });
  const links = new Map(begun.uploads?.map((target) => [target.path, target.url]));

  let done = 0;
  const work = sized.values();
  const worker = async () => {
    for (const { file, bytes } of work) {
      const link = links.get(file.path);
      if (link === undefined) throw new AmalgamError('internal', `the service gave no link for ${file.path}`);
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
