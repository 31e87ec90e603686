import { AmalgamError, isAmalgamError, type UploadPart } from '@amalgam/contracts';
import type { AssetRow } from '@amalgam/database';
import type { Parts } from '@amalgam/runtime';
import type { PartUpload } from '@amalgam/storage';

const MIB = 1024 * 1024;
/** So much is lost at most when a connection breaks; S3 takes no less than 5 MiB. */
const LEAST_BYTES = 16 * MIB;
/** And no more than this. */
const MOST_BYTES = 5 * 1024 * MIB;
/** Links of one answer, beside those of whole files. */
const MOST_PARTS = 2000;

interface UploadFile {
  path: string;
  bytes: number;
}

/** @throws AmalgamError `invalid_request` for files that no number of parts could hold */
export function assertSendable(files: readonly { bytes: number }[]): void {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  if (total <= MOST_PARTS * MOST_BYTES) return;
  const detail = `an upload has at most ${MOST_PARTS * MOST_BYTES} bytes, and these are ${total}`;
  throw new AmalgamError('invalid_request', detail, { errors: [{ pointer: '/files', detail }] });
}

/** How large parts are that an upload of these files comes in. It follows from their sizes, so it is the same after a break. */
export function partBytesOf(files: readonly { bytes: number | bigint }[]): number {
  const total = files.reduce((sum, { bytes }) => sum + Number(bytes), 0);
  return Math.max(LEAST_BYTES, Math.ceil(total / MOST_PARTS / MIB) * MIB);
}

/** The parts of a file; none when it is no larger than one. */
export function partsOf(bytes: number, partBytes: number): Omit<UploadPart, 'url'>[] {
  if (bytes <= partBytes) return [];
  return Array.from({ length: Math.ceil(bytes / partBytes) }, (_, i) => {
    const offset = i * partBytes;
    return { number: i + 1, offset, bytes: Math.min(partBytes, bytes - offset) };
  });
}

/** Those that have not arrived with their whole size. */
async function missingOf<T extends Omit<UploadPart, 'url'>>(upload: PartUpload, wanted: T[]): Promise<T[]> {
  const arrived = new Map((await upload.list()).map(({ number, bytes }) => [number, bytes]));
  return wanted.filter(({ number, bytes }) => arrived.get(number) !== bytes);
}

/** Links for the parts of a file that have not arrived; null for a file that comes as a whole. */
export async function signParts(
  parts: Parts,
  prefix: string,
  { path, bytes }: UploadFile,
  { partBytes, expiresSeconds }: { partBytes: number; expiresSeconds: number },
): Promise<UploadPart[] | null> {
  const wanted = partsOf(bytes, partBytes);
  if (wanted.length === 0) return null;
  const upload = await parts.store.beginParts(`${prefix}/${path}`);
  const signed: UploadPart[] = [];
  for (const part of await missingOf(upload, wanted)) {
    signed.push({ ...part, url: await upload.signedUrl({ number: part.number, bytes: part.bytes, expiresSeconds }) });
  }
  return signed;
}

/** How many parts of a file have arrived, of how many. */
export interface Arrived {
  parts: number;
  of: number;
}

/**
 * Makes files of an upload of their parts where all have arrived; of `paths` alone, which are not there as a whole. Returns how
 * far the others are, by path.
 */
export async function joinParts(
  parts: Parts,
  row: AssetRow,
  paths: ReadonlySet<string>,
): Promise<Map<string, Arrived>> {
  const unfinished = new Map<string, Arrived>();
  for (const { key, path, wanted } of inParts(row)) {
    if (!paths.has(path)) continue;
    const upload = await parts.store.findParts(key);
    if (upload === null) continue;
    try {
      const missing = await missingOf(upload, wanted);
      if (missing.length === 0) await upload.complete(wanted.length);
      else unfinished.set(path, { parts: wanted.length - missing.length, of: wanted.length });
    } catch (error) {
      // Another request makes the file at the same time. Whether it is there is seen after this.
      if (!isAmalgamError(error) || (error.code !== 'not_found' && error.code !== 'object_exists')) throw error;
    }
  }
  return unfinished;
}

/** Removes parts that were sent and not made a file of. */
export async function dropParts(parts: Parts, row: AssetRow): Promise<void> {
  for (const { key } of inParts(row)) await (await parts.store.findParts(key))?.abort();
}

function inParts(row: AssetRow) {
  const partBytes = partBytesOf(row.files);
  return row.files.flatMap(({ path, bytes }) => {
    const wanted = partsOf(Number(bytes), partBytes);
    return wanted.length === 0 || row.storePrefix === null ? [] : [{ key: `${row.storePrefix}/${path}`, path, wanted }];
  });
}
