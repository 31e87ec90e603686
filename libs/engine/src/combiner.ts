import { AmalgamError, dtypeBytes, quote } from '@amalgam/contracts';
import type { Kernels, Pointer } from '@amalgam/kernels';
import { BLOCK, type Block, type Found, type MergeMethod, NUMBERS } from '@amalgam/methods';
import { blendScopes } from './blends.js';
import { ColumnShares } from './columns.js';
import type { Files } from './files.js';
import type { Band, Job, Span, SpanStatistics } from './job.js';
import { sparsifyByTensor } from './job-settings.js';
import type { MaskWriter, SpanMasks } from './mask-writer.js';
import type { Chunk, ReadBlock, SpanReader } from './span-reader.js';
import { Sparsifier } from './sparsify.js';
import { BASE_BYTES, type VectorDtype, type VectorPlace } from './vector-layout.js';

/** Keys from which on float32 rounds to infinity. */
const OVERFLOW: Record<VectorDtype, number> = { F32: 0x7f800000, F16: 0x477ff000, BF16: 0x7f7f8000 };
const INFINITY_KEY = 0x7f800000;

interface CombinerOptions {
  job: Job;
  kernels: Kernels;
  files: Files;
  method: MergeMethod;
  reader: SpanReader;
  maskWriter: MaskWriter;
  /** Called once a chunk. */
  advance(bytes: number): void;
}

/** What a thread does where the method itself is at work: merges spans, or writes the task vectors that it would merge. */
export class Combiner {
  readonly #scene: CombinerOptions;
  readonly #sparsifier: Sparsifier | null;
  /** By settings, then model. */
  readonly #ownWeights: number[][];
  readonly #scopes: ReturnType<typeof blendScopes>;
  readonly #columnShares: ColumnShares | null;
  /** For the span at hand, where its columns have coefficients of their own: by model, then column. */
  #columnBlend: { tensor: number; coefficients: Float32Array } | null = null;
  readonly #weights: Pointer;
  readonly #numbers: Pointer;
  readonly #out: Pointer;

  constructor(scene: CombinerOptions) {
    const { job, kernels, method } = scene;
    this.#scene = scene;
    const sparsify = sparsifyByTensor(job);
    this.#sparsifier = sparsify.every((own) => own === null) ? null : new Sparsifier(job, kernels, sparsify);
    this.#ownWeights = job.settings.map(({ models }) => models.map((model) => Number(model['weight'] ?? 1)));
    this.#scopes = blendScopes(method, job.settings);
    this.#columnShares = this.#scopes.includes('column') ? new ColumnShares(kernels, job.models) : null;
    this.#weights = kernels.allocate(job.models * 4);
    this.#numbers = kernels.allocate(job.models * NUMBERS * 4);
    this.#out = kernels.allocate(BLOCK * 4);
  }

  /** A block as methods see it. */
  toBlock(read: ReadBlock, found: Found[]): Block {
    const { job, kernels } = this.#scene;
    const { n, index, base, models, stride, count } = read;
    let { shares, sharesStride } = read;
    if (this.#columnBlend !== null && this.#columnShares !== null) {
      const { tensor, coefficients } = this.#columnBlend;
      shares = this.#columnShares.fill(job.tensors[tensor]!, coefficients, read);
      sharesStride = this.#columnShares.stride;
    }
    // No spread: for each of a model's hundreds of thousands of blocks it costs more than the rest.
    return {
      kernels,
      n,
      index,
      base,
      models,
      stride,
      count,
      weights: this.#weights,
      numbers: this.#numbers,
      out: this.#out,
      found,
      shares,
      sharesStride,
    };
  }

  /** Sets to 0 what is not kept of a block's task vectors. */
  sparsify(tensor: number, block: ReadBlock, bands: Band[] | null): void {
    for (let model = 0; model < block.count; model++) {
      this.#sparsifier?.apply(tensor, block, model, bands?.[model] ?? null);
    }
  }

  /** Puts the models' factors where a block has them: weights of the recipe, learned coefficients, or what was measured. */
  setWeights({ tensor }: Span, blend: number[] | undefined): void {
    const { job, kernels } = this.#scene;
    const { settings } = job.tensors[tensor]!;
    const isByColumn = blend !== undefined && this.#scopes[settings] === 'column';
    this.#columnBlend = isByColumn ? { tensor, coefficients: Float32Array.from(blend) } : null;
    if (isByColumn) return;
    const row = blend ?? job.coefficients?.[tensor] ?? this.#ownWeights[settings]!;
    kernels.floats(this.#weights, job.models).set(row);
  }

  /**
   * Merges a span and writes it. `modified`: the factor of what the method adds to the base, and a block of zeros. `masks`: those to write
   * with it; of what a method selects for its masks it makes the same result.
   */
  merge(
    span: Span,
    output: string,
    bands: Band[] | null,
    found: Found[],
    modified: { factor: number; zeros: Pointer } | null,
    masks: SpanMasks | null,
  ): SpanStatistics {
    const { job, kernels, files, maskWriter, method } = this.#scene;
    const out = this.#out;
    const tensor = job.tensors[span.tensor]!;
    const settings = job.settings[tensor.settings]!;
    const area = { from: 0, width: dtypeBytes(tensor.dtype) };
    return this.#stream(
      span,
      bands,
      found,
      (block, read, chunk) => {
        if (masks !== null) {
          method.masks!.select(block, settings);
          maskWriter.pack(span, masks, read, chunk.start);
        }
        const conflicts = method.combine(modified === null ? block : { ...block, base: modified.zeros }, settings);
        if (modified !== null) kernels.ops.addScaled(block.base!, out, modified.factor, out, block.n);
        kernels.narrow(tensor.dtype, out, chunk.outAt(read, area), block.n);
        return conflicts;
      },
      (chunk) => {
        const bytes = chunk.outBytes(area);
        files.write(output, bytes, tensor.begin + chunk.start * area.width);
        return bytes.length + (masks === null ? 0 : maskWriter.write(masks, chunk.start, chunk.count));
      },
    );
  }

  /** Writes a span's base and task vectors. Errors: `invalid_recipe` when a finite entry would become infinite in `dtype`. */
  writeVectors(
    span: Span,
    { output, dtype }: { output: string; dtype: VectorDtype },
    bands: Band[] | null,
    place: VectorPlace,
  ): SpanStatistics {
    const { job, kernels, files } = this.#scene;
    const { name, elements, models } = job.tensors[span.tensor]!;
    const width = dtypeBytes(dtype);
    const baseArea = { from: 0, width: BASE_BYTES };
    const areas = models.map((_, model) => ({ from: BASE_BYTES + model * width, width }));
    const countFrom = (key: number, data: number, n: number) =>
      kernels.ops.countMagnitudes(data, n, key, key, 0, 0, -1);
    return this.#stream(
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

  /**
   * Streams a span as the method combines it: sparsified and resolved. `useBlock` returns how many more entries have survivors of
   * both signs, `finishChunk` how many bytes it wrote.
   */
  #stream(
    span: Span,
    bands: Band[] | null,
    found: Found[],
    useBlock: (block: Block, read: ReadBlock, chunk: Chunk) => number,
    finishChunk: (chunk: Chunk) => number,
  ): SpanStatistics {
    const { job, kernels, method, reader, advance } = this.#scene;
    const sparsifier = this.#sparsifier;
    const { models, overVectors, settings } = job.tensors[span.tensor]!;
    const own = job.settings[settings]!;
    const statistics: SpanStatistics = { squares: [], kept: models.map(() => 0), conflicts: 0 };
    reader.forEachChunk(span, 'all', (chunk) => {
      const leaves = models.map((): number[] => []);
      chunk.forEachBlock((read) => {
        for (let model = 0; model < read.count; model++) {
          if (sparsifier === null) {
            if (overVectors) leaves[model]!.push(kernels.ops.sumSquares(read.at(model), read.n));
            continue;
          }
          const { squares, kept } = sparsifier.apply(span.tensor, read, model, bands?.[model] ?? null);
          if (overVectors) leaves[model]!.push(squares);
          statistics.kept[model]! += kept;
        }
        const block = this.toBlock(read, found);
        statistics.conflicts += method.resolve?.(block, own) ?? 0;
        statistics.conflicts += useBlock(block, read, chunk);
      });
      if (overVectors) statistics.squares.push(leaves.map((list) => reader.reduce(list)));
      advance(chunk.bytesRead + finishChunk(chunk));
    });
    return statistics;
  }
}
