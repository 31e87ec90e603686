import { AmalgamError } from '@amalgam/contracts';
import type { JobThread, Kernels } from '@amalgam/kernels';
import { getMethod, type Ranking, type Settings, type Sums, type Survey } from '@amalgam/methods';
import { pairsOf } from './blends.js';
import { ColumnProducts } from './columns.js';
import { Combiner } from './combiner.js';
import { Copier } from './copier.js';
import { Files } from './files.js';
import type { Job, Span, Task } from './job.js';
import { MaskWriter } from './mask-writer.js';
import { Passes, type PassScene } from './passes.js';
import { rowRulesByTensor } from './rows.js';
import { Scanner } from './scan.js';
import { searchGroup } from './search.js';
import { SpanReader } from './span-reader.js';
import { surveysOf } from './surveys.js';

/** One thread of a merge: runs tasks one at a time, with buffers that are laid out once. */
export class MergeThread implements JobThread<Task> {
  readonly #job: Job;
  readonly #kernels: Kernels;
  readonly #files: Files;
  readonly #reader: SpanReader;
  readonly #combiner: Combiner;
  readonly #scanner: Scanner;
  readonly #passes: Passes;
  readonly #copier: Copier;
  readonly #progress: BigUint64Array;
  readonly #stop: Int32Array;

  constructor(job: Job, kernels: Kernels) {
    this.#job = job;
    this.#kernels = kernels;
    this.#files = new Files(job.inputs);
    this.#progress = new BigUint64Array(job.progress);
    this.#stop = new Int32Array(job.stop);
    const method = getMethod(job.method);
    this.#reader = new SpanReader(job, kernels, this.#files, rowRulesByTensor(job, method));
    const advance = (bytes: number) => this.#advance(bytes);
    const [files, reader] = [this.#files, this.#reader];
    const maskWriter = new MaskWriter({ job, kernels, files });
    this.#combiner = new Combiner({ job, kernels, files, method, reader, maskWriter, advance });
    const scene: PassScene & { files: Files } = {
      job,
      kernels,
      files,
      method,
      reader,
      maskWriter,
      settingsOf: (tensor) => this.#settingsOf(tensor),
      rankingOf: (index, tensor) => this.#surveyAt(index, tensor) as Ranking,
      toBlock: (read, found) => this.#combiner.toBlock(read, found),
      sparsify: (tensor, block, bands) => this.#combiner.sparsify(tensor, block, bands),
      advance,
    };
    this.#scanner = new Scanner(scene);
    this.#passes = new Passes(scene);
    this.#copier = new Copier(scene);
  }

  perform(task: Task): unknown {
    const combiner = this.#combiner;
    switch (task.kind) {
      case 'search': {
        const run = async <T>(part: Task) => this.perform(part) as T;
        return searchGroup(this.#job, task.order, task.group, task.searches, task.bytes, run);
      }
      case 'scan':
        return this.#scanner.scan(task.spans, task.windows, task.naming, task.survey, task.countsNonzero);
      case 'sample':
        return this.#scanner.sample(task.spans, task.elements, task.model, task.ranks, task.naming, task.survey);
      case 'locate':
        return this.#scanner.locate(task.spans, task.model, task.naming, task.key, task.nth, task.survey);
      case 'sums':
        return task.spans.map((span, i) => {
          const survey = this.#surveyAt(task.survey.index, span.tensor) as Sums;
          return this.#passes.sums(span, survey, task.survey.found[i]!, task.bands?.[i] ?? null);
        });
      case 'lengths':
        return task.spans.map((span, i) => {
          combiner.setWeights(span, task.blends?.[i]);
          return this.#passes.lengths(span, task.found?.[i] ?? [], task.bands?.[i] ?? null);
        });
      case 'masks':
        for (const [i, span] of task.spans.entries()) {
          this.#passes.masks(span, { outputs: task.outputs, begins: task.begins[i]! }, task.found[i]!);
        }
        return null;
      case 'merge':
        return task.spans.map((span, i) => {
          combiner.setWeights(span, task.blends?.[i]);
          const factor = task.factors?.[i];
          const modified = factor === undefined ? null : { factor, zeros: this.#passes.zeros };
          const masks = task.masks && { outputs: task.masks.outputs, begins: task.masks.begins[i]! };
          return combiner.merge(span, task.output, task.bands?.[i] ?? null, task.found?.[i] ?? [], modified, masks);
        });
      case 'products':
        return task.spans.map((span) => this.#products(span));
      case 'columns':
        return this.#columnProducts(task.span);
      case 'vectors':
        return task.spans.map((span, i) => combiner.writeVectors(span, task, task.bands?.[i] ?? null, task.places[i]!));
      case 'copy':
        for (const piece of task.pieces) this.#copier.copy(task.output, piece);
        return null;
      case 'make':
        this.#copier.make(task);
        return null;
      case 'digest':
        return this.#copier.digest(task.path);
    }
  }

  close(): void {
    this.#files.close();
  }

  #settingsOf(tensor: number): Settings {
    return this.#job.settings[this.#job.tensors[tensor]!.settings]!;
  }

  #surveyAt(index: number, tensor: number): Survey {
    return surveysOf(this.#job.method, this.#settingsOf(tensor))[index]!;
  }

  /** Called once a chunk: a canceled merge stops here. */
  #advance(bytes: number): void {
    if (Atomics.load(this.#stop, 0) !== 0) throw new AmalgamError('canceled', 'the merge was canceled');
    Atomics.add(this.#progress, 0, BigInt(bytes));
  }

  /** By chunk: inner products of the models' inputs, pair by pair as pairsOf lists them. */
  #products(span: Span): number[][] {
    const { ops } = this.#kernels;
    const pairs = pairsOf(this.#job.tensors[span.tensor]!.models.length);
    const sums: number[][] = [];
    this.#reader.forEachChunk(span, 'all', (chunk) => {
      const leaves = pairs.map((): number[] => []);
      chunk.forEachBlock((block) => {
        pairs.forEach(([i, j], at) => {
          leaves[at]!.push(ops.dot(block.at(i), block.at(j), block.n));
        });
      });
      sums.push(leaves.map((list) => this.#reader.reduce(list)));
      this.#advance(chunk.bytesRead);
    });
    return sums;
  }

  /** By pair of models, then column. The span is a whole tensor. */
  #columnProducts(span: Span): Float64Array {
    const products = new ColumnProducts(this.#kernels, this.#job.tensors[span.tensor]!);
    this.#reader.forEachChunk(span, 'all', (chunk) => {
      chunk.forEachBlock((block) => products.add(block));
      this.#advance(chunk.bytesRead);
    });
    return products.sums;
  }
}
