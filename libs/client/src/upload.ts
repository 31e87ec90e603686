import { AmalgamError, type UploadTarget } from '@amalgam/contracts';
import type { Body, Transport } from './transport.js';

/** A file to upload: bytes in memory, or a path of this machine. */
export type UploadFile = { path: string; sha256?: string } & ({ bytes: Uint8Array } | { file: string });

export interface UploadOptions {
  name?: string;
  files: UploadFile[];
  metadata?: Record<string, string>;
  /** Id of a pending upload of the same files that was broken off: only files, and parts of them, that have not arrived are sent. */
  resume?: string;
  /** Files and parts in flight; default 4. */
  concurrency?: number;
  signal?: AbortSignal;
  /** Bytes of the files that have arrived (cumulative) and of all. */
  onProgress?(done: number, total: number): void;
}

interface Asset {
  id: string;
  files: readonly { path: string; bytes: number }[];
  uploads?: UploadTarget[];
}

/**
 * Begins an upload at `url`, `/v1/checkpoints` say, or goes on with one, sends every file to its link, or its parts to theirs,
 * and completes it.
 *
 * @throws AmalgamError `upload_incomplete`, `digest_mismatch` when these are not the files that it was begun with; ApiError
 */
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
  for (const { file, bytes } of sized) {
    const before = begun.files.find(({ path }) => path === file.path)?.bytes ?? bytes;
    if (bytes === before) continue;
    // Parts of two files would make one that nobody meant.
    const detail = `${file.path} has ${bytes} bytes, and had ${before} when ${begun.id} began`;
    throw new AmalgamError('digest_mismatch', detail);
  }
  const work = (begun.uploads ?? []).flatMap((target) => {
    const found = sized.find(({ file }) => file.path === target.path);
    if (found !== undefined) return piecesOf(target, found.file, found.bytes);
    throw new AmalgamError('upload_incomplete', `${begun.id} waits for ${target.path}, which is not among the files`);
  });

  let done = total - work.reduce((sum, { bytes }) => sum + bytes, 0);
  if (done > 0) onProgress?.(done, total);
  const left = work.values();
  // When one cannot be sent, the others need not be sent to their end.
  const end = new AbortController();
  const until = signal === undefined ? end.signal : AbortSignal.any([signal, end.signal]);
  const worker = async () => {
    for (const piece of left) {
      await transport.put(piece.url, piece.bytes, () => bodyOf(piece), until);
      done += piece.bytes;
      onProgress?.(done, total);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, concurrency) }, worker)).catch((error: unknown) => {
    end.abort();
    throw error;
  });
  return transport.json<T>('POST', `${url}/${begun.id}/complete`, { signal });
}

/** What goes to one link. */
interface Piece {
  url: string;
  file: UploadFile;
  offset: number;
  bytes: number;
}

/** A file as a whole, or those of its parts that have not arrived. */
function piecesOf({ url, parts }: UploadTarget, file: UploadFile, bytes: number): Piece[] {
  if (parts === undefined) return [{ url, file, offset: 0, bytes }];
  return parts.map((part) => ({ url: part.url, file, offset: part.offset, bytes: part.bytes }));
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

async function bodyOf({ file, offset, bytes }: Piece): Promise<Body> {
  if ('bytes' in file) return file.bytes.subarray(offset, offset + bytes) as Uint8Array<ArrayBuffer>;
  if (bytes === 0) return new Uint8Array(0);
  const [{ createReadStream }, { Readable }] = await Promise.all([import('node:fs'), import('node:stream')]);
  const stream = createReadStream(file.file, { start: offset, end: offset + bytes - 1, highWaterMark: 1 << 20 });
  return Readable.toWeb(stream) as unknown as Body;
}
