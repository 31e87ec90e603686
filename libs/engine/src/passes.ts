import type { Kernels, Pointer } from '@amalgam/kernels';
import { BLOCK, type Found, type MergeMethod, type Settings, type Sums } from '@amalgam/methods';
import type { Band, Span } from './job.js';
import type { MaskWriter, SpanMasks } from './mask-writer.js';
import type { Scene } from './scan.js';
import type { ReadBlock } from './span-reader.js';
import { addColumns } from './surveys.js';

export interface PassScene extends Scene {
  maskWriter: MaskWriter;
  method: MergeMethod;
  settingsOf(tensor: number): Settings;
  /** Sets to 0 what is not kept of a block's task vectors. */
  sparsify(tensor: number, block: ReadBlock, bands: Band[] | null): void;
}

/** What a thread does besides searching and merging: passes over the inputs that measure, and that write masks. */
export class Passes {
  readonly #scene: PassScene;
  /** A block of zeros: the base of a method whose merged task vector is wanted. Nothing is ever written to it. */
  readonly zeros: Pointer;
  readonly #sum: Pointer;

  constructor(scene: PassScene) {
    this.#scene = scene;
    this.zeros = scene.kernels.allocate(BLOCK * 4);
    this.#sum = scene.kernels.allocate(BLOCK * 4);
  }

  /** By chunk: what a survey sums up, of the inputs and of what is kept of them. */
  sums(span: Span, { measure, measureKept }: Sums, found: Found[], bands: Band[] | null): number[][] {
    return this.#measure(span, (read) => {
      const block = this.#scene.toBlock(read, found);
      const own = measure(block);
      if (measureKept === undefined) return own;
      this.#scene.sparsify(span.tensor, read, bands);
      return [...own, ...measureKept(block)];
    });
  }

  /** By chunk: Σ |Σ τᵢ| of the inputs, and Σ |τ| of what the method adds to the base. Weights must be set. */
  lengths(span: Span, found: Found[], bands: Band[] | null): number[][] {
    const { kernels, method, settingsOf, sparsify, toBlock } = this.#scene;
    const settings = settingsOf(span.tensor);
    return this.#measure(span, (read) => {
      const whole = this.#sumMagnitudes(kernels, read);
      sparsify(span.tensor, read, bands);
      const block = { ...toBlock(read, found), base: this.zeros };
      method.resolve?.(block, settings);
      method.combine(block, settings);
      return [whole, kernels.ops.sumMagnitudes(block.out, read.n)];
    });
  }

  /** Writes the masks of some models. */
  masks(span: Span, masks: SpanMasks, found: Found[]): null {
    const { reader, maskWriter, method, settingsOf, toBlock, advance } = this.#scene;
    reader.forEachChunk(span, 'all', (chunk) => {
      chunk.forEachBlock((read) => {
        method.masks!.select(toBlock(read, found), settingsOf(span.tensor));
        maskWriter.pack(span, masks, read, chunk.start);
      });
      advance(chunk.bytesRead + maskWriter.write(masks, chunk.start, chunk.count));
    });
    return null;
  }

  /** Sums of a span's blocks, chunk by chunk, over a fixed tree. */
  #measure(span: Span, measure: (block: ReadBlock) => number[]): number[][] {
    const { reader, advance } = this.#scene;
    const chunks: number[][] = [];
    reader.forEachChunk(span, 'all', (chunk) => {
      const leaves: number[][] = [];
      chunk.forEachBlock((block) => leaves.push(measure(block)));
      chunks.push(addColumns(leaves));
      advance(chunk.bytesRead);
    });
    return chunks;
  }

  #sumMagnitudes({ ops }: Kernels, block: ReadBlock): number {
    ops.scale(block.at(0), 1, this.#sum, block.n);
    for (let model = 1; model < block.count; model++) ops.accumulate(block.at(model), 1, this.#sum, block.n);
    return ops.sumMagnitudes(this.#sum, block.n);
  }
}
