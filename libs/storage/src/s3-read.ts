import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { AmalgamError } from '@amalgam/contracts';
import { GetObjectCommand, type GetObjectCommandOutput, HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { writeAtomically, writeExactly } from './file-copy.js';
import { fileError } from './file-errors.js';
import { pastEnd } from './keys.js';
import type { DownloadOptions, ObjectInfo } from './port.js';
import { isNotFound, isStatus, type S3Place, s3Error } from './s3-errors.js';
import { PART_BYTES } from './s3-parts.js';

const IN_FLIGHT = 4;
/** The SDK repeats requests, but not when the connection breaks within the body. */
const BODY_TRIES = 4;

export interface S3Object extends S3Place {
  client: S3Client;
  /** The key as the store's callers know it. */
  name: string;
}

interface GetOptions {
  etag?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** Null when there is no such object. */
export async function headObject(object: S3Object, signal?: AbortSignal): Promise<ObjectInfo | null> {
  try {
    const head = await object.client.send(new HeadObjectCommand({ Bucket: object.bucket, Key: object.key }), {
      abortSignal: signal,
    });
    return {
      key: object.name,
      bytes: head.ContentLength ?? 0,
      etag: unquoted(head.ETag),
      modified: head.LastModified ?? new Date(0),
    };
  } catch (error) {
    if (isNotFound(error) && !signal?.aborted) return null;
    throw s3Error(error, object, signal);
  }
}

/** `headObject` for an object that must be there. @throws not_found; checkpoint_changed */
export async function mustHead(object: S3Object, { etag, signal }: GetOptions = {}): Promise<ObjectInfo> {
  const info = await headObject(object, signal);
  if (info === null) throw new AmalgamError('not_found', `${whereOf(object)}: there is no such object`);
  if (etag !== undefined && info.etag !== etag) throw changed(object);
  return info;
}

/** Exactly `length` bytes from `offset` (see `ObjectStore.read`). */
export async function getRange(
  object: S3Object,
  offset: number,
  length: number,
  options: GetOptions = {},
): Promise<Uint8Array> {
  if (length === 0) {
    // HTTP has no empty ranges.
    const { bytes } = await mustHead(object, options);
    if (offset > bytes) throw pastEnd(whereOf(object), offset, length, bytes);
    return new Uint8Array(0);
  }
  for (let tries = 1; ; tries++) {
    const response = await get(object, `bytes=${offset}-${offset + length - 1}`, options);
    if (response === null || response.ContentLength !== length) {
      destroyBody(response);
      throw pastEnd(whereOf(object), offset, length, totalOf(response));
    }
    try {
      return await collect(response.Body, length);
    } catch (error) {
      destroyBody(response);
      if (options.signal?.aborted || tries >= BODY_TRIES) throw s3Error(error, object, options.signal);
    }
    await sleep(50 * 2 ** tries);
  }
}

/** The object from `offset`, to its end or for `length` bytes (see `ObjectStore.stream`). */
export async function openStream(
  object: S3Object,
  offset: number,
  length: number | undefined,
  signal: AbortSignal | undefined,
): Promise<Readable> {
  if (length === 0) {
    await getRange(object, offset, 0, { signal });
    return Readable.from([], { objectMode: false });
  }
  const whole = offset === 0 && length === undefined;
  const range = `bytes=${offset}-${length === undefined ? '' : offset + length - 1}`;
  const response = await get(object, whole ? undefined : range, { signal });
  if (response === null && length === undefined) {
    // The server cannot satisfy "from offset", which is right for the empty rest just at the end.
    await getRange(object, offset, 0, { signal });
    return Readable.from([], { objectMode: false });
  }
  if (response === null || (length !== undefined && response.ContentLength !== length)) {
    destroyBody(response);
    throw pastEnd(whereOf(object), offset, length ?? 0, totalOf(response));
  }
  const body = response.Body;
  if (!(body instanceof Readable)) throw s3Error(new Error('NoBody'), object);
  const stream = Readable.from(checked(object, body, response.ContentLength, signal), { objectMode: false });
  // A stream that is dropped before it was read would keep its connection.
  stream.once('close', () => body.destroy());
  return stream;
}

/** Fetches an object in parallel ranges of one version (see `ObjectStore.download`). */
export async function downloadObject(object: S3Object, localPath: string, options: DownloadOptions): Promise<void> {
  const info = await mustHead(object, options);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  let next = 0;
  let done = 0;
  try {
    await writeAtomically(localPath, async (temp) => {
      const file = await open(temp, 'w');
      const work = async (): Promise<void> => {
        while (next < info.bytes) {
          const offset = next;
          const length = Math.min(PART_BYTES, info.bytes - offset);
          next += length;
          const bytes = await getRange(object, offset, length, { etag: info.etag, signal });
          await writeExactly(file, bytes, offset);
          done += length;
          options.onProgress?.(done);
        }
      };
      const workers = Array.from({ length: IN_FLIGHT }, work);
      try {
        await Promise.all(workers);
      } finally {
        stop.abort();
        await Promise.allSettled(workers);
        await file.close();
      }
    });
  } catch (error) {
    throw fileError(error, whereOf(object), options.signal);
  }
}

/** Null when the object ends before the range begins (416). */
async function get(
  object: S3Object,
  range: string | undefined,
  { etag, signal }: GetOptions,
): Promise<GetObjectCommandOutput | null> {
  try {
    return await object.client.send(
      new GetObjectCommand({
        Bucket: object.bucket,
        Key: object.key,
        ...(range === undefined ? {} : { Range: range }),
        ...(etag === undefined ? {} : { IfMatch: `"${etag}"` }),
      }),
      { abortSignal: signal },
    );
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (isStatus(error, 416)) return null;
    if (isStatus(error, 412)) throw changed(object);
    throw s3Error(error, object);
  }
}

async function* checked(
  object: S3Object,
  body: Readable,
  expected: number | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const abort = (): void => {
    body.destroy(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
  };
  signal?.addEventListener('abort', abort, { once: true });
  let bytes = 0;
  try {
    signal?.throwIfAborted();
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength;
      yield chunk;
    }
    if (expected !== undefined && bytes !== expected) throw new Error('IncompleteBody');
  } catch (error) {
    throw s3Error(error, object, signal);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** All of a body, in an ArrayBuffer of its own. */
async function collect(body: unknown, length: number): Promise<Uint8Array> {
  if (!(body instanceof Readable)) throw new Error('NoBody');
  const bytes = new Uint8Array(length);
  let done = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    if (done + chunk.byteLength > length) throw new Error('BodyTooLong');
    bytes.set(chunk, done);
    done += chunk.byteLength;
  }
  if (done !== length) throw new Error('IncompleteBody');
  return bytes;
}

function destroyBody(response: GetObjectCommandOutput | null): void {
  if (response?.Body instanceof Readable) response.Body.destroy();
}

/** The object's size, from `Content-Range: bytes 0-9/100`. */
function totalOf(response: GetObjectCommandOutput | null): number | null {
  const total = /\/(\d+)$/.exec(response?.ContentRange ?? '')?.[1];
  return total === undefined ? null : Number(total);
}

function changed(object: S3Object): AmalgamError {
  return new AmalgamError('checkpoint_changed', `${whereOf(object)}: the bytes changed since they were registered`);
}

function whereOf({ bucket, key }: S3Place): string {
  return `s3://${bucket}/${key}`;
}

/** The etag without its quotes, as the port shows it. */
export function unquoted(etag: string | undefined): string {
  return (etag ?? '').replace(/^"|"$/g, '');
}
