import { AmalgamError, quote } from '@amalgam/contracts';
import { defaultThreads } from '@amalgam/kernels';
import type { AdapterPlan, AdapterPlanOptions, PlannedModule, RangeOptions } from '../plan.js';
import { chunkRows, matrixOf, padded, rangeWidth } from './job.js';

const DEFAULT_MEMORY = 512e6;
/** Of a thread that has loaded its modules, with the buffers that every thread has. */
const THREAD_BYTES = 32 * 2 ** 20;
/** Of the process without threads. */
const PROCESS_BYTES = 96 * 2 ** 20;

/**
 * As many threads as the bound has room for, and what is left for each of them to keep tensors in.
 *
 * @throws AmalgamError `memory_limit` naming the module that takes most
 */
export function planMemory(
  modules: readonly PlannedModule[],
  range: RangeOptions,
  options: AdapterPlanOptions,
): Pick<AdapterPlan, 'threads' | 'cacheBytes' | 'memoryBytes'> {
  const bound = options.memoryBytes ?? DEFAULT_MEMORY;
  let most = 0;
  let largest = 0;
  let hungriest = '';
  for (const module of modules) {
    const bytes = workBytes(module, range);
    if (bytes > most) [most, hungriest] = [bytes, module.module];
    if (module.work.kind === 'extract') largest = Math.max(largest, 4 * module.work.model.elements);
  }
  most += THREAD_BYTES;
  const room = bound - PROCESS_BYTES;
  const threads = Math.min(options.threads ?? defaultThreads(), Math.max(1, modules.length), Math.floor(room / most));
  if (threads < 1) {
    const needed = Math.ceil((PROCESS_BYTES + most) / 1e6);
    throw new AmalgamError(
      'memory_limit',
      `the memory limit of ${Math.floor(bound / 1e6)} MB is too small: ${quote(hungriest)} takes ${needed} MB`,
    );
  }
  const cacheBytes = Math.min(largest, Math.floor(room / threads) - most);
  return { threads, cacheBytes, memoryBytes: PROCESS_BYTES + threads * (most + cacheBytes) };
}

/** What the work on a module holds at its peak, in bytes; without what extraction keeps of a tensor to read it once. */
function workBytes(module: PlannedModule, range: RangeOptions): number {
  const { inner, outer, rank, work } = module;
  const sides = inner + outer;
  if (work.kind !== 'extract') {
    const ranks = work.terms.reduce((sum, term) => sum + term.rank, 0);
    // Factors as read and as written; for truncation also in float64, as given and as cut, and the small matrices.
    const factors = sides * 4 * (ranks + rank);
    return work.kind === 'truncate' ? factors + sides * 8 * (ranks + rank) + 40 * ranks * ranks : factors;
  }
  const { rows, columns } = matrixOf(module, work.transposed);
  const width = rangeWidth(module, range);
  const chunk = chunkRows(rows, columns);
  const vectors = sides * (8 * width + 12 * rank) + 40 * width * width;
  return vectors + 4 * (columns * padded(width) + chunk * (2 * columns + padded(width)));
}
