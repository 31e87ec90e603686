import { AmalgamError, dtypeBytes } from '@amalgam/contracts';
import { defaultThreads } from '@amalgam/kernels';
import { BLOCK, type MergeMethod, type Settings } from '@amalgam/methods';
import { rankedBytes } from './ranked-rows.js';
import { keptRows, rowBytes } from './row-shares.js';
import { areRanked, rowRules } from './rows.js';
import { dtypeOf, picksIn, type RowPicks, type Source } from './source.js';
import { computedBytes, sourcesOf } from './source-reader.js';
import type { CopiedTensor, MergedTensor, PlanOptions } from './types.js';
import { BASE_BYTES } from './vector-layout.js';

export const DEFAULT_MEMORY_BYTES = 512_000_000;

/** What the process itself takes, and what each thread does besides its buffers (measured: Node's heap, code and stacks). */
const PROCESS_BYTES = 200_000_000;
const THREAD_BYTES = 30_000_000;

/** Larger chunks are no faster (measured); smaller ones cost more calls of the system. */
const LARGEST_CHUNK = 2 ** 18;

/** Threads are given up before chunks become smaller than this. */
const SMALL_CHUNK = 2 ** 15;

/** For the histograms and lists of a threshold search, all models and units together. */
export const HISTOGRAM_BYTES = 48_000_000;

/** Buffers that a thread needs for chunks of the given length. */
export function threadBuffers(chunkElements: number, bytesPerElement: number, models: number): number {
  return chunkElements * bytesPerElement + (models + 2) * BLOCK * 4;
}

/** Entries that differ in the last index only are a row; a scalar is a row of one. */
export function rowLength(shape: readonly number[]): number {
  return shape.at(-1) ?? 1;
}

/**
 * Chooses the chunk that fits into the memory bound, and the threads where their number is left open: one for each core, or as
 * many as fit. For tuned methods the task vectors of a chunk, in float32 at most, must have room beside what they are made of.
 * For methods that look at whole rows, these must. What re-indexed embeddings take of memory counts once for all threads.
 *
 * @throws AmalgamError `memory_limit` when not even the smallest chunk fits; it says what would.
 */
export function planMemory(
  merged: MergedTensor[],
  copied: CopiedTensor[],
  method: MergeMethod,
  settings: Settings[],
  options: PlanOptions,
): { chunkElements: number; threads: number; memoryBytes: number } {
  let threads = options.threads ?? defaultThreads();
  const limit = options.memoryBytes ?? DEFAULT_MEMORY_BYTES;
  const models = merged.reduce((most, tensor) => Math.max(most, tensor.models.length), 0);
  const width = merged.reduce(
    (most, { base, models, dtype }) => Math.max(most, widthOf(base, models, dtype, method.tuned !== undefined)),
    0,
  );
  const rules = rowRules(method, settings);
  const seen = merged.filter((tensor) => rules[tensor.settings] !== null);
  const byRow = seen.length > 0;
  const longest = byRow ? seen.reduce((most, { shape }) => Math.max(most, rowLength(shape)), 1) : 0;
  const known = method.keepsRows
    ? seen.reduce((sum, { shape, elements }) => sum + 8 * keptRows(rowLength(shape), elements), 0)
    : 0;
  const ranked = areRanked(rules) ? rankedBytes(longest, width, models) : null;
  const rows = (chunk: number) => (byRow ? (ranked ?? rowBytes(chunk, longest, width, models)) : 0);
  const computed = computedBytes([
    ...merged.map(sourcesOf<Source>),
    ...copied.map(({ from }) => ({ sources: [from] })),
  ]);
  const picks = pickBytes([
    ...merged.flatMap((tensor) => sourcesOf<Source>(tensor).sources),
    ...copied.map(({ from }) => from),
  ]);
  const each = (chunk: number) => THREAD_BYTES + threadBuffers(chunk, width, models) + rows(chunk) + computed;
  const total = (chunk: number) => PROCESS_BYTES + HISTOGRAM_BYTES + picks + known + threads * each(chunk);
  // A row that spans several chunks is read for each of them.
  const smallest = Math.max(BLOCK, 2 ** Math.ceil(Math.log2(Math.max(1, longest))));

  let chunkElements = options.chunkElements ?? Math.max(LARGEST_CHUNK, smallest);
  if (!Number.isInteger(Math.log2(chunkElements)) || chunkElements < BLOCK) {
    throw new RangeError(`chunkElements must be a power of two of at least ${BLOCK}, not ${chunkElements}`);
  }
  if (options.threads === undefined) {
    while (threads > 1 && total(Math.min(chunkElements, Math.max(SMALL_CHUNK, smallest))) > limit) threads--;
  }
  while (total(chunkElements) > limit && chunkElements > smallest) chunkElements /= 2;
  if (total(chunkElements) > limit) {
    throw new AmalgamError(
      'memory_limit',
      `merging ${models} models on ${threads} threads takes ${megabytes(total(chunkElements))} MB, but the limit is ` +
        `${megabytes(limit)} MB${byRow ? `; ${method.name} looks at whole rows, of up to ${longest} entries here` : ''}`,
    );
  }
  return { chunkElements, threads, memoryBytes: total(chunkElements) };
}

/** Lists of rows, a number or more for each token: once in the plan, and once where all threads see them. */
function pickBytes(sources: readonly Source[]): number {
  const lists = new Set(sources.flatMap((source): RowPicks[] => picksIn(source)));
  return [...lists].reduce((sum, { starts, begins, inputs, firstRows }) => {
    return sum + 2 * (starts.byteLength + begins.byteLength + inputs.byteLength + firstRows.byteLength);
  }, 0);
}

function widthOf(
  base: MergedTensor['base'],
  models: MergedTensor['models'],
  out: MergedTensor['dtype'],
  isTuned: boolean,
): number {
  const inputs = models.reduce((sum, source) => sum + dtypeBytes(dtypeOf(source)), 0);
  const vectors = isTuned ? BASE_BYTES + models.length * dtypeBytes('F32') : 0;
  return inputs + (base === null ? 0 : dtypeBytes(dtypeOf(base))) + Math.max(dtypeBytes(out), vectors);
}

function megabytes(bytes: number): number {
  return Math.ceil(bytes / 1e6);
}
