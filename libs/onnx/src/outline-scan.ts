import { AmalgamError } from '@amalgam/contracts';
import type { TensorSlice } from './model.js';
import { GRAPH, MODEL, TENSOR } from './onnx-schema.js';
import { MAX_MODEL_BYTES, tooLarge } from './read.js';
import type { Schema } from './schema.js';
import type { ByteSource } from './source.js';
import { WIRE } from './wire-read.js';

/** Raw bytes of an initializer up to this many stay: scalars, axes, shapes, most biases. */
const SMALL_BYTES = 4096;
/** What is left of a model; the largest graphs seen have a few megabytes. */
const MAX_OUTLINE_BYTES = 2 ** 28;
/** Bounds on time and memory for files that consist of nothing but tiny fields. */
const MAX_FIELDS = 4_000_000;
const MAX_INITIALIZERS = 100_000;
const WINDOW_BYTES = 2 ** 16;
/** A tag or a number has at most ten bytes. */
const VARINT_BYTES = 10;

const MODEL_GRAPH = idOf(MODEL, 'graph');
const GRAPH_INITIALIZER = idOf(GRAPH, 'initializer');
const TENSOR_RAW_DATA = idOf(TENSOR, 'rawData');

export interface ScannedModel {
  /** A model without the large raw bytes of the main graph's initializers, otherwise byte for byte the same. */
  bytes: Uint8Array;
  /** By initializer: where in the source its raw bytes are, when they were left out. */
  slices: (Omit<TensorSlice, 'source'> | null)[];
}

/**
 * Finds the large initializers in a model file without reading them: only tags, lengths and what stays is read.
 * Errors: `invalid_graph` naming `name`, the byte and the rule, for what is not protobuf as far as it is looked at,
 * too large a file and too much besides the weights; those of the source.
 */
export async function scanModel(source: ByteSource, name: string): Promise<ScannedModel> {
  const size = await source.size();
  if (size > MAX_MODEL_BYTES) throw tooLarge(name, size);
  const scanner = new Scanner(source, size, name);
  const parts = await scanner.message('model', 0, size);
  return { bytes: join(parts), slices: scanner.slices };
}

type Level = 'model' | 'graph' | 'tensor';

/** Of each level, the field that is a message to look into. */
const INNER: Readonly<Record<Level, { id: number; level: Level } | null>> = {
  model: { id: MODEL_GRAPH, level: 'graph' },
  graph: { id: GRAPH_INITIALIZER, level: 'tensor' },
  tensor: null,
};

class Scanner {
  readonly slices: ScannedModel['slices'] = [];
  readonly #source: ByteSource;
  readonly #name: string;
  readonly #size: number;
  #window: Uint8Array = new Uint8Array(0);
  #windowBegin = 0;
  #kept = 0;
  #fields = 0;

  constructor(source: ByteSource, size: number, name: string) {
    this.#source = source;
    this.#size = size;
    this.#name = name;
  }

  /** The message's content from `begin` to `end`, less what is left out, in pieces. */
  async message(level: Level, begin: number, end: number): Promise<Uint8Array[]> {
    const pieces: Uint8Array[] = [];
    const inner = INNER[level];
    // Fields that stay are taken together, up to the next that does not.
    let keptFrom = begin;
    for (let at = begin; at < end; ) {
      const field = await this.#field(at, end);
      if (field.id === inner?.id && field.wire === WIRE.bytes) {
        pieces.push(await this.#take(keptFrom, at));
        if (inner.level === 'tensor') this.#beginTensor(at);
        const content = await this.message(inner.level, field.begin, field.end);
        pieces.push(await this.#take(at, field.tagEnd), varint(lengthOf(content)), ...content);
        keptFrom = field.end;
      } else if (level === 'tensor' && field.id === TENSOR_RAW_DATA && field.wire === WIRE.bytes) {
        // Of several the last counts.
        const length = field.end - field.begin;
        const isLarge = length > SMALL_BYTES;
        this.slices[this.slices.length - 1] = isLarge ? { offset: field.begin, length } : null;
        if (isLarge) {
          pieces.push(await this.#take(keptFrom, at));
          keptFrom = field.end;
        }
      }
      at = field.end;
    }
    pieces.push(await this.#take(keptFrom, end));
    return pieces;
  }

  #beginTensor(at: number): void {
    this.slices.push(null);
    if (this.slices.length > MAX_INITIALIZERS) {
      throw this.#refuse(`there are more than ${MAX_INITIALIZERS} initializers`, at);
    }
  }

  /** The field at a byte: its tag, and where its value lies. */
  async #field(
    at: number,
    end: number,
  ): Promise<{ id: number; wire: number; tagEnd: number; begin: number; end: number }> {
    const window = await this.#at(at, Math.min(2 * VARINT_BYTES, end - at));
    if (++this.#fields > MAX_FIELDS) throw this.#refuse(`there are more than ${MAX_FIELDS} fields`, at);
    const cursor = { window, at: 0, end: Math.min(window.length, end - at) };
    const tag = this.#varint(cursor, at);
    const wire = tag & 7;
    // Field numbers have 29 bits; what is wrong with a tag is said when the outline is decoded.
    const id = Math.floor(tag / 8);
    const tagEnd = at + cursor.at;
    let begin = tagEnd;
    let length: number;
    if (wire === WIRE.bytes) {
      length = this.#varint(cursor, at);
      begin = at + cursor.at;
    } else if (wire === WIRE.varint) {
      this.#varint(cursor, at);
      length = at + cursor.at - begin;
    } else if (wire === WIRE.fixed64) length = 8;
    else if (wire === WIRE.fixed32) length = 4;
    else throw this.#refuse(`wire type ${wire}, which ONNX does not use`, at);
    if (length > end - begin) throw this.#refuse(`${length} bytes are announced and ${end - begin} are left`, begin);
    return { id, wire, tagEnd, begin, end: begin + length };
  }

  /** Exact up to 2^53; larger ones are more than any length, or values that are passed. */
  #varint(cursor: { window: Uint8Array; at: number; end: number }, fieldAt: number): number {
    let value = 0;
    for (let i = 0; i < VARINT_BYTES; i++) {
      const byte = cursor.window[cursor.at];
      if (byte === undefined || cursor.at >= cursor.end) throw this.#refuse('a number is cut off', fieldAt);
      cursor.at++;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    throw this.#refuse('a number has more than 64 bits', fieldAt);
  }

  /** At least `length` bytes from `at`, in a view that is good until the next call. */
  async #at(at: number, length: number): Promise<Uint8Array> {
    const from = at - this.#windowBegin;
    if (from < 0 || from + length > this.#window.length) {
      this.#window = await this.#source.read(at, Math.min(Math.max(length, WINDOW_BYTES), this.#size - at));
      this.#windowBegin = at;
      return this.#window;
    }
    return this.#window.subarray(from);
  }

  /** A copy, so that no window is kept for a few bytes of it. */
  async #take(begin: number, end: number): Promise<Uint8Array> {
    const length = end - begin;
    this.#kept += length;
    if (this.#kept > MAX_OUTLINE_BYTES) {
      throw new AmalgamError(
        'invalid_graph',
        `${this.#name}: has more than ${MAX_OUTLINE_BYTES} bytes besides the raw data of its initializers; ` +
          'save it with onnx.save(…, save_as_external_data=True)',
      );
    }
    if (length === 0) return new Uint8Array(0);
    const from = begin - this.#windowBegin;
    if (from >= 0 && from + length <= this.#window.length) return this.#window.slice(from, from + length);
    return this.#source.read(begin, length);
  }

  #refuse(rule: string, at: number): AmalgamError {
    return new AmalgamError('invalid_graph', `${this.#name}: not a valid ONNX file: byte ${at}: ${rule}`);
  }
}

function idOf(schema: Schema, key: string): number {
  const field = schema.fields.find((candidate) => candidate.key === key);
  if (field === undefined) throw new TypeError(`${schema.name} has no field ${key}`);
  return field.id;
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push(rest < 128 ? rest : (rest % 128) | 0x80);
    if (rest < 128) return Uint8Array.from(bytes);
  }
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(lengthOf(pieces));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
