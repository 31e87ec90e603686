import { readdir, stat } from 'node:fs/promises';
import { type AssetKind, isAmalgamError } from '@amalgam/contracts';
import { fileSource, readHeader } from '@amalgam/tensors';

/**
 * What a path of this machine most likely is. A file: `.onnx` is a graph and `.npz` a dataset; a `.safetensors` file is a
 * dataset when all its tensors have the same first dimension and none has a dot in its name, as weights of modules
 * have. A folder with a .safetensors file is a checkpoint, else it is what its .onnx or .npz file is. What is none of
 * these is opened as a checkpoint, which says what is wrong with it.
 */
export async function guessKind(path: string): Promise<AssetKind> {
  const info = await stat(path).catch(() => null);
  if (info?.isDirectory()) {
    const names = await readdir(path);
    const has = (suffix: string) => names.some((name) => name.endsWith(suffix));
    if (has('.safetensors')) return 'checkpoint';
    return has('.onnx') ? 'graph' : has('.npz') ? 'dataset' : 'checkpoint';
  }
  if (path.endsWith('.onnx')) return 'graph';
  if (path.endsWith('.npz')) return 'dataset';
  return info !== null && path.endsWith('.safetensors') && (await holdsSamples(path)) ? 'dataset' : 'checkpoint';
}

async function holdsSamples(path: string): Promise<boolean> {
  const source = fileSource(path);
  try {
    const { tensors } = await readHeader(source);
    const rows = tensors[0]?.shape[0];
    return rows !== undefined && tensors.every(({ name, shape }) => shape[0] === rows && !name.includes('.'));
  } catch (error) {
    if (isAmalgamError(error)) return false;
    throw error;
  } finally {
    await source.close();
  }
}
