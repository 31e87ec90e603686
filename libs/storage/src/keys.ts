import { AmalgamError } from '@amalgam/contracts';

/** Bytes of UTF-8 in a key (S3's limit) and in one segment of it (the limit of file systems). */
const MAX_KEY_BYTES = 1024;
const MAX_SEGMENT_BYTES = 255;

/** Folder of the file driver's unfinished writes, so no key may begin with it in any driver. */
export const TEMP_FOLDER = '.tmp';

/** A week: the longest a presigned S3 URL can live. */
const MAX_EXPIRES_SECONDS = 604_800;

/**
 * Returns the key when every driver can hold it: non-empty `/`-separated segments of at most 255 bytes, 1024 in all;
 * no `.`, `..`, backslash or control character; not in `.tmp/`.
 * @throws invalid_request naming the key and the rule
 */
export function checkKey(key: string): string {
  const rule = brokenRule(key) ?? brokenSegment(key.split('/'));
  if (rule !== null) throw new AmalgamError('invalid_request', `object key ${JSON.stringify(key)}: ${rule}`);
  return key;
}

/**
 * Returns a prefix for listing: '' or the beginning of a key, also one that ends within a segment.
 * @throws invalid_request naming the prefix and the rule
 */
export function checkPrefix(prefix: string): string {
  if (prefix === '') return prefix;
  const rule = brokenRule(prefix) ?? brokenSegment(prefix.split('/').slice(0, -1));
  if (rule !== null) throw new AmalgamError('invalid_request', `object prefix ${JSON.stringify(prefix)}: ${rule}`);
  return prefix;
}

/**
 * Returns `folder` with exactly one final `/`; the folder '' is the whole store and stays ''.
 * @throws invalid_request naming the folder and the rule
 */
export function checkFolder(folder: string): string {
  const bare = folder.endsWith('/') ? folder.slice(0, -1) : folder;
  return folder === '' ? '' : `${checkKey(bare)}/`;
}

function brokenRule(text: string): string | null {
  if (text === '') return 'must not be empty';
  if (text.includes('\\')) return 'must not hold a backslash';
  if (/\p{Cc}/u.test(text)) return 'must not hold control characters';
  // A lone surrogate has no UTF-8, so two such keys would be one object.
  if (/\p{Cs}/u.test(text)) return 'must be well-formed Unicode';
  if (Buffer.byteLength(text) > MAX_KEY_BYTES) return `must not be longer than ${MAX_KEY_BYTES} bytes`;
  return null;
}

function brokenSegment(segments: string[]): string | null {
  if (segments[0] === TEMP_FOLDER) return `must not begin with ${TEMP_FOLDER}/, which is reserved`;
  for (const segment of segments) {
    if (segment === '') return 'must not begin or end with "/" or hold an empty segment';
    if (segment === '.' || segment === '..') return `must not hold the segment "${segment}"`;
    if (Buffer.byteLength(segment) > MAX_SEGMENT_BYTES) {
      return `must not hold a segment longer than ${MAX_SEGMENT_BYTES} bytes`;
    }
  }
  return null;
}

/** The error of deleting the folder '': whoever means everything can list it; an empty variable should not. */
export function wholeStore(): AmalgamError {
  return new AmalgamError('invalid_request', 'deleting a folder of objects: its name must not be empty');
}

/** @throws storage_error naming the key unless offset and length are whole, non-negative numbers of bytes */
export function checkRange(key: string, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 0) {
    throw new AmalgamError('storage_error', `object ${key}: bytes ${offset}+${length} are not a range`);
  }
}

/** The error of a range that ends past its object. */
export function pastEnd(key: string, offset: number, length: number, bytes: number | null): AmalgamError {
  const size = bytes === null ? 'the object ends before that' : `the object has ${bytes}`;
  return new AmalgamError(
    'storage_error',
    `object ${key}: asked for bytes ${offset} to ${offset + length}, but ${size}`,
  );
}

/** The error of completing an upload in parts without all of them. */
export function missingPart(key: string, number: number): AmalgamError {
  return new AmalgamError('upload_incomplete', `object ${key}: part ${number} has not arrived`);
}

/** The error of a part that ends before it should. */
export function shortPart(key: string, number: number, got: number, bytes: number): AmalgamError {
  return new AmalgamError('storage_error', `object ${key}: part ${number} ended after ${got} of ${bytes} bytes`);
}

/** @throws invalid_request unless it is 1 to 604800 whole seconds */
export function checkExpires(seconds: number): number {
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > MAX_EXPIRES_SECONDS) {
    throw new AmalgamError(
      'invalid_request',
      `a signed link lives 1 to ${MAX_EXPIRES_SECONDS} seconds, not ${seconds}`,
    );
  }
  return seconds;
}

/** Objects of one page, 1 to 1000. */
export function pageLimit(limit: number | undefined): number {
  return Math.min(1000, Math.max(1, Math.trunc(limit ?? 1000)));
}

/** A cursor names the last key of its page. */
export function encodeCursor(key: string): string {
  return Buffer.from(key).toString('base64url');
}

/** @throws invalid_request when it is not one of ours */
export function decodeCursor(cursor: string): string {
  const key = Buffer.from(cursor, 'base64url').toString();
  if (key === '' || encodeCursor(key) !== cursor) {
    throw new AmalgamError(
      'invalid_request',
      `the list cursor ${JSON.stringify(cursor)} is not one that was given out`,
    );
  }
  return key;
}

/** Orders strings by code point, which is the order of their UTF-8 bytes and S3's order. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  let at = 0;
  while (at < length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  if (at === length) return a.length - b.length;
  return rank(a.charCodeAt(at)) - rank(b.charCodeAt(at));
}

/** UTF-16 puts surrogates, which stand for the highest code points, below U+E000 to U+FFFF; this puts them above. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
