import { basename, dirname } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { checkModel } from './checks.js';
import { attachExternal, localExternal, localSource, type OpenExternal } from './external.js';
import type { ModelProto, TensorProto, TensorSlice } from './model.js';
import { scanModel } from './outline-scan.js';
import { decodeModel, refuseExternal } from './read.js';
import type { ByteSource } from './source.js';
import { EXTERNAL, isStringTensor, tensorError, tensorInfo } from './tensor.js';
import { tensorsOf } from './visit.js';

export interface OutlineOptions {
  /** What errors call the model. Default: the file's name. */
  name?: string;
  /** Opens external files; default: those in the folder of a file on this machine. */
  openExternal?: OpenExternal;
}

/**
 * Reads and checks a model as `readModel` does, from a path or a source, but leaves its large weights where they are:
 * initializers whose raw bytes are more than 4096 are lazy tensors, of which the bytes are read when they are asked
 * for. A model of two gigabytes so takes the memory of its nodes; the file may lie in a store.
 *
 * Errors: those of `readModel`; `invalid_graph` when what is no large initializer takes more than 256 MiB. The source
 * must stay as it is.
 */
export async function readOutline(from: string | ByteSource, options: OutlineOptions = {}): Promise<ModelProto> {
  const name = options.name ?? basename(typeof from === 'string' ? from : from.name);
  const source = typeof from === 'string' ? await localSource(from, name) : from;
  const { bytes, slices } = await scanModel(source, name);
  // Places in errors from here on count without the weights.
  const model = decodeModel(bytes, `${name} (weights left out)`);
  attachSlices(model, slices, source, name);
  checkModel(model, name);
  const open = typeof from === 'string' ? localExternal(dirname(from), name) : refuseExternal(name);
  // The others that are external by now are in the model's own file.
  const beside = [...tensorsOf(model)].filter(({ tensor }) => tensor.dataLocation === EXTERNAL);
  await attachExternal(beside, name, options.openExternal ?? open);
  return model;
}

/** By the main graph's initializers, in the file's order: where the bytes are that were left out, or null. */
function attachSlices(
  model: ModelProto,
  slices: readonly (Omit<TensorSlice, 'source'> | null)[],
  source: ByteSource,
  name: string,
): void {
  const initializers = model.graph?.initializer ?? [];
  if (initializers.length !== slices.length) {
    throw new AmalgamError('internal', `${name}: ${slices.length} initializers became ${initializers.length}`);
  }
  slices.forEach((slice, i) => {
    const tensor = initializers[i];
    // The bytes in the model do not count when the tensor says that it is in another file.
    if (slice === null || tensor === undefined || tensor.dataLocation === EXTERNAL) return;
    checkSlice(tensor, slice.length, `${name}: initializers`);
    delete tensor.rawData;
    tensor.data = { source, ...slice };
  });
}

/** What `checkTensor` says of bytes that are there. */
function checkSlice(tensor: TensorProto, length: number, where: string): void {
  if (isStringTensor(tensor)) throw tensorError(tensor, 'strings can only be in the list of strings', where);
  const { byteLength } = tensorInfo(tensor, where);
  const other = (['floatData', 'int32Data', 'int64Data', 'doubleData', 'uint64Data', 'stringData'] as const).find(
    (field) => (tensor[field]?.length ?? 0) > 0,
  );
  if (other !== undefined) throw tensorError(tensor, `has elements both in rawData and in ${other}`, where);
  if (length !== byteLength) {
    throw tensorError(tensor, `has ${length} bytes; its shape and dtype take ${byteLength}`, where);
  }
}
