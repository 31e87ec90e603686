import type { AmalgamError } from '@amalgam/contracts';

/** A field of a protobuf message: a varint or float as a number, everything with a length as its bytes. */
export interface Field {
  number: number;
  wire: number;
  value: number;
  bytes: Uint8Array | null;
}

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/**
 * The fields of a message in order. Varints are cut to 53 bits: what is read here are enumerations and small ids, of which the
 * negative ones (ten bytes) are told by their sign.
 */
export function* readFields(message: Uint8Array, refuse: (rule: string) => AmalgamError): Generator<Field> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = 0;
  const varint = (): number => {
    let value = 0;
    let scale = 1;
    for (let count = 0; ; count++) {
      const byte = message[at++];
      if (byte === undefined) throw refuse(`byte ${at - 1}: a number is cut off`);
      // The tenth byte holds the sign of a 64-bit number.
      if (count === 9) return -1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
  };
  const skip = (length: number): number => {
    if (length > message.length - at) throw refuse(`byte ${at}: ${length} bytes are announced and are not there`);
    at += length;
    return at - length;
  };
  while (at < message.length) {
    const begin = at;
    const tag = varint();
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    if (number === 0) throw refuse(`byte ${begin}: there is no field 0`);
    if (wire === VARINT) {
      yield { number, wire, value: varint(), bytes: null };
    } else if (wire === FIXED32) {
      yield { number, wire, value: view.getFloat32(skip(4), true), bytes: null };
    } else if (wire === FIXED64) {
      yield { number, wire, value: view.getFloat64(skip(8), true), bytes: null };
    } else if (wire === BYTES) {
      const length = varint();
      const start = skip(length);
      yield { number, wire, value: 0, bytes: message.subarray(start, start + length) };
    } else {
      throw refuse(`byte ${begin}: wire type ${wire} is not used by this format`);
    }
  }
}

export function writeVarint(number: number, value: number): number[] {
  return [...varintBytes(number * 8 + VARINT), ...varintBytes(value)];
}

export function writeFloat(number: number, value: number): number[] {
  return [...varintBytes(number * 8 + FIXED32), ...new Uint8Array(Float32Array.of(value).buffer)];
}

export function writeBytes(number: number, bytes: Uint8Array | readonly number[]): number[] {
  return [...varintBytes(number * 8 + BYTES), ...varintBytes(bytes.length), ...bytes];
}

function varintBytes(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return bytes;
}
