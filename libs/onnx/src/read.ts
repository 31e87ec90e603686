import { readFile, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { checkModel } from './checks.js';
import { decode } from './decode.js';
import { attachExternal, localExternal, type OpenExternal } from './external.js';
import { fileError } from './file-errors.js';
import type { ModelProto } from './model.js';
import { MODEL } from './onnx-schema.js';
import { tensorsOf } from './visit.js';

/** Protobuf's own limit; larger models keep their weights in external files. */
export const MAX_MODEL_BYTES = 2 ** 31 - 1;

export interface ReadOptions {
  /** What errors call the model. Default: the file's name, or `model`. */
  name?: string;
  /** The folder of external files, when the model comes as bytes. */
  folder?: string;
  /** Opens external files that are not in a local folder, such as objects of a store. */
  openExternal?: OpenExternal;
}

/**
 * Reads and checks a model, from a file or from bytes, which must not change afterwards. External data is
 * found and measured, and read only when asked for (`loadTensor`, `readTensorBytes`).
 *
 * Errors: `invalid_graph`, naming the model, the place and the rule, for everything that is wrong with it: not
 * protobuf, cut off, larger than 2 GB, not valid as `checkModel` says, external data outside the folder or its
 * file, or given as bytes without a folder; `storage_error` when a file cannot be read.
 */
export async function readModel(source: string | Uint8Array, options: ReadOptions = {}): Promise<ModelProto> {
  const name = options.name ?? (typeof source === 'string' ? basename(source) : 'model');
  const folder = options.folder ?? (typeof source === 'string' ? dirname(source) : undefined);
  const bytes = typeof source === 'string' ? await readWhole(source, name) : source;
  const model = decodeModel(bytes, name);
  checkModel(model, name);
  const open = options.openExternal ?? (folder === undefined ? undefined : localExternal(folder, name));
  await attachExternal(tensorsOf(model), name, open ?? refuseExternal(name));
  return model;
}

/** Only the messages, without any check of the model and without external data. Errors: `invalid_graph`. */
export function decodeModel(bytes: Uint8Array, name = 'model'): ModelProto {
  if (bytes.length === 0) throw new AmalgamError('invalid_graph', `${name}: the file is empty`);
  if (bytes.length > MAX_MODEL_BYTES) throw tooLarge(name, bytes.length);
  return decode(MODEL, bytes, name);
}

/** For models that have no folder: external data is refused. */
export function refuseExternal(name: string): OpenExternal {
  return (location) => {
    const rule = 'and the model was given as bytes without a folder';
    throw new AmalgamError('invalid_graph', `${name}: has weights in the file ${JSON.stringify(location)}, ${rule}`);
  };
}

async function readWhole(path: string, name: string): Promise<Uint8Array> {
  try {
    const info = await stat(path);
    if (!info.isFile()) throw new AmalgamError('invalid_graph', `${name} is not a regular file`);
    if (info.size > MAX_MODEL_BYTES) throw tooLarge(name, info.size);
    return await readFile(path);
  } catch (error) {
    throw fileError(name, error);
  }
}

export function tooLarge(name: string, bytes: number): AmalgamError {
  return new AmalgamError(
    'invalid_graph',
    `${name}: has ${bytes} bytes; an ONNX file holds at most ${MAX_MODEL_BYTES}: export the weights as external data`,
  );
}
