import type { Kernels, Pointer } from '@amalgam/kernels';
import type { Files } from './files.js';
import type { Job, MaskOutput, Span } from './job.js';
import { maskBytes } from './layout.js';
import type { ReadBlock } from './span-reader.js';

/** Where the masks of a span go: the outputs, and of each where the tensor's mask begins. */
export interface SpanMasks {
  outputs: MaskOutput[];
  begins: number[];
}

/** Packs a chunk's masks, block by block, and writes them. Chunks are multiples of eight entries, so no byte has two writers. */
export class MaskWriter {
  readonly #job: Job;
  readonly #kernels: Kernels;
  readonly #files: Files;
  /** A chunk's masks, one behind the other. */
  #bits: Pointer | undefined;

  constructor({ job, kernels, files }: { job: Job; kernels: Kernels; files: Files }) {
    this.#job = job;
    this.#kernels = kernels;
    this.#files = files;
  }

  /** What is not 0 of a block's task vectors. `start`: index of the chunk's first entry. */
  pack({ tensor }: Span, { outputs }: SpanMasks, read: ReadBlock, start: number): void {
    const { columns } = this.#job.tensors[tensor]!;
    outputs.forEach(({ model }, i) => {
      const bits = this.#at(i) + (read.index - start) / 8;
      this.#kernels.ops.packNonzero(read.at(columns.indexOf(model)), bits, read.n);
    });
  }

  /** Writes the masks of the chunk that was packed. Returns how many bytes. */
  write({ outputs, begins }: SpanMasks, start: number, count: number): number {
    const bytes = maskBytes(count);
    outputs.forEach(({ path }, i) => {
      this.#files.write(path, this.#kernels.bytes(this.#at(i), bytes), begins[i]! + start / 8);
    });
    return bytes * outputs.length;
  }

  #at(output: number): Pointer {
    const room = this.#job.chunkElements / 8;
    this.#bits ??= this.#kernels.allocate(room * this.#job.models);
    return this.#bits + output * room;
  }
}
