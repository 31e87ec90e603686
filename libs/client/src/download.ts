import { AmalgamError } from '@amalgam/contracts';
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
 * the digest, where the service tells it, is right.
 */
export async function downloadFile(
  transport: Transport,
  path: string,
  toFile: string,
  options: DownloadOptions,
): Promise<void> {
  const { mkdir, rename, rm } = await import('node:fs/promises');
  const { dirname } = await import('node:path');
  await mkdir(dirname(toFile), { recursive: true });
  const temp = `${toFile}.part-${crypto.randomUUID()}`;
  try {
    for (let tries = 1; ; tries++) {
      const response = await transport.send('GET', path, { headers: { accept: '*/*' }, signal: options.signal });
      try {
        await receive(response, temp, options);
        break;
      } catch (error) {
        options.signal?.throwIfAborted();
        if (tries >= TRIES || (error as { code?: unknown }).code === 'ENOSPC') throw error;
        await pause(backoff(tries), options.signal);
      }
    }
    await rename(temp, toFile);
  } finally {
    await rm(temp, { force: true });
  }
}

async function receive(response: Response, temp: string, { signal, onProgress }: DownloadOptions): Promise<void> {
  const [{ createWriteStream }, { pipeline }, { createHash }] = await Promise.all([
    import('node:fs'),
    import('node:stream/promises'),
    import('node:crypto'),
  ]);
  const hash = createHash('sha256');
  let bytes = 0;
  async function* counted() {
    if (response.body === null) return;
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength;
      hash.update(chunk);
      onProgress?.(bytes);
      yield chunk;
    }
  }
  await pipeline(counted, createWriteStream(temp), signal === undefined ? {} : { signal });

  const expected = response.headers.get('content-length');
  if (expected !== null && Number(expected) !== bytes) {
    throw new AmalgamError('unavailable', `the download ended after ${bytes} of ${expected} bytes`);
  }
  const [, digest] = /^"([0-9a-f]{64})"$/.exec(response.headers.get('etag') ?? '') ?? [];
  if (digest !== undefined && hash.digest('hex') !== digest) {
    throw new AmalgamError('digest_mismatch', 'the bytes that arrived are not those that were sent');
  }
}
