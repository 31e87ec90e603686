import { type Dtype, dtypeBytes } from '@amalgam/contracts';

/**
 * Elements of a tensor: the product of its dimensions, 1 for a scalar (no dimensions). Null when the product
 * leaves the safe integers (2^53 - 1), multiplying from the left as the Rust crate does.
 */
export function elementsOf(shape: readonly number[]): number | null {
  let elements = 1;
  for (const size of shape) {
    elements *= size;
    if (!Number.isSafeInteger(elements)) return null;
  }
  return elements;
}

/** Bytes of `elements` elements, or null when that leaves the safe integers. */
export function bytesOf(dtype: Dtype, elements: number): number | null {
  const bytes = elements * dtypeBytes(dtype);
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** A dimension: an integer from 0 to 2^53 - 1. */
export function isDimension(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
