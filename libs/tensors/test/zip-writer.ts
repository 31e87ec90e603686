import { crc32, deflateRawSync } from 'node:zlib';

/** What a member's headers say, where that is not the truth. */
interface Lies {
  crc32: number;
  /** In the zip directory, of the data as stored and inflated. */
  storedBytes: number;
  bytes: number;
  flags: number;
  method: number;
  /** In the zip directory: where the member's own header is. */
  offset: number;
  /** In the member's own header. */
  localName: string;
  localMethod: number;
}

export interface WrittenMember extends Partial<Lies> {
  name: string | Uint8Array;
  data: Uint8Array;
  deflate?: boolean;
  /** Instead of what `deflate` makes. */
  stored?: Uint8Array;
}

interface ArchiveOptions {
  /** Sizes and offsets in zip64 records, however small they are. */
  zip64?: boolean;
  comment?: string;
  /** Bytes before the archive, of which it does not know. */
  before?: Uint8Array;
  /** Changes the records at the end: entries, bytes and begin of the directory. */
  end?: (record: EndRecord) => void;
}

/** A zip archive, right or wrong. Written for tests: everything in memory, no dates. */
export function zipFile(members: readonly WrittenMember[], options: ArchiveOptions = {}): Uint8Array {
  const { zip64 = false, comment = '', before = new Uint8Array(0) } = options;
  const parts: Uint8Array[] = [before];
  const entries: Buffer[] = [];
  let offset = 0;
  for (const member of members) {
    const { deflate = false, data } = member;
    const stored = member.stored ?? (deflate ? deflateRawSync(data) : data);
    const name = Buffer.from(member.name);
    const method = member.method ?? (deflate ? 8 : 0);
    const flags = member.flags ?? 0;
    const checksum = member.crc32 ?? crc32(data);

    const localName = Buffer.from(member.localName ?? name);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(20, 4);
    local.writeUInt16LE(flags, 6);
    local.writeUInt16LE(member.localMethod ?? method, 8);
    local.writeUInt32LE(checksum, 14);
    local.writeUInt32LE(stored.length, 18);
    local.writeUInt32LE(data.length, 22);
    local.writeUInt16LE(localName.length, 26);

    const sizes = [member.bytes ?? data.length, member.storedBytes ?? stored.length, member.offset ?? offset];
    const extra = zip64 ? Buffer.concat([u16(1), u16(24), ...sizes.map(u64)]) : Buffer.alloc(0);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(flags, 8);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(checksum, 16);
    const [bytes = 0, storedBytes = 0, at = 0] = zip64 ? [0xffffffff, 0xffffffff, 0xffffffff] : sizes;
    entry.writeUInt32LE(storedBytes, 20);
    entry.writeUInt32LE(bytes, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt16LE(extra.length, 30);
    entry.writeUInt32LE(at, 42);

    entries.push(Buffer.concat([entry, name, extra]));
    parts.push(local, localName, stored);
    offset += 30 + localName.length + stored.length;
  }
  const directory = Buffer.concat(entries);
  const record = { entries: members.length, bytes: directory.length, begin: offset };
  options.end?.(record);
  const end64 = zip64 ? endOf64(record, offset + directory.length) : [];
  const short = zip64 ? { entries: 0xffff, bytes: 0xffffffff, begin: 0xffffffff } : record;
  return Buffer.concat([...parts, directory, ...end64, ...endOf(short, comment)]);
}

interface EndRecord {
  entries: number;
  bytes: number;
  begin: number;
}

function endOf({ entries, bytes, begin }: EndRecord, comment: string): Uint8Array[] {
  const text = Buffer.from(comment);
  const counts = [u16(0), u16(0), u16(entries), u16(entries)];
  return [u32(0x06054b50), ...counts, u32(bytes), u32(begin), u16(text.length), text];
}

/** The zip64 record, which lies at byte `at`, and its locator. */
function endOf64({ entries, bytes, begin }: EndRecord, at: number): Uint8Array[] {
  const record = [u32(0x06064b50), u64(44), u16(45), u16(45), u32(0), u32(0), u64(entries), u64(entries)];
  return [...record, u64(bytes), u64(begin), u32(0x07064b50), u32(0), u64(at), u32(1)];
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** An npy file with this header, however wrong, and these elements. */
export function npyFile(header: string, elements: Uint8Array, version: readonly [number, number] = [1, 0]): Uint8Array {
  const text = Buffer.from(`${header}\n`, 'latin1');
  const length = version[0] === 1 ? u16(text.length) : u32(text.length);
  return Buffer.concat([Buffer.from('\x93NUMPY', 'latin1'), Uint8Array.from(version), length, text, elements]);
}

/** The npy file of a float32 matrix that counts from 0. */
export function matrix(rows: number, columns: number): Uint8Array {
  const values = Float32Array.from({ length: rows * columns }, (_, i) => i);
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`;
  return npyFile(header, new Uint8Array(values.buffer));
}
