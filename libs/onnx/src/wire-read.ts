import { AmalgamError } from '@amalgam/contracts';

export const WIRE = { varint: 0, fixed64: 1, bytes: 2, startGroup: 3, endGroup: 4, fixed32: 5 } as const;

const MAX_FIELD = 2 ** 29 - 1;
/** A name or a doc string; V8 holds no string of 512 MiB. */
const MAX_STRING = 2 ** 26;
/** Groups are not nested in any file that a person made; this is protobuf's own limit. */
const MAX_GROUPS = 100;

/**
 * What a file may grow to when it is decoded, by kind of memory. Two bytes make an empty message, which takes
 * a hundred times as much: the bytes of a file alone bound nothing.
 */
export const MAX_HEAP = 2 ** 29;
export const MAX_NUMBERS = 2 ** 32;

// The format's strings are UTF-8; a byte order mark is part of the name.
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * A cursor over protobuf bytes. Every read is checked against the end of the message it is in. Errors:
 * `invalid_graph`, with the file's name, the byte and the rule.
 */
export class WireReader {
  readonly bytes: Uint8Array;
  readonly name: string;
  position = 0;
  /** The end of the message being read. */
  end: number;
  /** The last varint, in halves of 32 bits. */
  #low = 0;
  #high = 0;
  #heap = 0;
  #numbers = 0;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, name: string) {
    // Never a Buffer: what is cut from one is one too, and its `slice` does not copy.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.name = name;
    this.end = bytes.length;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  refuse(rule: string, at: number = this.position): AmalgamError {
    return new AmalgamError('invalid_graph', `${this.name}: not a valid ONNX file: byte ${at}: ${rule}`);
  }

  /** Counts `bytes` of objects and strings. */
  spendHeap(bytes: number): void {
    this.#heap += bytes;
    if (this.#heap > MAX_HEAP) throw this.refuse(`its messages would take more than ${MAX_HEAP} bytes of memory`);
  }

  /** Counts `bytes` of typed arrays, before they are allocated. */
  spendNumbers(bytes: number): void {
    this.#numbers += bytes;
    if (this.#numbers > MAX_NUMBERS) throw this.refuse(`its numbers would take more than ${MAX_NUMBERS} bytes`);
  }

  #varint(): void {
    const start = this.position;
    let low = 0;
    let high = 0;
    for (let shift = 0; ; shift += 7) {
      if (this.position >= this.end) throw this.refuse('a number is cut off', start);
      const byte = this.bytes[this.position++]!;
      const part = byte & 0x7f;
      if (shift === 63 && byte > 1) throw this.refuse('a number has more than 64 bits', start);
      if (shift < 28) low |= part << shift;
      else if (shift === 28) {
        low |= part << 28;
        high = part >>> 4;
      } else high |= part << (shift - 32);
      if (byte < 0x80) break;
    }
    this.#low = low;
    this.#high = high;
  }

  /** A field's number and wire type. */
  tag(): { field: number; wire: number } {
    const start = this.position;
    this.#varint();
    const field = this.#low >>> 3;
    const wire = this.#low & 7;
    if (this.#high !== 0 || field === 0 || field > MAX_FIELD)
      throw this.refuse('a field number is out of range', start);
    if (wire > 5) throw this.refuse(`there is no wire type ${wire}`, start);
    return { field, wire };
  }

  /** As protobuf reads it: the low 32 bits. */
  int32(): number {
    this.#varint();
    return this.#low | 0;
  }

  int64(): bigint {
    this.#varint();
    return BigInt.asIntN(64, (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0));
  }

  uint64(): bigint {
    return BigInt.asUintN(64, this.int64());
  }

  /** A signed 64-bit integer that must be a safe one. */
  size(what: string): number {
    const start = this.position;
    this.#varint();
    const value = (this.#high | 0) * 2 ** 32 + (this.#low >>> 0);
    if (!Number.isSafeInteger(value)) throw this.refuse(`${what} is beyond 2^53`, start);
    return value;
  }

  float(): number {
    return this.#view.getFloat32(this.skip(4), true);
  }

  /** Moves on by `length` bytes and returns where they begin. */
  skip(length: number): number {
    if (length > this.end - this.position) {
      throw this.refuse(`${length} bytes are announced and ${this.end - this.position} are left`);
    }
    const start = this.position;
    this.position += length;
    return start;
  }

  /** The length of what follows; it lies within the message. */
  length(): number {
    const start = this.position;
    this.#varint();
    const left = this.end - this.position;
    if (this.#high !== 0 || this.#low >>> 0 > left) {
      const length = (this.#high >>> 0) * 2 ** 32 + (this.#low >>> 0);
      throw this.refuse(`${length} bytes are announced and ${left} are left`, start);
    }
    return this.#low >>> 0;
  }

  /** A view, not a copy. */
  view(): Uint8Array {
    const length = this.length();
    const start = this.skip(length);
    return this.bytes.subarray(start, start + length);
  }

  string(what: string): string {
    const start = this.position;
    const bytes = this.view();
    if (bytes.length > MAX_STRING) throw this.refuse(`${what} has more than ${MAX_STRING} bytes`, start);
    this.spendHeap(32 + bytes.length);
    try {
      return UTF8.decode(bytes);
    } catch {
      throw this.refuse(`${what} is not UTF-8`, start);
    }
  }

  /** Moves past the value of a field of which the tag has been read. */
  skipValue(field: number, wire: number): void {
    const open: number[] = [];
    let current = { field, wire };
    for (;;) {
      if (current.wire === WIRE.varint) this.#varint();
      else if (current.wire === WIRE.fixed64) this.skip(8);
      else if (current.wire === WIRE.fixed32) this.skip(4);
      else if (current.wire === WIRE.bytes) this.skip(this.length());
      else if (current.wire === WIRE.startGroup) {
        open.push(current.field);
        if (open.length > MAX_GROUPS) throw this.refuse(`groups are nested more than ${MAX_GROUPS} deep`);
      } else if (open.pop() !== current.field) throw this.refuse('a group ends that did not begin');
      if (open.length === 0) return;
      current = this.tag();
    }
  }
}
