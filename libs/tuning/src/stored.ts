import { open } from 'node:fs/promises';
import { AmalgamError, type Dtype, dtypeBytes, quote } from '@amalgam/contracts';

/** A tensor of a checkpoint, in a file on this machine. Plain data: it travels to the process that tunes. */
export interface StoredTensor {
  name: string;
  dtype: Dtype;
  shape: readonly number[];
  path: string;
  /** Absolute offset of its first byte; row-major, little-endian, without gaps. */
  begin: number;
}

/** A checkpoint's tensors by name. */
export interface StoredCheckpoint {
  /** As the recipe or the report calls it; used in messages. */
  name: string;
  tensors: Readonly<Record<string, StoredTensor>>;
}

export function elementsOf({ shape }: Pick<StoredTensor, 'shape'>): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The bytes of a tensor as they lie in the file. Errors: `checkpoint_changed` when the file is shorter. */
export async function readStored(tensor: StoredTensor): Promise<Uint8Array> {
  const length = elementsOf(tensor) * dtypeBytes(tensor.dtype);
  const bytes = new Uint8Array(length);
  const file = await open(tensor.path, 'r');
  try {
    for (let at = 0; at < length; ) {
      const { bytesRead } = await file.read(bytes, at, Math.min(length - at, 2 ** 30), tensor.begin + at);
      if (bytesRead === 0) {
        throw new AmalgamError('checkpoint_changed', `tensor ${quote(tensor.name)}: its file ends too early`);
      }
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
  return bytes;
}
