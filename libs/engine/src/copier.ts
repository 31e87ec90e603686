import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { dtypeBytes } from '@amalgam/contracts';
import type { Pointer } from '@amalgam/kernels';
import type { Files } from './files.js';
import type { Task } from './job.js';
import type { Scene } from './scan.js';

const BUFFER_BYTES = 1 << 20;
/** Elements of a computed tensor that are made at a time; of the widest dtype they fill the buffer. */
const MADE = BUFFER_BYTES / 8;

type CopyTask = Extract<Task, { kind: 'copy' }>;
type MakeTask = Extract<Task, { kind: 'make' }>;

/** What a thread does with bytes that are not merged. */
export class Copier {
  readonly #scene: Scene & { files: Files };
  #buffer: Pointer | undefined;
  #made: Pointer | undefined;

  constructor(scene: Scene & { files: Files }) {
    this.#scene = scene;
  }

  /** Copies bytes as they are. */
  copy(output: string, { input, from, to, bytes: total }: CopyTask['pieces'][number]): void {
    const { files, advance } = this.#scene;
    for (let done = 0; done < total; done += BUFFER_BYTES) {
      const bytes = this.#bytes(Math.min(BUFFER_BYTES, total - done));
      files.read(input, bytes, from + done);
      files.write(output, bytes, to + done);
      advance(2 * bytes.length);
    }
  }

  /** Writes what is computed, rounded once. */
  make({ output, copy, from, to, dtype, begin }: MakeTask): void {
    const { job, kernels, reader, files, advance } = this.#scene;
    const width = dtypeBytes(dtype);
    this.#made ??= kernels.allocate(MADE * 4);
    for (let at = from; at < to; at += MADE) {
      const n = Math.min(MADE, to - at);
      reader.sources.read(job.tensors.length + copy, job.copies[copy]!, at, at + n, this.#made);
      const bytes = this.#bytes(n * width);
      kernels.narrow(dtype, this.#made, bytes.byteOffset, n);
      files.write(output, bytes, begin + at * width);
      advance(2 * bytes.length);
    }
  }

  /** SHA-256 of a file. */
  digest(path: string): string {
    const hash = createHash('sha256');
    const bytes = this.#bytes(BUFFER_BYTES);
    const fd = this.#scene.files.openForReading(path);
    for (let position = 0; ; ) {
      const length = readSync(fd, bytes, 0, bytes.length, position);
      if (length === 0) return hash.digest('hex');
      hash.update(bytes.subarray(0, length));
      position += length;
      this.#scene.advance(0);
    }
  }

  #bytes(length: number): Uint8Array {
    this.#buffer ??= this.#scene.kernels.allocate(BUFFER_BYTES);
    return this.#scene.kernels.bytes(this.#buffer, length);
  }
}
