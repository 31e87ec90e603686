import { type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { crc32 } from 'node:zlib';
import { AmalgamError, quote } from '@amalgam/contracts';
import { asDatasetErrors, type DatasetDescription, type DatasetTensor } from './dataset.js';
import { inflate } from './npz-inflate.js';
import { type ByteSource, fileError, fileSource } from './source.js';

/** Rows of a dataset's tensors, as stored: little-endian, row-major, one after the other, in memory of their own. */
export interface DatasetReader {
  readonly description: DatasetDescription;
  /** `count` rows from `start`. Errors: `invalid_dataset` for a tensor or rows that are not there. */
  rows(name: string, start: number, count: number): Promise<Uint8Array>;
  /** These rows in this order; a row may come twice. Errors: as `rows`. */
  gather(name: string, indices: readonly number[]): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** One read call of the operating system takes less than 2 GiB. */
const READ_AT_ONCE = 2 ** 30;
/** A tensor this small is read once and kept: a step of tuning asks for a few rows here and there. */
const KEEP_BYTES = 2 ** 24;
/** Reads under way at once: more only wait for a thread. */
const READS_AT_ONCE = 8;

/**
 * Opens a dataset's file on this machine. Compressed members are inflated into memory now, and tensors of up to
 * 16 MiB are read; larger ones are read when asked for. `names`: the tensors that are wanted; default all.
 *
 * Errors: `checkpoint_changed` when the file no longer has the size that was described; `invalid_dataset` for a
 * name that is not there and compressed members that are damaged; `storage_error` when the device fails.
 */
export async function openDataset(
  path: string,
  description: DatasetDescription,
  names: readonly string[] = description.tensors.map(({ name }) => name),
): Promise<DatasetReader> {
  const label = basename(path);
  const source = fileSource(path, label);
  const file = await open(path, 'r').catch((error: unknown) =>
    asDatasetErrors(() => Promise.reject(fileError(label, error))),
  );
  try {
    const { size } = await file.stat();
    if (size !== description.bytes) {
      throw new AmalgamError(
        'checkpoint_changed',
        `${label}: has ${size} bytes; when it was registered it had ${description.bytes}`,
      );
    }
    const tensors = new Map<string, OpenTensor>();
    for (const name of names) {
      const tensor = description.tensors.find((candidate) => candidate.name === name);
      if (tensor === undefined) throw new AmalgamError('invalid_dataset', `${label}: has no tensor ${quote(name)}`);
      tensors.set(name, await openTensor(tensor, file, source, label));
    }
    return readerOf(description, tensors, file, label);
  } catch (error) {
    await file.close();
    throw error;
  } finally {
    await source.close();
  }
}

interface OpenTensor {
  rows: number;
  rowBytes: number;
  /** Fills `target` with bytes from `offset` of the elements. */
  read(target: Uint8Array, offset: number): Promise<void>;
}

async function openTensor(
  tensor: DatasetTensor,
  file: FileHandle,
  source: ByteSource,
  label: string,
): Promise<OpenTensor> {
  const [rows = 0] = tensor.shape;
  const rowBytes = tensor.bytes / rows;
  if (tensor.compressed === null && tensor.bytes > KEEP_BYTES) {
    const read = (target: Uint8Array, offset: number) => readFully(file, target, tensor.begin + offset, label);
    return { rows, rowBytes, read };
  }
  const elements = new Uint8Array(tensor.bytes);
  if (tensor.compressed === null) await readFully(file, elements, tensor.begin, label);
  else await inflateTensor(tensor, tensor.compressed, source, elements);
  return {
    rows,
    rowBytes,
    read: async (target, offset) => target.set(elements.subarray(offset, offset + target.length)),
  };
}

/** Fills `elements` with those of a compressed tensor, without the header before them. */
async function inflateTensor(
  tensor: DatasetTensor,
  compressed: NonNullable<DatasetTensor['compressed']>,
  source: ByteSource,
  elements: Uint8Array,
): Promise<void> {
  const fail = (problem: string): AmalgamError =>
    new AmalgamError('invalid_dataset', `${source.name}: tensor ${quote(tensor.name)}: ${problem}`);
  const whole = tensor.begin + tensor.bytes;
  let at = 0;
  let checksum = 0;
  await asDatasetErrors(async () => {
    for await (const piece of inflate(source, compressed, fail)) {
      if (at + piece.length > whole) throw fail(`inflates to more than the ${whole} bytes that it is said to have`);
      const header = Math.max(0, Math.min(piece.length, tensor.begin - at));
      elements.set(piece.subarray(header), Math.max(0, at + header - tensor.begin));
      checksum = crc32(piece, checksum);
      at += piece.length;
    }
  });
  if (at < whole) throw fail(`inflates to ${at} bytes, not the ${whole} that it is said to have`);
  if (checksum !== compressed.crc32) throw fail('its checksum (CRC-32) is wrong: the file is damaged');
}

function readerOf(
  description: DatasetDescription,
  tensors: ReadonlyMap<string, OpenTensor>,
  file: FileHandle,
  label: string,
): DatasetReader {
  const find = (name: string): OpenTensor => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new AmalgamError('invalid_dataset', `${label}: tensor ${quote(name)} is not open`);
    return tensor;
  };
  const gather = async (name: string, runs: readonly Run[]): Promise<Uint8Array> => {
    const tensor = find(name);
    const { rows, rowBytes } = tensor;
    const count = runs.reduce((sum, run) => sum + run.count, 0);
    for (const { start, count } of runs) {
      const valid = Number.isSafeInteger(start) && Number.isSafeInteger(count) && start >= 0 && count >= 0;
      if (!valid || start + count > rows) {
        const asked = `${count} rows from row ${start} were asked for; it has ${rows}`;
        throw new AmalgamError('invalid_dataset', `${label}: tensor ${quote(name)}: ${asked}`);
      }
    }
    const bytes = new Uint8Array(count * rowBytes);
    let at = 0;
    const reads = runs.map(({ start, count }) => {
      const target = bytes.subarray(at, at + count * rowBytes);
      at += target.length;
      return () => tensor.read(target, start * rowBytes);
    });
    for (let i = 0; i < reads.length; i += READS_AT_ONCE) {
      await Promise.all(reads.slice(i, i + READS_AT_ONCE).map((read) => read()));
    }
    return bytes;
  };
  return {
    description,
    rows: (name, start, count) => gather(name, [{ start, count }]),
    gather: (name, indices) => gather(name, runsOf(indices)),
    close: () => file.close(),
  };
}

interface Run {
  start: number;
  count: number;
}

/** Rows that follow one another in the file are read at once. */
function runsOf(indices: readonly number[]): Run[] {
  const runs: Run[] = [];
  for (const index of indices) {
    const last = runs.at(-1);
    if (last !== undefined && last.start + last.count === index) last.count++;
    else runs.push({ start: index, count: 1 });
  }
  return runs;
}

async function readFully(file: FileHandle, target: Uint8Array, offset: number, label: string): Promise<void> {
  for (let filled = 0; filled < target.length; ) {
    const wanted = Math.min(target.length - filled, READ_AT_ONCE);
    const { bytesRead } = await file.read(target, filled, wanted, offset + filled).catch((error: unknown) => {
      throw fileError(label, error);
    });
    if (bytesRead === 0)
      throw new AmalgamError('checkpoint_changed', `${label}: the file became shorter while it was read`);
    filled += bytesRead;
  }
}
