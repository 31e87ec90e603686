import { AmalgamError, byCodeUnit, quote } from '@amalgam/contracts';
import type { ByteSource } from './source.js';

/** A member of a zip archive, as its directory says and its own header confirms. Offsets count from the file's start. */
export interface ZipMember {
  name: string;
  deflated: boolean;
  /** Where its bytes begin as they are stored. */
  begin: number;
  storedBytes: number;
  /** Once inflated; `storedBytes` when it is stored as it is. */
  bytes: number;
  /** CRC-32 of the inflated bytes. */
  crc32: number;
}

const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
const LOCATOR_SIGNATURE = 0x07064b50;
const LOCATOR_BYTES = 20;
const END64_SIGNATURE = 0x06064b50;
const END64_BYTES = 56;
const ENTRY_SIGNATURE = 0x02014b50;
const ENTRY_BYTES = 46;
const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
const ZIP64_EXTRA = 0x0001;
const MAX_U16 = 0xffff;
const MAX_U32 = 0xffffffff;

const ENCRYPTED = 1 << 0;
const UTF8_NAME = 1 << 11;
/** Besides the two: hints on how hard it was compressed, and sizes that follow the data (the directory has them too). */
const HARMLESS_FLAGS = (1 << 1) | (1 << 2) | (1 << 3);

const STORED = 0;
const DEFLATED = 8;
/** More expansion than deflate can have; a header that claims it lies. */
const MAX_RATIO = 1032;

/** A dataset has a handful of members; these bound what a hostile directory makes us read. */
const MAX_MEMBERS = 1000;
const MAX_DIRECTORY_BYTES = 2 ** 24;

/** Where the directory lies and how many entries it has. */
interface Directory {
  begin: number;
  bytes: number;
  entries: number;
}

type Fail = (problem: string) => AmalgamError;

/**
 * Lists the members of a zip archive (PKWARE's APPNOTE 6.3.10, zip64 too) from its directory and the header of
 * each member; no member's data is read. By offset. Only what writers of npz files make is taken: members stored
 * or deflated, one after the other from the file's start, in one part, not encrypted.
 *
 * Errors: `invalid_dataset` naming the file, the member and the rule.
 */
export async function readZip(source: ByteSource): Promise<ZipMember[]> {
  const fail: Fail = (problem) => new AmalgamError('invalid_dataset', `${source.name}: ${problem}`);
  const directory = await findDirectory(source, fail);
  const entries = parseDirectory(await source.read(directory.begin, directory.bytes), directory.entries, fail);

  const names = new Set<string>();
  for (const { name } of entries) {
    if (names.has(name)) throw fail(`the member ${quote(name)} is there twice`);
    names.add(name);
  }
  entries.sort((a, b) => a.offset - b.offset || byCodeUnit(a.name, b.name));
  const members: ZipMember[] = [];
  let previous: { name: string; end: number } | undefined;
  for (const entry of entries) {
    const failMember: Fail = (problem) => fail(`member ${quote(entry.name)}: ${problem}`);
    if (previous !== undefined && entry.offset < previous.end) {
      throw failMember(`overlaps the member ${quote(previous.name)}`);
    }
    const begin = await locateData(source, entry, directory.begin, failMember);
    previous = { name: entry.name, end: begin + entry.storedBytes };
    const { name, deflated, storedBytes, bytes, crc32 } = entry;
    members.push({ name, deflated, begin, storedBytes, bytes, crc32 });
  }
  return members;
}

async function findDirectory(source: ByteSource, fail: Fail): Promise<Directory> {
  const size = await source.size();
  const tailBegin = Math.max(0, size - END_BYTES - MAX_U16 - LOCATOR_BYTES);
  const tail = viewOf(await source.read(tailBegin, size - tailBegin));
  const at = findEnd(tail);
  if (at === null) throw fail('has no zip directory at its end; it is truncated, or no zip archive');
  const disks = [tail.getUint16(at + 4, true), tail.getUint16(at + 6, true)];
  const end: Directory = {
    entries: tail.getUint16(at + 10, true),
    bytes: tail.getUint32(at + 12, true),
    begin: tail.getUint32(at + 16, true),
  };
  if (tail.getUint16(at + 8, true) !== end.entries || disks.some((disk) => disk !== 0 && disk !== MAX_U16)) {
    throw fail('the zip archive has several parts');
  }

  let directory = end;
  let directoryEnd = tailBegin + at;
  if (at >= LOCATOR_BYTES && tail.getUint32(at - LOCATOR_BYTES, true) === LOCATOR_SIGNATURE) {
    directoryEnd = safe64(tail, at - LOCATOR_BYTES + 8, fail);
    if (directoryEnd + END64_BYTES > tailBegin + at - LOCATOR_BYTES) throw fail('the zip64 record lies out of place');
    directory = await readEnd64(source, directoryEnd, end, fail);
  }
  if (directory.entries > MAX_MEMBERS) {
    throw fail(`has ${directory.entries} members; a dataset has at most ${MAX_MEMBERS}`);
  }
  if (directory.bytes > MAX_DIRECTORY_BYTES) {
    throw fail(`its zip directory has ${directory.bytes} bytes; at most ${MAX_DIRECTORY_BYTES} are allowed`);
  }
  if (directory.begin + directory.bytes !== directoryEnd) {
    throw fail(
      `its zip directory is said to be ${directory.bytes} bytes from byte ${directory.begin}, but ends at byte ` +
        `${directoryEnd}; it is truncated, or bytes were put before or into it`,
    );
  }
  return directory;
}

/** The record that ends the file, comment included; the comment's length must say so. */
function findEnd(tail: DataView): number | null {
  for (let at = tail.byteLength - END_BYTES; at >= 0; at--) {
    const isEnd = tail.getUint32(at, true) === END_SIGNATURE;
    if (isEnd && at + END_BYTES + tail.getUint16(at + 20, true) === tail.byteLength) return at;
  }
  return null;
}

/** The zip64 record; the short one must say the same wherever it has room to. */
async function readEnd64(source: ByteSource, begin: number, short: Directory, fail: Fail): Promise<Directory> {
  const record = viewOf(await source.read(begin, END64_BYTES));
  if (record.getUint32(0, true) !== END64_SIGNATURE) throw fail('the zip64 record is missing where it should be');
  const directory: Directory = {
    entries: safe64(record, 32, fail),
    bytes: safe64(record, 40, fail),
    begin: safe64(record, 48, fail),
  };
  const agree = (small: number, large: number, most: number) => small === most || small === large;
  if (
    !agree(short.entries, directory.entries, MAX_U16) ||
    !agree(short.bytes, directory.bytes, MAX_U32) ||
    !agree(short.begin, directory.begin, MAX_U32)
  ) {
    throw fail('its two records of the zip directory disagree');
  }
  return directory;
}

interface Entry extends Omit<ZipMember, 'begin'> {
  /** Of the member's own header. */
  offset: number;
  rawName: Uint8Array;
  method: number;
}

function parseDirectory(bytes: Uint8Array, count: number, fail: Fail): Entry[] {
  const view = viewOf(bytes);
  const entries: Entry[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + ENTRY_BYTES > bytes.length || view.getUint32(at, true) !== ENTRY_SIGNATURE) {
      throw fail(`entry ${i} of its zip directory is not one`);
    }
    const nameEnd = at + ENTRY_BYTES + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const next = extraEnd + view.getUint16(at + 32, true);
    if (next > bytes.length) throw fail(`entry ${i} of its zip directory is cut off`);
    entries.push(parseEntry(bytes.subarray(at, extraEnd), nameEnd - at, fail));
    at = next;
  }
  if (at !== bytes.length) throw fail(`its zip directory has ${bytes.length - at} bytes after its ${count} entries`);
  return entries;
}

/** `bytes`: the entry up to the end of its extra fields, which begin at `nameEnd`. */
function parseEntry(bytes: Uint8Array, nameEnd: number, failFile: Fail): Entry {
  const view = viewOf(bytes);
  const flags = view.getUint16(8, true);
  const rawName = bytes.subarray(ENTRY_BYTES, nameEnd);
  const name = decodeName(rawName, (flags & UTF8_NAME) !== 0, failFile);
  const fail: Fail = (problem) => failFile(`member ${quote(name)}: ${problem}`);
  checkFlags(flags, fail);
  const method = view.getUint16(10, true);
  if (method !== STORED && method !== DEFLATED) {
    throw fail(`is compressed by method ${method}; only stored and deflated members are read`);
  }
  const sizes = wideSizes(view, nameEnd, fail);
  if (sizes.disk !== 0) throw fail('lies in another part of the archive');
  if (method === STORED && sizes.bytes !== sizes.storedBytes) {
    throw fail(`is stored as it is, in ${sizes.storedBytes} bytes, but is said to have ${sizes.bytes}`);
  }
  if (sizes.bytes > MAX_RATIO * (sizes.storedBytes + 1)) {
    throw fail(`is said to have ${sizes.bytes} bytes; no deflated ${sizes.storedBytes} bytes can hold so many`);
  }
  const { bytes: inflated, storedBytes, offset } = sizes;
  const crc32 = view.getUint32(16, true);
  return { name, rawName, method, deflated: method === DEFLATED, bytes: inflated, storedBytes, crc32, offset };
}

interface Sizes {
  bytes: number;
  storedBytes: number;
  offset: number;
  disk: number;
}

/** The entry's sizes; those that do not fit are in an extra field, in this order. */
function wideSizes(view: DataView, extraBegin: number, fail: Fail): Sizes {
  const sizes: Sizes = {
    bytes: view.getUint32(24, true),
    storedBytes: view.getUint32(20, true),
    offset: view.getUint32(42, true),
    disk: view.getUint16(34, true),
  };
  const wide = extraField(view, extraBegin, ZIP64_EXTRA, fail);
  let at = 0;
  for (const key of ['bytes', 'storedBytes', 'offset'] as const) {
    if (sizes[key] !== MAX_U32) continue;
    if (wide === null || at + 8 > wide.byteLength) throw fail('its zip64 sizes are missing');
    sizes[key] = safe64(wide, at, fail);
    at += 8;
  }
  if (sizes.disk === MAX_U16) {
    if (wide === null || at + 4 > wide.byteLength) throw fail('its zip64 sizes are missing');
    sizes.disk = wide.getUint32(at, true);
  }
  return sizes;
}

/** The data of the extra field of this kind, or null. */
function extraField(view: DataView, begin: number, kind: number, fail: Fail): DataView | null {
  let found: DataView | null = null;
  for (let at = begin; at < view.byteLength; ) {
    const length = at + 4 <= view.byteLength ? view.getUint16(at + 2, true) : MAX_U32;
    if (at + 4 + length > view.byteLength) throw fail('its extra fields are cut off');
    if (view.getUint16(at, true) === kind) {
      if (found !== null) throw fail('has its zip64 sizes twice');
      found = new DataView(view.buffer, view.byteOffset + at + 4, length);
    }
    at += 4 + length;
  }
  return found;
}

/** Where the member's data begins. Its own header must tell of the same member, and all must end before `limit`. */
async function locateData(source: ByteSource, entry: Entry, limit: number, fail: Fail): Promise<number> {
  const nameEnd = entry.offset + LOCAL_BYTES + entry.rawName.length;
  if (nameEnd > limit) throw fail(`begins at byte ${entry.offset}, outside the archive’s data`);
  const bytes = await source.read(entry.offset, nameEnd - entry.offset);
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== LOCAL_SIGNATURE) throw fail(`has no header at byte ${entry.offset}`);
  checkFlags(view.getUint16(6, true), fail);
  const sameName =
    view.getUint16(26, true) === entry.rawName.length &&
    Buffer.compare(bytes.subarray(LOCAL_BYTES), entry.rawName) === 0;
  if (!sameName || view.getUint16(8, true) !== entry.method) {
    throw fail('its own header and the zip directory disagree on its name or compression');
  }
  const begin = nameEnd + view.getUint16(28, true);
  if (begin + entry.storedBytes > limit) {
    throw fail(`has ${entry.storedBytes} bytes from byte ${begin}, but the archive’s data ends at byte ${limit}`);
  }
  return begin;
}

function checkFlags(flags: number, fail: Fail): void {
  if ((flags & ENCRYPTED) !== 0) throw fail('is encrypted');
  const other = flags & ~(HARMLESS_FLAGS | UTF8_NAME);
  if (other !== 0) throw fail(`has zip flags that are not supported (0x${other.toString(16)})`);
}

function decodeName(bytes: Uint8Array, isUtf8: boolean, fail: Fail): string {
  // Without the flag it is code page 437, of which writers agree on nothing but ASCII.
  if (!isUtf8 && bytes.some((byte) => byte >= 0x80)) throw fail('a member’s name is neither ASCII nor marked as UTF-8');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw fail('a member’s name is not valid UTF-8');
  }
}

function safe64(view: DataView, at: number, fail: Fail): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw fail(`a size or offset in it is ${value}, more than 2^53`);
  return Number(value);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
