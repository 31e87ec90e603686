/** Bytes of one block of small fields. */
const BLOCK = 2 ** 16;
/** From here on bytes are referred to rather than copied. */
const BY_REFERENCE = 2 ** 12;

const UTF8 = new TextEncoder();

/**
 * Writes protobuf from the end to the beginning: a message's length is known once its fields are written, so
 * nothing is measured twice. The result is a list of pieces in file order; large byte fields are references.
 */
export class BackwardWriter {
  /** Bytes written so far. */
  length = 0;
  #block = new Uint8Array(BLOCK);
  #at = BLOCK;
  #pieces: Uint8Array[] = [];

  /** The pieces, first byte first. */
  finish(): Uint8Array[] {
    this.#flush();
    return this.#pieces.reverse();
  }

  bytes(value: Uint8Array): void {
    if (value.length >= BY_REFERENCE) {
      this.#flush();
      this.#pieces.push(value);
      this.length += value.length;
      return;
    }
    // In two steps: reserving may change the block.
    const at = this.#reserve(value.length);
    this.#block.set(value, at);
  }

  string(value: string): void {
    this.bytes(UTF8.encode(value));
  }

  float(value: number): void {
    const at = this.#reserve(4);
    new DataView(this.#block.buffer).setFloat32(this.#block.byteOffset + at, value, true);
  }

  /** A whole number from -2^63 to 2^64 - 1; negative ones take ten bytes, as in int64 and int32 fields. */
  varint(value: number | bigint): void {
    if (typeof value === 'bigint' || value < 0) this.#bigVarint(BigInt.asUintN(64, BigInt(value)));
    else this.#smallVarint(value);
  }

  tag(field: number, wire: number): void {
    this.#smallVarint(field * 8 + wire);
  }

  #smallVarint(value: number): void {
    let width = 1;
    for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) width++;
    let at = this.#reserve(width);
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#block[at++] = (rest % 128) | 0x80;
    this.#block[at] = rest;
  }

  #bigVarint(value: bigint): void {
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) {
      this.#smallVarint(Number(value));
      return;
    }
    const parts: number[] = [];
    let rest = value;
    for (; rest >= 128n; rest >>= 7n) parts.push(Number(rest & 0x7fn) | 0x80);
    parts.push(Number(rest));
    this.bytes(Uint8Array.from(parts));
  }

  /** Room for `length` bytes before what is written; returns its index in the block. */
  #reserve(length: number): number {
    if (length > this.#at) this.#flush();
    this.#at -= length;
    this.length += length;
    return this.#at;
  }

  #flush(): void {
    if (this.#at < this.#block.length) this.#pieces.push(this.#block.subarray(this.#at));
    // What is left of the block serves on: a model may have many large fields with little between them.
    this.#block = this.#at >= BY_REFERENCE ? this.#block.subarray(0, this.#at) : new Uint8Array(BLOCK);
    this.#at = this.#block.length;
  }
}
