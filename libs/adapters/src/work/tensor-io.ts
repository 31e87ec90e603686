import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { AmalgamError, type Dtype, dtypeBytes } from '@amalgam/contracts';
import type { Kernels, Pointer } from '@amalgam/kernels';
import type { Place } from './job.js';

const PIECE = 2 ** 18;

/** Reads tensors as float32 and writes float32 as any dtype, piece by piece. Files stay open until `close`. */
export class TensorIo {
  readonly #kernels: Kernels;
  readonly #raw: Pointer;
  readonly #floats: Pointer;
  readonly #open = new Map<string, number>();
  readonly #advance: (bytes: number) => void;

  /** `advance` is told the bytes of every piece, and may throw to end the work. */
  constructor(kernels: Kernels, advance: (bytes: number) => void) {
    this.#kernels = kernels;
    this.#raw = kernels.allocate(PIECE * 8);
    this.#floats = kernels.allocate(PIECE * 4);
    this.#advance = advance;
  }

  /** Elements [first, first + into.length) of a tensor. */
  read(place: Place, first: number, into: Float32Array): void {
    const width = dtypeBytes(place.dtype);
    for (let done = 0; done < into.length; done += PIECE) {
      const n = Math.min(PIECE, into.length - done);
      this.#fill(place.path, this.#kernels.bytes(this.#raw, n * width), place.begin + (first + done) * width);
      this.#kernels.widen(place.dtype, this.#raw, this.#floats, n);
      into.set(this.#kernels.floats(this.#floats, n), done);
      this.#advance(n * width);
    }
  }

  /** Between pieces of work that read nothing: a chance to end. */
  pause(): void {
    this.#advance(0);
  }

  readAll(place: Place): Float32Array {
    const values = new Float32Array(place.elements);
    this.read(place, 0, values);
    return values;
  }

  write(path: string, position: number, dtype: Dtype, values: Float32Array): void {
    const width = dtypeBytes(dtype);
    for (let done = 0; done < values.length; done += PIECE) {
      const n = Math.min(PIECE, values.length - done);
      this.#kernels.floats(this.#floats, n).set(values.subarray(done, done + n));
      this.#kernels.narrow(dtype, this.#floats, this.#raw, n);
      this.#put(path, this.#kernels.bytes(this.#raw, n * width), position + done * width);
      this.#advance(n * width);
    }
  }

  copy(task: { path: string; from: number; to: number; bytes: number }, output: string): void {
    for (let done = 0; done < task.bytes; done += PIECE) {
      const bytes = this.#kernels.bytes(this.#raw, Math.min(PIECE, task.bytes - done));
      this.#fill(task.path, bytes, task.from + done);
      this.#put(output, bytes, task.to + done);
      this.#advance(2 * bytes.length);
    }
  }

  digest(path: string): string {
    const hash = createHash('sha256');
    const file = this.#file(path, 'r');
    const bytes = this.#kernels.bytes(this.#raw, PIECE * 8);
    for (let position = 0; ; ) {
      const length = readSync(file, bytes, 0, bytes.length, position);
      if (length === 0) return hash.digest('hex');
      hash.update(bytes.subarray(0, length));
      position += length;
      this.#advance(0);
    }
  }

  close(): void {
    for (const file of this.#open.values()) closeSync(file);
    this.#open.clear();
  }

  #fill(path: string, bytes: Uint8Array, position: number): void {
    const file = this.#file(path, 'r');
    for (let done = 0; done < bytes.length; ) {
      const length = readSync(file, bytes, done, bytes.length - done, position + done);
      if (length === 0) {
        throw new AmalgamError(
          'checkpoint_changed',
          `${basename(path)} has no byte ${position + done}, which a tensor lies on: it became shorter after it was checked`,
        );
      }
      done += length;
    }
  }

  #put(path: string, bytes: Uint8Array, position: number): void {
    const file = this.#file(path, 'r+');
    for (let done = 0; done < bytes.length; )
      done += writeSync(file, bytes, done, bytes.length - done, position + done);
  }

  #file(path: string, flags: 'r' | 'r+'): number {
    const key = `${flags} ${path}`;
    const file = this.#open.get(key) ?? openSync(path, flags);
    this.#open.set(key, file);
    return file;
  }
}
