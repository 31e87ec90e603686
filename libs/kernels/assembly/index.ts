// SIMD kernels. Pointers are byte offsets into this module's memory; `n` counts elements. float32 scratch is always
// 16-byte padded by the caller, raw buffers are not: every kernel handles a tail of n % lanes elements by itself.
// Each export has a plain TypeScript twin in ../src/twins, and a property test holds the two bit-equal.
export * from './convert';
export * from './arithmetic';
export * from './select';
export * from './order';
export * from './choose';
export * from './unify';
export * from './elect';
export * from './random';
export * from './rank';
export * from './band';
export * from './list';
export { countAbove, findPlace } from './place';
export * from './overlap';
export * from './spread';
export * from './product';
export * from './rows';
export * from './balance';
export * from './importance';

/** Where memory is free: before it lie the tables of log. */
export const heapBase: usize = __heap_base;
