import { workerData } from 'node:worker_threads';
import { AmalgamError, dtypeBytes, quote, toPlain } from '@amalgam/contracts';
import { Kernels } from '@amalgam/kernels';
import {
  BLOCK,
  type Block,
  type Found,
  getMethod,
  type Ranking,
  type Settings,
  type Sums,
  type Survey,
} from '@amalgam/methods';
import { blendScopes, pairsOf } from './blends.js';
import { ColumnProducts, ColumnShares } from './columns.js';
import { Copier } from './copier.js';
import { Files } from './files.js';
import type { Band, Job, Result, Span, SpanStatistics, Task } from './job.js';
import { sparsifyByTensor } from './job-settings.js';
import { Passes } from './passes.js';
import { rowRulesByTensor } from './rows.js';
import { Scanner } from './scan.js';
import { type Chunk, type ReadBlock, SpanReader } from './span-reader.js';
import { Sparsifier } from './sparsify.js';
import { surveysOf } from './surveys.js';
import { BASE_BYTES, type VectorDtype, type VectorPlace } from './vector-layout.js';

/** One thread of a merge: runs tasks one at a time, with buffers that are laid out once. */

const job = workerData as Job;
const kernels = new Kernels();
const { ops } = kernels;
const files = new Files(job.inputs);
const method = getMethod(job.method);
const sparsify = sparsifyByTensor(job);
const reader = new SpanReader(job, kernels, files, rowRulesByTensor(job, method));
const sparsifier = sparsify.every((own) => own === null) ? null : new Sparsifier(job, kernels, sparsify);
/** By settings, then model. */
const ownWeights = job.settings.map(({ models }) => models.map((model) => Number(model['weight'] ?? 1)));
const scopes = blendScopes(method, job.settings);
const columnShares = scopes.includes('column') ? new ColumnShares(kernels, job.models) : null;
/** For the span at hand, where its columns have coefficients of their own: by model, then column. */
let columnBlend: { tensor: number; coefficients: Float32Array } | null = null;
const weights = kernels.allocate(job.models * 4);
const out = kernels.allocate(BLOCK * 4);
const progress = new BigUint64Array(job.progress);
const stop = new Int32Array(job.stop);

const scene = { job, kernels, files, method, reader, rankingOf, settingsOf, toBlock, sparsify: keepOnly, advance };
const scanner = new Scanner(scene);
const passes = new Passes(scene);
const copier = new Copier(scene);

function settingsOf(tensor: number): Settings {
  return job.settings[job.tensors[tensor]!.settings]!;
}

function surveyAt(index: number, tensor: number): Survey {
  return surveysOf(job.method, settingsOf(tensor))[index]!;
}

function rankingOf(index: number, tensor: number): Ranking {
  return surveyAt(index, tensor) as Ranking;
}

function toBlock(read: ReadBlock, found: Found[]): Block {
  const { n, index, base, models, stride, count } = read;
  let { shares, sharesStride } = read;
  if (columnBlend !== null && columnShares !== null) {
    shares = columnShares.fill(job.tensors[columnBlend.tensor]!, columnBlend.coefficients, read);
    sharesStride = columnShares.stride;
  }
  return { kernels, n, index, base, models, stride, count, weights, out, found, shares, sharesStride };
}

function keepOnly(tensor: number, block: ReadBlock, bands: Band[] | null): void {
  for (let model = 0; model < block.count; model++) sparsifier?.apply(tensor, block, model, bands?.[model] ?? null);
}

/** Puts the models' factors where a block has them: weights of the recipe, learned coefficients, or what was measured. */
function setWeights({ tensor }: Span, blend: number[] | undefined): void {
  const isByColumn = blend !== undefined && scopes[job.tensors[tensor]!.settings] === 'column';
  columnBlend = isByColumn ? { tensor, coefficients: Float32Array.from(blend) } : null;
  if (isByColumn) return;
  const row = blend ?? job.coefficients?.[tensor] ?? ownWeights[job.tensors[tensor]!.settings]!;
  kernels.floats(weights, job.models).set(row);
}

export default async function run(task: Task): Promise<Result<unknown>> {
  try {
    return { ok: true, value: perform(task) };
  } catch (error) {
    return { ok: false, error: toPlain(error) };
  }
}

function perform(task: Task): unknown {
  switch (task.kind) {
    case 'scan':
      return scanner.scan(task.spans, task.windows, task.naming, task.survey);
    case 'locate':
      return scanner.locate(task.spans, task.model, task.naming, task.key, task.nth, task.survey);
    case 'sums':
      return task.spans.map((span, i) => {
        const survey = surveyAt(task.survey.index, span.tensor) as Sums;
        return passes.sums(span, survey, task.survey.found[i]!, task.bands?.[i] ?? null);
      });
    case 'lengths':
      return task.spans.map((span, i) => {
        setWeights(span, task.blends?.[i]);
        return passes.lengths(span, task.found?.[i] ?? [], task.bands?.[i] ?? null);
      });
    case 'masks':
      for (const [i, span] of task.spans.entries()) passes.masks(span, task.outputs, task.begins[i]!, task.found[i]!);
      return null;
    case 'merge':
      return task.spans.map((span, i) => {
        setWeights(span, task.blends?.[i]);
        return merge(span, task.output, task.bands?.[i] ?? null, task.found?.[i] ?? [], task.factors?.[i] ?? null);
      });
    case 'products':
      return task.spans.map(products);
    case 'columns':
      return columnProducts(task.span);
    case 'vectors':
      return task.spans.map((span, i) => writeVectors(span, task, task.bands?.[i] ?? null, task.places[i]!));
    case 'copy':
      for (const piece of task.pieces) copier.copy(task.output, piece);
      return null;
    case 'make':
      copier.make(task);
      return null;
    case 'digest':
      return copier.digest(task.path);
  }
}

/** Called once a chunk: a canceled merge stops here. */
function advance(bytes: number): void {
  if (Atomics.load(stop, 0) !== 0) throw new AmalgamError('canceled', 'the merge was canceled');
  Atomics.add(progress, 0, BigInt(bytes));
}

/** By chunk: inner products of the models' inputs, pair by pair as pairsOf lists them. */
function products(span: Span): number[][] {
  const pairs = pairsOf(job.tensors[span.tensor]!.models.length);
  const sums: number[][] = [];
  reader.forEachChunk(span, 'all', (chunk) => {
    const leaves = pairs.map((): number[] => []);
    chunk.forEachBlock((block) => {
      pairs.forEach(([i, j], at) => {
        leaves[at]!.push(ops.dot(block.at(i), block.at(j), block.n));
      });
    });
    sums.push(leaves.map((list) => reader.reduce(list)));
    advance(chunk.bytesRead);
  });
  return sums;
}

/** By pair of models, then column. The span is a whole tensor. */
function columnProducts(span: Span): Float64Array {
  const products = new ColumnProducts(kernels, job.tensors[span.tensor]!);
  reader.forEachChunk(span, 'all', (chunk) => {
    chunk.forEachBlock((block) => products.add(block));
    advance(chunk.bytesRead);
  });
  return products.sums;
}

/**
 * Streams a span as the method combines it: sparsified and resolved. `useBlock` returns how many more entries have survivors of both
 * signs, `finishChunk` how many bytes it wrote.
 */
function stream(
  span: Span,
  bands: Band[] | null,
  found: Found[],
  useBlock: (block: Block, read: ReadBlock, chunk: Chunk) => number,
  finishChunk: (chunk: Chunk) => number,
): SpanStatistics {
  const { models, overVectors, settings } = job.tensors[span.tensor]!;
  const own = job.settings[settings]!;
  const statistics: SpanStatistics = { squares: [], kept: models.map(() => 0), conflicts: 0 };
  reader.forEachChunk(span, 'all', (chunk) => {
    const leaves = models.map((): number[] => []);
    chunk.forEachBlock((read) => {
      for (let model = 0; model < read.count; model++) {
        const data = read.at(model);
        if (overVectors) leaves[model]!.push(ops.sumSquares(data, read.n));
        if (sparsifier !== null) {
          statistics.kept[model]! += sparsifier.apply(span.tensor, read, model, bands?.[model] ?? null);
        }
      }
      const block = toBlock(read, found);
      statistics.conflicts += method.resolve?.(block, own) ?? 0;
      statistics.conflicts += useBlock(block, read, chunk);
    });
    if (overVectors) statistics.squares.push(leaves.map((list) => reader.reduce(list)));
    advance(chunk.bytesRead + finishChunk(chunk));
  });
  return statistics;
}

function merge(
  span: Span,
  output: string,
  bands: Band[] | null,
  found: Found[],
  factor: number | null,
): SpanStatistics {
  const tensor = job.tensors[span.tensor]!;
  const settings = job.settings[tensor.settings]!;
  const area = { from: 0, width: dtypeBytes(tensor.dtype) };
  return stream(
    span,
    bands,
    found,
    (block, read, chunk) => {
      const scaled = factor === null ? block : { ...block, base: passes.zeros };
      const conflicts = method.combine(scaled, settings);
      if (factor !== null) ops.addScaled(block.base!, out, factor, out, block.n);
      kernels.narrow(tensor.dtype, out, chunk.outAt(read, area), block.n);
      return conflicts;
    },
    (chunk) => {
      const bytes = chunk.outBytes(area);
      files.write(output, bytes, tensor.begin + chunk.start * area.width);
      return bytes.length;
    },
  );
}

/** Keys from which on float32 rounds to infinity. */
const OVERFLOW: Record<VectorDtype, number> = { F32: 0x7f800000, F16: 0x477ff000, BF16: 0x7f7f8000 };
const INFINITY_KEY = 0x7f800000;

/** Writes a span's base and task vectors. Errors: `invalid_recipe` when a finite entry would become infinite in `dtype`. */
function writeVectors(
  span: Span,
  { output, dtype }: { output: string; dtype: VectorDtype },
  bands: Band[] | null,
  place: VectorPlace,
): SpanStatistics {
  const { name, elements, models } = job.tensors[span.tensor]!;
  const width = dtypeBytes(dtype);
  const baseArea = { from: 0, width: BASE_BYTES };
  const areas = models.map((_, model) => ({ from: BASE_BYTES + model * width, width }));
  return stream(
    span,
    bands,
    [],
    (block, read, chunk) => {
      kernels.narrow('F32', block.base!, chunk.outAt(read, baseArea), block.n);
      areas.forEach((area, model) => {
        const data = read.at(model);
        if (countFrom(OVERFLOW[dtype], data, block.n) > countFrom(INFINITY_KEY, data, block.n)) {
          const detail = `tensor ${quote(name)}: the task vector of models/${model} has an entry that ${dtype} cannot hold`;
          throw new AmalgamError('invalid_recipe', detail, {
            errors: [{ pointer: '/parameters/task_vector_dtype', detail }],
          });
        }
        kernels.narrow(dtype, data, chunk.outAt(read, area), block.n);
      });
      return 0;
    },
    (chunk) => {
      const base = chunk.outBytes(baseArea);
      files.write(output, base, place.base + chunk.start * BASE_BYTES);
      areas.forEach((area, model) => {
        files.write(output, chunk.outBytes(area), place.vectors + (model * elements + chunk.start) * width);
      });
      return (base.length / BASE_BYTES) * (BASE_BYTES + areas.length * width);
    },
  );
}

/** Entries whose key is `key` or larger. */
function countFrom(key: number, data: number, n: number): number {
  return ops.countMagnitudes(data, n, key, key, 0, 0, -1);
}
