import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';

/** A thread's open files. They are opened when first used. */
export class Files {
  readonly #inputs: string[];
  readonly #readers = new Map<string, number>();
  readonly #writers = new Map<string, number>();

  constructor(inputs: string[]) {
    this.#inputs = inputs;
  }

  openForReading(path: string): number {
    return open(this.#readers, path, 'r');
  }

  close(): void {
    for (const opened of [this.#readers, this.#writers]) {
      for (const fd of opened.values()) closeSync(fd);
      opened.clear();
    }
  }

  /**
   * Fills `bytes` from an input file.
   *
   * @throws AmalgamError `checkpoint_changed` when the file has become shorter than its header said.
   */
  read(input: number, bytes: Uint8Array, position: number): void {
    const path = this.#inputs[input]!;
    const fd = this.openForReading(path);
    for (let done = 0; done < bytes.length; ) {
      const length = readSync(fd, bytes, done, bytes.length - done, position + done);
      if (length === 0) {
        throw new AmalgamError(
          'checkpoint_changed',
          `${basename(path)} has no byte ${position + done}, which a tensor lies on: it became shorter after it was checked`,
        );
      }
      done += length;
    }
  }

  write(path: string, bytes: Uint8Array, position: number): void {
    const fd = open(this.#writers, path, 'r+');
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}

function open(opened: Map<string, number>, path: string, flags: string): number {
  let fd = opened.get(path);
  if (fd === undefined) {
    fd = openSync(path, flags);
    opened.set(path, fd);
  }
  return fd;
}
