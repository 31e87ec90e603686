import { AmalgamError, byCodeUnit, type Dtype, isFloat, quote, quoteList } from '@amalgam/contracts';
import type { ReadableFolder } from './folder.js';
import { foreignName, hasPickleName, pickleNamed } from './foreign-formats.js';
import { readNpz } from './npz.js';
import { readHeader } from './safetensors-header.js';
import type { ByteSource } from './source.js';

/** The tensor that, when it is there, says what is right: class numbers, [rows] or [rows, positions]. */
export const LABELS = 'labels';

export interface DatasetTensor {
  name: string;
  dtype: Dtype;
  /** The first dimension counts the rows. */
  shape: readonly number[];
  /** Of its elements, uncompressed. */
  bytes: number;
  /** Where its elements begin in the file; of a compressed one, in what is inflated. They are little-endian, row-major. */
  begin: number;
  /** The deflated bytes of an npz member: where they lie in the file, and the CRC-32 of what they inflate to. */
  compressed: null | { begin: number; bytes: number; crc32: number };
}

/** Plain data: it is stored in databases and travels between processes. */
export interface DatasetDescription {
  /** Relative to the folder. */
  file: string;
  format: 'safetensors' | 'npz';
  /** Of the file. */
  bytes: number;
  rows: number;
  labelled: boolean;
  /** By name, in code unit order. */
  tensors: DatasetTensor[];
}

const FORMATS = [
  ['.safetensors', 'safetensors'],
  ['.npz', 'npz'],
] as const;
/** Graphs have a handful of inputs. */
const MAX_TENSORS = 1000;
/** Who shuffles them keeps four bytes for each. */
const MAX_ROWS = 100_000_000;

/**
 * Describes the dataset in a folder, which has exactly one .safetensors or .npz file at its top level, from the
 * file's headers alone. Every tensor has the same first dimension, the rows; `labels` are integers.
 *
 * Errors: `invalid_dataset` naming file, tensor and rule; `unsafe_format` for pickle, by name or content, and
 * arrays of Python objects; `storage_error` when the store fails.
 */
export async function describeDataset(folder: ReadableFolder): Promise<DatasetDescription> {
  return asDatasetErrors(async () => {
    const { file, format } = chooseFile(
      folder.label,
      (await folder.list()).map(({ path }) => path),
    );
    const source = folder.source(file);
    try {
      const tensors = format === 'npz' ? await readNpz(source) : await readSafetensorsEntries(source);
      tensors.sort((a, b) => byCodeUnit(a.name, b.name));
      const rows = checkRows(source.name, tensors);
      const labelled = tensors.some(({ name }) => name === LABELS);
      return { file, format, bytes: await source.size(), rows, labelled, tensors };
    } finally {
      await source.close?.();
    }
  });
}

function chooseFile(label: string, paths: readonly string[]): { file: string; format: DatasetDescription['format'] } {
  const found = FORMATS.flatMap(([extension, format]) =>
    paths.filter((path) => path.endsWith(extension)).map((file) => ({ file, format })),
  );
  const [only, ...others] = found.filter(({ file }) => !file.includes('/'));
  if (only !== undefined && others.length === 0) return only;
  const rule = 'a dataset is one .safetensors or .npz file';
  if (only !== undefined) {
    const names = [only, ...others].map(({ file }) => file).sort(byCodeUnit);
    throw new AmalgamError('invalid_dataset', `${label}: has ${quoteList(names)}; ${rule}`);
  }
  const pickles = paths.filter(hasPickleName).sort(byCodeUnit);
  if (pickles.length > 0) throw pickleNamed(label, pickles);
  const below = found[0]?.file;
  if (below !== undefined) {
    throw new AmalgamError('invalid_dataset', `${label}: has no file at its top level, but ${quote(below)}; ${rule}`);
  }
  const foreign = paths.find((path) => foreignName(path) !== null) ?? paths[0];
  const has = foreign === undefined ? 'is empty' : `has ${quote(foreign)}`;
  throw new AmalgamError('invalid_dataset', `${label}: ${has}; ${rule}`);
}

async function readSafetensorsEntries(source: ByteSource): Promise<DatasetTensor[]> {
  const { tensors } = await readHeader(source);
  if (tensors.length > MAX_TENSORS) {
    throw new AmalgamError(
      'invalid_dataset',
      `${source.name}: has ${tensors.length} tensors; a dataset has at most ${MAX_TENSORS}`,
    );
  }
  return tensors.map(({ name, dtype, shape, begin, end }) => ({
    name,
    dtype,
    shape,
    bytes: end - begin,
    begin,
    compressed: null,
  }));
}

/** The rows that all tensors have. */
function checkRows(file: string, tensors: readonly DatasetTensor[]): number {
  const fail = (problem: string): AmalgamError => new AmalgamError('invalid_dataset', `${file}: ${problem}`);
  const first = tensors.find(({ name }) => name !== LABELS);
  if (first === undefined) {
    throw fail(tensors.length === 0 ? 'has no tensors' : `has no tensor besides ${quote(LABELS)}`);
  }
  for (const { name, shape } of tensors) {
    const shown = `tensor ${quote(name)}: shape [${shape.join(', ')}]`;
    if (shape.length === 0) throw fail(`${shown}: has no first dimension, which counts the rows`);
    if (shape[0] === 0) throw fail(`${shown}: has no rows`);
    // Takes no bytes, so that a short file could have rows without end.
    if (shape.includes(0)) throw fail(`${shown}: its rows have no elements`);
    if (shape[0] !== first.shape[0]) {
      throw fail(
        `${shown}: has ${shape[0]} rows, but ${quote(first.name)} has ${first.shape[0]}; all must have the same`,
      );
    }
  }
  const [rows = 0] = first.shape;
  if (rows > MAX_ROWS) throw fail(`has ${rows} rows; a dataset has at most ${MAX_ROWS}`);
  const labels = tensors.find(({ name }) => name === LABELS);
  if (labels !== undefined) checkLabelsTensor(labels, fail);
  return rows;
}

function checkLabelsTensor({ dtype, shape }: DatasetTensor, fail: (problem: string) => AmalgamError): void {
  if (isFloat(dtype) || dtype === 'BOOL') {
    throw fail(`tensor ${quote(LABELS)}: has dtype ${dtype}; labels are class numbers, so integers`);
  }
  if (shape.length > 2) {
    throw fail(`tensor ${quote(LABELS)}: shape [${shape.join(', ')}] must be [rows] or [rows, positions]`);
  }
}

/** What the readers of files say of a checkpoint is here said of a dataset. */
export async function asDatasetErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AmalgamError && error.code === 'invalid_checkpoint') {
      throw new AmalgamError('invalid_dataset', error.detail, { cause: error });
    }
    throw error;
  }
}
