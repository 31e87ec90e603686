import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AmalgamError, quote } from '@amalgam/contracts';
import { encode } from './encode.js';
import { attachExternal, localExternal, locationProblem } from './external.js';
import { writeError } from './file-errors.js';
import type { ModelProto, TensorProto } from './model.js';
import { MODEL } from './onnx-schema.js';
import { MAX_MODEL_BYTES } from './read.js';
import { isExternal, isStringTensor, loadTensor, readTensorBytes, tensorError, tensorInfo } from './tensor.js';
import { mapTensors, tensorsOf } from './visit.js';

export interface ExternalOptions {
  /** Name of the data file, in the model's folder. Default: the model's name with `.data` after it. */
  location?: string;
  /** Initializers of at least so many bytes go to the data file. Default 1024. */
  threshold?: number;
  /** Each begins at a multiple of this. Default 4096, so that a runtime can map them. */
  alignment?: number;
}

/** Bytes moved at a time from one file to another. */
const CHUNK = 2 ** 24;

/**
 * A model's bytes: the same for equal models. Errors: `invalid_graph` above 2 GB, and for a tensor whose bytes
 * are nowhere in a file that the model names (`lazyTensor`): that takes `writeModel` with external data.
 */
export function encodeModel(model: ModelProto, name = 'model'): Uint8Array {
  return Buffer.concat(piecesOf(model, name));
}

/**
 * Writes a model, and with `externalData` one data file with its initializers of a certain size, wherever their
 * bytes were before; other external tensors become part of the model. Both are written beside their final place
 * and renamed at the end, the data first, so that a failure leaves what was there; only over a pair of the same
 * names, a crash between the renames leaves the old model with the new data. `model` is not changed.
 *
 * Without `externalData`, references to external files stay; they must be right for the new place.
 *
 * Errors: those of `encodeModel`; `invalid_graph` when a reference does not hold or bytes cannot be read;
 * `storage_full`, `storage_error`.
 */
export async function writeModel(
  model: ModelProto,
  path: string,
  options: { externalData?: ExternalOptions } = {},
): Promise<void> {
  const name = basename(path);
  const folder = dirname(path);
  if (options.externalData === undefined) {
    const copies = [...tensorsOf(model)].map(({ tensor, place }) => ({ tensor: { ...tensor }, place }));
    const pieces = piecesOf(model, name);
    await attachExternal(copies, name, localExternal(folder, name));
    await atomically([path], name, async ([file]) => writeAll(file!, pieces));
    return;
  }
  const { location = `${name}.data`, alignment = 4096 } = options.externalData;
  // What has no bytes has no place in a file.
  const threshold = Math.max(1, options.externalData.threshold ?? 1024);
  if (!(Number.isSafeInteger(alignment) && alignment > 0)) throw new RangeError(`alignment is ${alignment}`);
  const problem = locationProblem(location) ?? (/[/\\]/.test(location) ? 'is not in the model’s folder' : null);
  if (problem !== null || location === name) {
    throw new AmalgamError('invalid_graph', `${name}: the data file ${quote(location)} ${problem ?? 'is the model'}`);
  }
  const isLarge = (tensor: TensorProto) => !isStringTensor(tensor) && tensorInfo(tensor).byteLength >= threshold;
  const large = new Set((model.graph?.initializer ?? []).filter(isLarge));
  const moved = await inlined(model, large, name);
  const layout = layOut(large, location, alignment);
  for (const { tensor, made } of layout) moved.set(tensor, made);
  const written = mapTensors(model, (tensor) => moved.get(tensor) ?? tensor);
  const pieces = piecesOf(written, name);
  await atomically([join(folder, location), path], name, async ([data, file]) => {
    await writeTensors(data!, layout, name);
    await writeAll(file!, pieces);
  });
}

interface Placed {
  tensor: TensorProto;
  offset: number;
  length: number;
  /** What the model says instead of the tensor. */
  made: TensorProto;
}

/** Tensors that share their bytes, tied weights, share their place too. */
function layOut(tensors: Iterable<TensorProto>, location: string, alignment: number): Placed[] {
  const places = new Map<unknown, number>();
  const layout: Placed[] = [];
  let end = 0;
  for (const tensor of tensors) {
    const { byteLength: length } = tensorInfo(tensor);
    const identity = tensor.rawData ?? tensor;
    const known = places.get(identity);
    const offset = known ?? Math.ceil(end / alignment) * alignment;
    if (known === undefined) {
      places.set(identity, offset);
      end = offset + length;
    }
    const external = { location, offset, length };
    const externalData = Object.entries(external).map(([key, value]) => ({ key, value: String(value) }));
    layout.push({ tensor, offset, length, made: { ...withoutBytes(tensor), externalData, dataLocation: 1 } });
  }
  return layout;
}

/** Tensors outside the data file whose bytes are in other files, as tensors with these bytes. */
async function inlined(
  model: ModelProto,
  except: ReadonlySet<TensorProto>,
  name: string,
): Promise<Map<TensorProto, TensorProto>> {
  const loaded = new Map<TensorProto, TensorProto>();
  for (const { tensor, place } of tensorsOf(model)) {
    if (!isExternal(tensor) || except.has(tensor)) continue;
    const { bytes } = await loadTensor(tensor, `${name}: ${place}`);
    loaded.set(tensor, { ...withoutBytes(tensor), rawData: bytes });
  }
  return loaded;
}

/** The tensor without its elements and without where they were. */
function withoutBytes(tensor: TensorProto): TensorProto {
  const {
    rawData,
    floatData,
    int32Data,
    int64Data,
    doubleData,
    uint64Data,
    externalData,
    dataLocation,
    data,
    ...rest
  } = tensor;
  return rest;
}

function piecesOf(model: ModelProto, name: string): Uint8Array[] {
  for (const { tensor, place } of tensorsOf(model)) {
    if (tensor.data !== undefined && tensor.externalData === undefined) {
      throw tensorError(
        tensor,
        'its bytes are in another file: write the model with external data',
        `${name}: ${place}`,
      );
    }
  }
  const { pieces, length } = encode(MODEL, model);
  if (length <= MAX_MODEL_BYTES) return pieces;
  throw new AmalgamError(
    'invalid_graph',
    `${name}: would have ${length} bytes; an ONNX file holds at most ${MAX_MODEL_BYTES}: write it with external data`,
  );
}

async function writeTensors(file: FileHandle, layout: readonly Placed[], name: string): Promise<void> {
  let end = 0;
  for (const { tensor, offset, length } of layout) {
    // Laid out before, as the twin of another.
    if (offset < end) continue;
    for (let at = 0; at < length; at += CHUNK) {
      const bytes = await readTensorBytes(tensor, at, Math.min(CHUNK, length - at), name);
      await writeFully(file, bytes, offset + at);
    }
    end = offset + length;
  }
}

async function writeAll(file: FileHandle, pieces: readonly Uint8Array[]): Promise<void> {
  let position = 0;
  for (const piece of pieces) {
    await writeFully(file, piece, position);
    position += piece.length;
  }
}

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, Math.min(bytes.length - at, 2 ** 30), position + at);
    at += bytesWritten;
  }
}

/** Opens a temporary file beside each path, and puts them in place, in order, when `work` has filled them all. */
async function atomically(
  paths: readonly string[],
  name: string,
  work: (files: FileHandle[]) => Promise<void>,
): Promise<void> {
  const temporary = paths.map((path) => join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`));
  const files: FileHandle[] = [];
  try {
    try {
      for (const path of temporary) files.push(await open(path, 'wx'));
      await work(files);
      for (const file of files) await file.sync();
    } finally {
      for (const file of files) await file.close();
    }
    for (const [i, path] of paths.entries()) await rename(temporary[i]!, path);
  } catch (error) {
    for (const path of temporary) await rm(path, { force: true });
    throw writeError(name, error);
  }
}
