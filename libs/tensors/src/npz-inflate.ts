import { Readable } from 'node:stream';
import { createInflateRaw } from 'node:zlib';
import type { AmalgamError } from '@amalgam/contracts';
import type { ByteSource } from './source.js';

const READ_AT_ONCE = 2 ** 18;

/** A stretch of a file that holds a raw deflate stream (RFC 1951). */
export interface Deflated {
  begin: number;
  bytes: number;
}

/**
 * The inflated bytes, piece by piece, for as long as the caller asks. Nothing runs ahead of it by more than a
 * few pieces, so whoever stops in time is safe from a stream that inflates without end.
 *
 * Errors: those of `fail` when the stream is damaged, ends too early, or ends before its stretch does.
 */
export async function* inflate(
  source: ByteSource,
  { begin, bytes }: Deflated,
  fail: (problem: string) => AmalgamError,
): AsyncGenerator<Uint8Array, void> {
  let failure: unknown;
  const input = Readable.from(read(source, begin, bytes), { objectMode: false });
  const stream = createInflateRaw();
  input.on('error', (error) => {
    failure = error;
    stream.destroy(error);
  });
  try {
    for await (const piece of input.pipe(stream)) yield piece as Buffer;
  } catch (error) {
    if (failure !== undefined) throw failure;
    throw fail(`its compressed bytes are damaged (${error instanceof Error ? error.message : String(error)})`);
  } finally {
    input.destroy();
    stream.destroy();
  }
  if (stream.bytesWritten !== bytes) {
    throw fail(`its compressed data ends after ${stream.bytesWritten} bytes of ${bytes}`);
  }
}

async function* read(source: ByteSource, begin: number, bytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes; at += READ_AT_ONCE) {
    yield await source.read(begin + at, Math.min(READ_AT_ONCE, bytes - at));
  }
}
