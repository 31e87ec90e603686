import { dtypeBytes } from '@amalgam/contracts';

/** Dtypes that task vectors are stored in for a tuning. */
export type VectorDtype = 'F32' | 'F16' | 'BF16';

/** Areas begin at multiples of this, so that each can be mapped into memory by itself. */
const PAGE = 4096;

/** Bytes of an element of the base, which is kept in float32. */
export const BASE_BYTES = 4;

/** Offsets of one tensor's areas: its base, and its task vectors one after the other. */
export interface VectorPlace {
  base: number;
  vectors: number;
}

/** Where each tensor's base [N] and task vectors [models, N] lie in the file that a tuning maps. */
export function layOutVectors(
  tensors: { elements: number }[],
  models: number,
  dtype: VectorDtype,
): { places: VectorPlace[]; bytes: number } {
  let end = 0;
  const place = (bytes: number) => {
    const begin = Math.ceil(end / PAGE) * PAGE;
    end = begin + bytes;
    return begin;
  };
  const places = tensors.map(({ elements }) => ({
    base: place(elements * BASE_BYTES),
    vectors: place(elements * models * dtypeBytes(dtype)),
  }));
  return { places, bytes: end };
}
