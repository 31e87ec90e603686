import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AmalgamError } from '@amalgam/contracts';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { factsOf, isNotFound, isStatus, type S3Place, s3Error } from './s3-errors.js';

const IN_FLIGHT = 4;
/** Bytes of parts in memory at once, at most (but always one part). */
const IN_FLIGHT_BYTES = 256 * 1024 * 1024;
const CONFLICT_TRIES = 5;
const UPLOAD_TRIES = 3;
/**
 * How long parts that are on their way may take when the upload is given up, before their connections are cut. A part
 * that the server still works on when it is told to abort can stay there for good (S3's documentation warns of that).
 */
const DRAIN_MS = 3_000;
const TOKEN = 'amalgam-write';

export interface Upload extends S3Place {
  client: S3Client;
  /** The object's name in errors. */
  name: string;
  ifAbsent: boolean;
  contentType: string | undefined;
  signal: AbortSignal | undefined;
  onProgress: ((bytes: number) => void) | undefined;
}

/** S3's "409: another conditional write is going on", after which the whole upload has to be made again. */
export class WriteConflict extends Error {}

/** One PUT. @throws object_exists */
export async function putWhole(upload: Upload, body: Uint8Array): Promise<void> {
  const token = randomUUID();
  for (let tries = 1; ; tries++) {
    try {
      await upload.client.send(
        new PutObjectCommand({ ...target(upload), ...described(upload, token), ...condition(upload), Body: body }),
        { abortSignal: upload.signal },
      );
    } catch (error) {
      if (isStatus(error, 409) && upload.ifAbsent && tries < CONFLICT_TRIES) {
        await sleep(50 * 2 ** tries, undefined, { signal: upload.signal });
        continue;
      }
      if (!(await isOurs(upload, error, token))) throw writeError(upload, error);
    }
    upload.onProgress?.(body.byteLength);
    return;
  }
}

/**
 * Uploads parts, a few at a time. Whatever goes wrong, the upload is aborted, so the server keeps no parts.
 * @throws object_exists; WriteConflict
 */
export async function putParts(upload: Upload, parts: AsyncIterable<Uint8Array>): Promise<void> {
  const token = randomUUID();
  const uploadId = await begin(upload, token);
  try {
    const done = await sendParts(upload, uploadId, parts);
    await complete(upload, uploadId, done, token);
  } catch (error) {
    await upload.client
      .send(new AbortMultipartUploadCommand({ ...target(upload), UploadId: uploadId }))
      // abortStaleUploads takes what could not be aborted now; the first error is the one that counts.
      .catch(() => {});
    throw error;
  }
}

/** Makes an upload again when another conditional write was in its way. @throws storage_error when that goes on */
export async function retryingConflicts(upload: Upload, run: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error;
      if (tries >= UPLOAD_TRIES) throw conflict(upload);
      await sleep(200 * tries, undefined, { signal: upload.signal });
    }
  }
}

export function conflict(upload: Upload): AmalgamError {
  return new AmalgamError('storage_error', `${upload.name}: another write of this object was going on; try again`);
}

async function begin(upload: Upload, token: string): Promise<string> {
  upload.signal?.throwIfAborted();
  try {
    const { UploadId } = await upload.client.send(
      // Not to be aborted: an upload whose id never arrives is one that nobody can abort.
      new CreateMultipartUploadCommand({ ...target(upload), ...described(upload, token) }),
    );
    if (UploadId === undefined) throw new AmalgamError('storage_error', `${upload.name}: the server gave no upload id`);
    return UploadId;
  } catch (error) {
    throw s3Error(error, upload, upload.signal);
  }
}

async function sendParts(upload: Upload, uploadId: string, parts: AsyncIterable<Uint8Array>): Promise<CompletedPart[]> {
  const cut = new AbortController();
  let drain: NodeJS.Timeout | undefined;
  const stop = (): void => {
    drain ??= setTimeout(() => cut.abort(), DRAIN_MS);
  };
  upload.signal?.addEventListener('abort', stop, { once: true });
  const done: CompletedPart[] = [];
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  let bytes = 0;
  const send = async (number: number, body: Uint8Array): Promise<void> => {
    const { ETag } = await upload.client.send(
      new UploadPartCommand({ ...target(upload), UploadId: uploadId, PartNumber: number, Body: body }),
      { abortSignal: cut.signal },
    );
    done.push({ PartNumber: number, ETag });
    bytes += body.byteLength;
    if (upload.signal?.aborted !== true) upload.onProgress?.(bytes);
  };
  try {
    let number = 0;
    for await (const body of parts) {
      if (failures.length > 0) break;
      upload.signal?.throwIfAborted();
      const task = send(++number, body)
        .catch((error) => {
          failures.push(s3Error(error, upload, upload.signal));
          stop();
        })
        .finally(() => running.delete(task));
      running.add(task);
      const slots = Math.max(1, Math.min(IN_FLIGHT, Math.floor(IN_FLIGHT_BYTES / body.byteLength)));
      while (running.size >= slots) await Promise.race(running);
    }
    await Promise.all(running);
  } catch (error) {
    failures.push(upload.signal?.aborted ? upload.signal.reason : error);
    stop();
    await Promise.all(running);
  } finally {
    clearTimeout(drain);
    upload.signal?.removeEventListener('abort', stop);
  }
  if (failures.length > 0) throw failures[0];
  return done.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
}

async function complete(upload: Upload, uploadId: string, parts: CompletedPart[], token: string): Promise<void> {
  upload.signal?.throwIfAborted();
  try {
    // Not to be aborted: an answer that is not waited for leaves it open whether the object is there.
    await upload.client.send(
      new CompleteMultipartUploadCommand({
        ...target(upload),
        ...condition(upload),
        UploadId: uploadId,
        MultipartUpload: { Parts: parts },
      }),
    );
  } catch (error) {
    if (await isOurs(upload, error, token)) return;
    if (isStatus(error, 409) && upload.ifAbsent) throw new WriteConflict();
    throw writeError(upload, error);
  }
}

function target({ bucket, key }: Upload): { Bucket: string; Key: string } {
  return { Bucket: bucket, Key: key };
}

function described(upload: Upload, token: string): { Metadata: Record<string, string>; ContentType?: string } {
  const type = upload.contentType === undefined ? {} : { ContentType: upload.contentType };
  return { Metadata: { [TOKEN]: token }, ...type };
}

function condition({ ifAbsent }: Upload): { IfNoneMatch?: '*' } {
  return ifAbsent ? { IfNoneMatch: '*' } : {};
}

/**
 * When the answer to a write is lost, the SDK sends it again, and then our own first write looks like somebody else's.
 * The token that each write carries tells them apart.
 */
async function isOurs(upload: Upload, error: unknown, token: string): Promise<boolean> {
  const repeated = factsOf(error).attempts > 1 && (isStatus(error, 412) || isNotFound(error));
  if (!repeated) return false;
  try {
    const head = await upload.client.send(new HeadObjectCommand(target(upload)), { abortSignal: upload.signal });
    return head.Metadata?.[TOKEN] === token;
  } catch {
    return false;
  }
}

function writeError(upload: Upload, error: unknown): unknown {
  if (!upload.signal?.aborted && upload.ifAbsent && isStatus(error, 412)) {
    return new AmalgamError('object_exists', `${upload.name} exists already`);
  }
  return s3Error(error, upload, upload.signal);
}
