import { AmalgamError, quote } from '@amalgam/contracts';
import type { DatasetTensor } from './dataset.js';
import { foreignFormat, hasPickleName, MAGIC_BYTES, pickleNamed } from './foreign-formats.js';
import { MAX_PREAMBLE_BYTES, type NpyHeader, npyHeaderBytes, parseNpyHeader } from './npz-header.js';
import { inflate } from './npz-inflate.js';
import type { ByteSource } from './source.js';
import { readZip, type ZipMember } from './zip.js';

/** Deflated members are held in memory while a dataset is open, so there is an end to them. */
export const MAX_INFLATED_BYTES = 2 ** 31;

const NPY = '.npy';

/**
 * The arrays of an npz file (`numpy.savez`, `numpy.savez_compressed`), by offset. Of each member no more than its
 * header is read or inflated.
 *
 * Errors: `invalid_dataset` naming file, member and rule; `unsafe_format` for pickle.
 */
export async function readNpz(source: ByteSource): Promise<DatasetTensor[]> {
  await refuseForeign(source);
  const tensors: DatasetTensor[] = [];
  let inflated = 0;
  for (const member of await readZip(source)) {
    if (member.deflated) inflated += member.bytes;
    if (inflated > MAX_INFLATED_BYTES) {
      throw new AmalgamError(
        'invalid_dataset',
        `${source.name}: its compressed members have more than ${MAX_INFLATED_BYTES} bytes; ` +
          'save it with numpy.savez or as safetensors',
      );
    }
    tensors.push(await readMember(source, member));
  }
  return tensors;
}

/** Says what a file is that does not begin as a zip archive does. */
async function refuseForeign(source: ByteSource): Promise<void> {
  const start = await source.read(0, Math.min(await source.size(), MAGIC_BYTES));
  const text = Buffer.from(start).toString('latin1');
  // The second is how an archive without members begins.
  if (text.startsWith('PK\x03\x04') || text.startsWith('PK\x05\x06')) return;
  if (text.startsWith('\x93NUMPY')) {
    const rule = 'is a single array of NumPy; a dataset names its arrays: numpy.savez(path, name=array)';
    throw new AmalgamError('invalid_dataset', `${source.name}: ${rule}`);
  }
  const foreign = foreignFormat(source.name, start);
  if (foreign?.code === 'unsafe_format') throw foreign;
  throw new AmalgamError('invalid_dataset', foreign?.detail ?? `${source.name}: is not an npz file (a zip archive)`);
}

async function readMember(source: ByteSource, member: ZipMember): Promise<DatasetTensor> {
  const fail = (problem: string): AmalgamError =>
    new AmalgamError('invalid_dataset', `${source.name}: member ${quote(member.name)}: ${problem}`);
  if (hasPickleName(member.name)) throw pickleNamed(source.name, [member.name]);
  const name = member.name.slice(0, -NPY.length);
  if (!member.name.endsWith(NPY) || name === '') throw fail('is not named as an array is, NAME.npy');
  if (name === '__proto__') throw fail('this name is not allowed');

  const { dtype, shape, bytes, headerBytes } = await readNpyHeader(source, member, fail);
  if (headerBytes + bytes !== member.bytes) {
    throw fail(
      `shape [${shape.join(', ')}] of ${dtype} takes ${bytes} bytes, but ${member.bytes - headerBytes} follow its header`,
    );
  }
  if (!member.deflated) return { name, dtype, shape, bytes, begin: member.begin + headerBytes, compressed: null };
  const compressed = { begin: member.begin, bytes: member.storedBytes, crc32: member.crc32 };
  return { name, dtype, shape, bytes, begin: headerBytes, compressed };
}

type Fail = (problem: string) => AmalgamError;

async function readNpyHeader(source: ByteSource, member: ZipMember, fail: Fail): Promise<NpyHeader> {
  const start = await prefix(source, member, Math.min(member.bytes, MAX_PREAMBLE_BYTES), fail);
  const headerBytes = npyHeaderBytes(start, fail);
  if (headerBytes > member.bytes) throw fail('is cut off within its header');
  return parseNpyHeader(await prefix(source, member, headerBytes, fail), fail);
}

/** The first bytes of a member. */
async function prefix(source: ByteSource, member: ZipMember, length: number, fail: Fail): Promise<Uint8Array> {
  if (!member.deflated) return source.read(member.begin, length);
  const bytes = new Uint8Array(length);
  let filled = 0;
  for await (const piece of inflate(source, { begin: member.begin, bytes: member.storedBytes }, fail)) {
    bytes.set(piece.subarray(0, length - filled), filled);
    filled = Math.min(length, filled + piece.length);
    if (filled === length) return bytes;
  }
  if (filled < length) throw fail(`inflates to ${filled} bytes, fewer than its header takes`);
  return bytes;
}
