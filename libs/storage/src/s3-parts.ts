import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { addAbortSignal } from 'node:stream';
import { AmalgamError } from '@amalgam/contracts';
import { readExactly } from './file-copy.js';
import { limitBytes } from './limit-bytes.js';

export const PART_BYTES = 16 * 1024 * 1024;
const MAX_PARTS = 10_000;
/** Parts of a stream double after this many, so that 10 000 of them reach S3's limit for an object, 5 TB. */
const STREAM_PARTS_PER_SIZE = 1_250;

/** The size of every part of an upload of `bytes`: 16 MiB, or what makes 10 000 parts enough. */
export function partBytesFor(bytes: number): number {
  return Math.max(PART_BYTES, Math.ceil(bytes / MAX_PARTS));
}

/** The size of part `index` (from 0) of a stream whose length nobody knows. */
export function streamPartBytes(index: number): number {
  return PART_BYTES * 2 ** Math.floor(index / STREAM_PARTS_PER_SIZE);
}

/** A local file of `bytes` bytes in parts, each read when it is asked for. */
export async function* fileParts(key: string, path: string, bytes: number): AsyncGenerator<Uint8Array> {
  const size = partBytesFor(bytes);
  const file = await open(path, 'r');
  try {
    for (let offset = 0; offset < bytes; offset += size) {
      const part = await readExactly(file, offset, Math.min(size, bytes - offset));
      if (part === null)
        throw new AmalgamError('storage_error', `object ${key}: the file became shorter while it was read`);
      yield part;
    }
  } finally {
    await file.close();
  }
}

/** A stream in parts. @throws payload_too_large past `maxBytes` */
export async function* streamParts(
  key: string,
  stream: Readable,
  options: { maxBytes?: number; signal?: AbortSignal },
): AsyncGenerator<Uint8Array> {
  // A stream that stalls never gets to look at the signal.
  if (options.signal !== undefined) addAbortSignal(options.signal, stream);
  let chunks: Uint8Array[] = [];
  let held = 0;
  let index = 0;
  for await (const chunk of limitBytes(key, stream, options.maxBytes)) {
    for (let rest = chunk; rest.byteLength > 0; ) {
      const take = rest.subarray(0, streamPartBytes(index) - held);
      chunks.push(take);
      held += take.byteLength;
      rest = rest.subarray(take.byteLength);
      if (held < streamPartBytes(index)) continue;
      yield Buffer.concat(chunks, held);
      chunks = [];
      held = 0;
      index++;
    }
  }
  if (held > 0) yield Buffer.concat(chunks, held);
}
