import { AmalgamError, chunksOf } from '@amalgam/contracts';
import { backoff, pause } from './pause.js';
import type { Transport } from './transport.js';

const TRIES = 4;

export interface DownloadOptions {
  signal?: AbortSignal;
  /** Bytes that have arrived (cumulative). */
  onProgress?(done: number): void;
}

/** A file's bytes. For what fits into memory. */
export async function downloadBytes(transport: Transport, path: string, options: DownloadOptions): Promise<Uint8Array> {
  const response = await transport.send('GET', path, { headers: { accept: '*/*' }, signal: options.signal });
  const bytes = new Uint8Array(await response.arrayBuffer());
  options.onProgress?.(bytes.byteLength);
  return bytes;
}

/**
 * Copies a file to this machine: to a temporary name beside `toFile`, which gets its name when the last byte has arrived and
 * the digest, where the service tells it, is right. After a break it goes on where it was, as long as the file is the same.
 */
export async function downloadFile(
  transport: Transport,
  path: string,
  toFile: string,
  options: DownloadOptions,
): Promise<void> {
  const { mkdir, rename, rm, stat } = await import('node:fs/promises');
  const { dirname } = await import('node:path');
  await mkdir(dirname(toFile), { recursive: true });
  const part: Part = { file: `${toFile}.part-${crypto.randomUUID()}`, bytes: 0, etag: null };
  try {
    for (let tries = 1; ; ) {
      const before = part.bytes;
      try {
        const headers = { accept: '*/*', ...rangeOf(part) };
        await receive(await transport.send('GET', path, { headers, signal: options.signal }), part, options);
        break;
      } catch (error) {
        options.signal?.throwIfAborted();
        if (isHopeless(error)) throw error;
        // What was on its way to the disk when the connection broke is not there.
        if (part.bytes > 0) part.bytes = (await stat(part.file)).size;
        // Only breaks without a byte between them count.
        tries = part.bytes > before ? 1 : tries + 1;
        if (tries > TRIES) throw error;
        await pause(backoff(tries), options.signal);
      }
    }
    await rename(part.file, toFile);
  } finally {
    await rm(part.file, { force: true });
  }
}

/** What has arrived of a file. */
interface Part {
  file: string;
  bytes: number;
  /** Of the file that the bytes are of. */
  etag: string | null;
}

function rangeOf({ bytes, etag }: Part): Record<string, string> {
  return bytes === 0 || etag === null ? {} : { range: `bytes=${bytes}-`, 'if-range': etag };
}

/** What asking again does not mend: there is no room, or the service has said why not. */
function isHopeless(error: unknown): boolean {
  if ((error as { code?: unknown }).code === 'ENOSPC') return true;
  return error instanceof AmalgamError && error.code !== 'unavailable' && error.code !== 'digest_mismatch';
}

async function receive(response: Response, part: Part, { signal, onProgress }: DownloadOptions): Promise<void> {
  const [{ createWriteStream }, { pipeline }] = await Promise.all([import('node:fs'), import('node:stream/promises')]);
  const goesOn = response.status === 206;
  if (!goesOn) part.bytes = 0;
  part.etag = response.headers.get('etag');
  const expected = response.headers.get('content-length');
  const total = expected === null ? null : Number(expected) + part.bytes;
  async function* counted() {
    if (response.body === null) return;
    for await (const chunk of chunksOf(response.body, signal)) {
      yield chunk;
      part.bytes += chunk.byteLength;
      onProgress?.(part.bytes);
    }
  }
  const stream = createWriteStream(part.file, { flags: goesOn ? 'r+' : 'w', start: part.bytes });
  await pipeline(counted, stream, signal === undefined ? {} : { signal });
  if (total !== null && total !== part.bytes) {
    throw new AmalgamError('unavailable', `the download ended after ${part.bytes} of ${total} bytes`);
  }
  const [, digest] = /^"([0-9a-f]{64})"$/.exec(part.etag ?? '') ?? [];
  if (digest !== undefined && (await sha256Of(part.file)) !== digest) {
    part.bytes = 0;
    throw new AmalgamError('digest_mismatch', 'the bytes that arrived are not those that were sent');
  }
}

/** Of the file and not of the stream: after a break, its first bytes came in another answer. */
async function sha256Of(file: string): Promise<string> {
  const [{ createReadStream }, { createHash }] = await Promise.all([import('node:fs'), import('node:crypto')]);
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}
