import type { PackedKind } from './schema.js';
import { WIRE, type WireReader } from './wire-read.js';

export type NumberArray = Float32Array | Float64Array | Int32Array | BigInt64Array | BigUint64Array;

const KINDS = {
  floats: { wire: WIRE.fixed32, width: 4, make: (n: number) => new Float32Array(n) },
  doubles: { wire: WIRE.fixed64, width: 8, make: (n: number) => new Float64Array(n) },
  int32s: { wire: WIRE.varint, width: 4, make: (n: number) => new Int32Array(n) },
  int64s: { wire: WIRE.varint, width: 8, make: (n: number) => new BigInt64Array(n) },
  uint64s: { wire: WIRE.varint, width: 8, make: (n: number) => new BigUint64Array(n) },
} as const satisfies Record<PackedKind, unknown>;

/** Numbers of one field on their way into a typed array. Floats are copied as bytes, so NaNs keep their payload. */
export class NumberList {
  readonly wire: number;
  readonly #kind: PackedKind;
  readonly #reader: WireReader;
  #values: NumberArray;
  #length = 0;

  constructor(kind: PackedKind, reader: WireReader, before: unknown) {
    this.#kind = kind;
    this.#reader = reader;
    this.wire = KINDS[kind].wire;
    this.#values = (before as NumberArray | undefined) ?? KINDS[kind].make(0);
    this.#length = this.#values.length;
  }

  /** One number on its own, as files of other writers have them. */
  readOne(): void {
    this.#reserve(1);
    this.#readVarintsOrBytes(1);
  }

  /** Numbers up to the reader's end. */
  readPacked(what: string): void {
    const { bytes, position, end } = this.#reader;
    const { width } = KINDS[this.#kind];
    if (this.wire !== WIRE.varint) {
      if ((end - position) % width !== 0) {
        throw this.#reader.refuse(`${what} has ${end - position} bytes, not a multiple of ${width}`);
      }
      this.#reserve((end - position) / width);
      this.#readVarintsOrBytes((end - position) / width);
      return;
    }
    let count = 0;
    for (let at = position; at < end; at++) if (bytes[at]! < 0x80) count++;
    this.#reserve(count);
    this.#readVarintsOrBytes(count);
    // What is left is the beginning of a number: reading it says so.
    if (this.#reader.position < end) this.#reader.int32();
  }

  finish(): NumberArray {
    return this.#length === this.#values.length ? this.#values : this.#values.slice(0, this.#length);
  }

  #readVarintsOrBytes(count: number): void {
    const values = this.#values;
    const reader = this.#reader;
    if (values instanceof Float32Array || values instanceof Float64Array) {
      const start = reader.skip(count * values.BYTES_PER_ELEMENT);
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength).set(
        reader.bytes.subarray(start, reader.position),
        this.#length * values.BYTES_PER_ELEMENT,
      );
      this.#length += count;
    } else if (values instanceof Int32Array) {
      for (let i = 0; i < count; i++) values[this.#length++] = reader.int32();
    } else if (values instanceof BigInt64Array) {
      for (let i = 0; i < count; i++) values[this.#length++] = reader.int64();
    } else {
      for (let i = 0; i < count; i++) values[this.#length++] = reader.uint64();
    }
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#values.length) return;
    // Exactly what is needed the first time, so that the usual packed field is allocated once.
    const room = this.#length === 0 ? needed : Math.max(needed, 2 * this.#length);
    this.#reader.spendNumbers(room * KINDS[this.#kind].width);
    const grown = KINDS[this.#kind].make(room);
    const old = this.#values;
    new Uint8Array(grown.buffer).set(new Uint8Array(old.buffer, old.byteOffset, old.byteLength));
    this.#values = grown;
  }
}
