import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { posix, resolve, sep } from 'node:path';
import { AmalgamError, quote } from '@amalgam/contracts';
import { fileError } from './file-errors.js';
import type { StringStringEntryProto, TensorProto } from './model.js';
import type { ByteSource } from './source.js';
import { isExternal, isStringTensor, tensorError, tensorInfo } from './tensor.js';

/** Opens the file that a tensor names, by its location relative to the model's folder. */
export type OpenExternal = (location: string) => Promise<ByteSource>;

export interface ExternalReference {
  location: string;
  offset: number;
  /** Undefined when the file does not say: then the tensor's size. */
  length: number | undefined;
}

const NUMBER = /^[0-9]{1,16}$/;

/**
 * Where an external tensor says that its elements are. Errors: `invalid_graph` naming the tensor when there is
 * no location, one that leads out of the model's folder, or an offset or length that is not a whole number.
 */
export function externalReference(tensor: TensorProto, where: string): ExternalReference {
  const entries = tensor.externalData ?? [];
  const location = entryOf(entries, 'location', tensor, where);
  if (location === undefined) throw tensorError(tensor, 'is external and names no file', where);
  const problem = locationProblem(location);
  if (problem !== null) throw tensorError(tensor, `its external file ${quote(location)} ${problem}`, where);
  const number = (key: string) => {
    const text = entryOf(entries, key, tensor, where);
    if (text === undefined) return undefined;
    const value = NUMBER.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value)) return value;
    throw tensorError(tensor, `its ${key} ${quote(text)} in the external file is not a whole number`, where);
  };
  return { location, offset: number('offset') ?? 0, length: number('length') };
}

function entryOf(
  entries: readonly StringStringEntryProto[],
  key: string,
  tensor: TensorProto,
  where: string,
): string | undefined {
  const found = entries.filter((entry) => entry.key === key);
  if (found.length > 1) throw tensorError(tensor, `names the ${key} of its external data twice`, where);
  return found[0]?.value;
}

/** Why a location is refused; null when it stays below the folder, symbolic links aside. */
export function locationProblem(location: string): string | null {
  if (location === '' || location.includes('\0')) return 'is not a name of a file';
  // Also as Windows reads it: a model is written on one machine and read on another.
  if (posix.isAbsolute(location) || location.startsWith('\\') || /^[A-Za-z]:/.test(location)) return 'is absolute';
  if (location.split(/[/\\]/).includes('..')) return 'leads out of the model’s folder';
  return null;
}

/**
 * Finds every external tensor's bytes: the very tensors get a `data` slice. Each file is opened and measured
 * once, nothing is read. Errors: `invalid_graph` naming the tensor for a location, range or file that is not
 * allowed or not there; those of `open`.
 */
export async function attachExternal(
  tensors: Iterable<{ tensor: TensorProto; place: string }>,
  name: string,
  open: OpenExternal,
): Promise<void> {
  const files = new Map<string, { source: ByteSource; size: number }>();
  for (const { tensor, place } of tensors) {
    if (!isExternal(tensor)) continue;
    const where = `${name}: ${place}`;
    if (isStringTensor(tensor)) throw tensorError(tensor, 'strings cannot be external', where);
    const { byteLength } = tensorInfo(tensor, where);
    const { location, offset, length = byteLength } = externalReference(tensor, where);
    if (length !== byteLength) {
      throw tensorError(
        tensor,
        `has ${length} bytes in ${quote(location)}; its shape and dtype take ${byteLength}`,
        where,
      );
    }
    let file = files.get(location);
    if (file === undefined) {
      const source = await open(location);
      file = { source, size: await source.size() };
      files.set(location, file);
    }
    if (offset + length > file.size) {
      throw tensorError(
        tensor,
        `takes ${length} bytes from byte ${offset} of ${quote(location)}, which has ${file.size} bytes`,
        where,
      );
    }
    tensor.data = { source: file.source, offset, length };
  }
}

/**
 * Files below a folder of this machine. A symbolic link is followed as long as it stays in the folder. Errors:
 * `invalid_graph` for files that are not there, are not regular or lie elsewhere.
 */
export function localExternal(folder: string, name: string): OpenExternal {
  return async (location) => {
    const shown = `${name}: the external file ${quote(location)}`;
    const [root, path] = await Promise.all([realpath(folder), realpath(resolve(folder, location))]).catch((error) => {
      throw fileError(shown, error);
    });
    if (!path.startsWith(root.endsWith(sep) ? root : root + sep)) {
      throw new AmalgamError('invalid_graph', `${shown} is a link that leads out of the model’s folder`);
    }
    return localSource(path, shown);
  };
}

/** One read call of the operating system takes less than 2 GiB. */
const READ_AT_ONCE = 2 ** 30;

/**
 * A file that is opened for each read: models have thousands of external files, and nothing needs closing. A
 * file that is no longer the one it was at first is refused rather than read at the old offsets.
 */
export async function localSource(path: string, name: string): Promise<ByteSource> {
  const first = await stat(path).catch((error) => {
    throw fileError(name, error);
  });
  if (!first.isFile()) throw new AmalgamError('invalid_graph', `${name} is not a regular file`);

  async function readFrom(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
    const now = await file.stat();
    if (now.ino !== first.ino || now.size !== first.size || now.mtimeMs !== first.mtimeMs) {
      throw new AmalgamError('invalid_graph', `${name} was changed after the model was read`);
    }
    if (offset + length > now.size) throw new AmalgamError('invalid_graph', `${name} has only ${now.size} bytes`);
    const bytes = new Uint8Array(length);
    for (let filled = 0; filled < length; ) {
      const { bytesRead } = await file.read(bytes, filled, Math.min(length - filled, READ_AT_ONCE), offset + filled);
      if (bytesRead === 0) throw new AmalgamError('invalid_graph', `${name} ended while it was read`);
      filled += bytesRead;
    }
    return bytes;
  }

  return {
    name,
    size: async () => first.size,
    read: async (offset, length) => {
      const file = await open(path, 'r').catch((error) => {
        throw fileError(name, error);
      });
      try {
        return await readFrom(file, offset, length);
      } catch (error) {
        throw fileError(name, error);
      } finally {
        await file.close();
      }
    },
  };
}
