import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { readExactly, writeExactly } from './file-copy.js';
import { isMissing } from './file-errors.js';
import type { HubDigest, HubFile, HubReader } from './hub-read.js';
import type { TransferOptions } from './port.js';

const PART_BYTES = 8 * 1024 * 1024;
const IN_FLIGHT = 4;
const DONE = 1;

/** What an unfinished download is called; it lies beside the file that it becomes. */
export const PARTIAL_SUFFIX = '.part';

/**
 * Fetches a file in parallel ranges, holds it against its digest, and gives it its name. What has arrived stays in
 * `<localFile>.part` when it fails, and the next download of the file goes on from there; behind the file's bytes that has one byte
 * for each range, 1 when it is complete.
 *
 * @throws digest_mismatch; storage_full; what `HubReader.stream` says; the signal's reason
 */
export async function downloadHubFile(
  reader: HubReader,
  file: HubFile,
  label: string,
  localFile: string,
  { signal, onProgress }: TransferOptions,
): Promise<void> {
  const partial = `${localFile}${PARTIAL_SUFFIX}`;
  await mkdir(dirname(localFile), { recursive: true });
  const handle = await openPartial(partial);
  try {
    const marks = await readMarks(handle, file.bytes);
    await fillParts(handle, reader, file.bytes, marks, { signal, onProgress });
    if ((await digestOf(partial, file, signal)) !== file.digest.hex) {
      // None of it can be trusted: which range is wrong nobody knows.
      await handle.truncate(0);
      const detail = `${label}: the bytes that arrived do not have the ${nameOf(file.digest)} that the hub states`;
      throw new AmalgamError('digest_mismatch', detail);
    }
    await handle.truncate(file.bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(partial, localFile);
}

async function openPartial(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if (!isMissing(error)) throw error;
    return open(path, 'w+');
  }
}

/** Which ranges are complete. A file of another size is begun anew. */
async function readMarks(handle: FileHandle, bytes: number): Promise<Uint8Array> {
  const parts = Math.ceil(bytes / PART_BYTES);
  const { size } = await handle.stat();
  const known = parts > 0 && size === bytes + parts ? await readExactly(handle, bytes, parts) : null;
  if (known !== null) return known;
  await handle.truncate(0);
  await handle.truncate(bytes + parts);
  return new Uint8Array(parts);
}

async function fillParts(
  handle: FileHandle,
  reader: HubReader,
  bytes: number,
  marks: Uint8Array,
  { signal, onProgress }: TransferOptions,
): Promise<void> {
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const lengthOf = (part: number): number => Math.min(PART_BYTES, bytes - part * PART_BYTES);
  const missing = [...marks.keys()].filter((part) => marks[part] !== DONE);
  let done = bytes - missing.reduce((sum, part) => sum + lengthOf(part), 0);
  onProgress?.(done);
  const work = async (): Promise<void> => {
    for (let part = missing.shift(); part !== undefined; part = missing.shift()) {
      const take = async (chunk: Uint8Array, offset: number): Promise<void> => {
        await writeExactly(handle, chunk, offset);
        done += chunk.byteLength;
        onProgress?.(done);
      };
      await reader.stream(part * PART_BYTES, lengthOf(part), take, both);
      await writeExactly(handle, Uint8Array.of(DONE), bytes + part);
    }
  };
  const workers = Array.from({ length: IN_FLIGHT }, work);
  try {
    await Promise.all(workers);
  } finally {
    stop.abort();
    await Promise.allSettled(workers);
  }
}

async function digestOf(path: string, { bytes, digest }: HubFile, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash(digest.kind === 'sha256' ? 'sha256' : 'sha1');
  if (digest.kind === 'git') hash.update(`blob ${bytes}\0`);
  if (bytes > 0) {
    const stream = createReadStream(path, { end: bytes - 1, highWaterMark: 1 << 20, ...(signal && { signal }) });
    for await (const chunk of stream) hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}

function nameOf({ kind }: HubDigest): string {
  return kind === 'sha256' ? 'SHA-256' : 'git object id';
}
