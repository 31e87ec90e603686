import type { Message } from './model.js';
import { NumberList } from './number-list.js';
import type { Field, MessageSchema, PackedKind, Schema } from './schema.js';
import { WIRE, WireReader } from './wire-read.js';

/** Messages within messages; protobuf's own limit. A body of a body takes three. */
const MAX_DEPTH = 100;
/** Rough bytes that V8 takes, to bound what a hostile file decodes to. */
const MESSAGE_COST = 256;
const VALUE_COST = 32;

type Draft = Record<string, unknown>;

/**
 * Reads one message. Byte fields are views of `bytes`. Repeated occurrences of a single field are treated as
 * protobuf does: messages are merged, of other values the last counts.
 *
 * Errors: `invalid_graph` naming `name`, the byte, and the message and field where there is one.
 */
export function decode<T extends Message>(schema: MessageSchema<T>, bytes: Uint8Array, name: string): T {
  const reader = new WireReader(bytes, name);
  return fill(schema, {}, reader, 0) as T;
}

function fill(schema: Schema, target: Draft, reader: WireReader, depth: number): Draft {
  if (depth > MAX_DEPTH) throw reader.refuse(`messages are nested more than ${MAX_DEPTH} deep`);
  for (const field of schema.fields) if (field.always) target[field.key] ??= [];

  const numbers = new Map<string, NumberList>();
  while (reader.position < reader.end) {
    const start = reader.position;
    const { field: id, wire } = reader.tag();
    const field = schema.byId.get(id);
    if (field === undefined) keepUnknown(target, reader, start, id, wire);
    else if (isPacked(field.kind)) readNumbers(schema, field, target, numbers, reader, wire);
    else readField(schema, field, target, reader, wire, depth);
  }
  for (const [key, values] of numbers) target[key] = values.finish();
  return target;
}

function keepUnknown(target: Draft, reader: WireReader, start: number, id: number, wire: number): void {
  if (wire === WIRE.endGroup) throw reader.refuse('a group ends that did not begin', start);
  reader.skipValue(id, wire);
  const bytes = reader.bytes.subarray(start, reader.position);
  const kept = target['unknown'] as Uint8Array[] | undefined;
  // A run of unknown fields is one view: hostile files have millions.
  const last = kept?.at(-1);
  if (last !== undefined && last.byteOffset + last.length === bytes.byteOffset) {
    kept![kept!.length - 1] = reader.bytes.subarray(start - last.length, reader.position);
    return;
  }
  reader.spendHeap(MESSAGE_COST);
  if (kept === undefined) target['unknown'] = [bytes];
  else kept.push(bytes);
}

const WIRE_OF: Record<Exclude<Field['kind'], PackedKind>, number> = {
  string: WIRE.bytes,
  bytes: WIRE.bytes,
  message: WIRE.bytes,
  float: WIRE.fixed32,
  int32: WIRE.varint,
  int64: WIRE.varint,
  size: WIRE.varint,
};

function readField(schema: Schema, field: Field, target: Draft, reader: WireReader, wire: number, depth: number): void {
  const expected = WIRE_OF[field.kind as keyof typeof WIRE_OF];
  // Lists of numbers come packed from some writers: one run of bytes for all of them.
  if (wire === WIRE.bytes && expected !== WIRE.bytes && field.repeated) {
    within(reader, () => {
      while (reader.position < reader.end)
        store(field, target, readValue(schema, field, target, reader, depth), reader);
    });
    return;
  }
  if (wire !== expected) throw reader.refuse(`${schema.name}.${field.key} has wire type ${wire}, not ${expected}`);
  store(field, target, readValue(schema, field, target, reader, depth), reader);
}

function store(field: Field, target: Draft, value: unknown, reader: WireReader): void {
  if (field.repeated) {
    reader.spendHeap(VALUE_COST);
    const values = target[field.key] as unknown[] | undefined;
    if (values === undefined) target[field.key] = [value];
    else values.push(value);
    return;
  }
  target[field.key] = value;
}

function readValue(schema: Schema, field: Field, target: Draft, reader: WireReader, depth: number): unknown {
  if (field.oneof) {
    for (const other of schema.fields) if (other.oneof && other !== field) delete target[other.key];
  }
  switch (field.kind) {
    case 'string':
      return reader.string(`${schema.name}.${field.key}`);
    case 'bytes':
      reader.spendHeap(MESSAGE_COST);
      return reader.view();
    case 'float':
      return reader.float();
    case 'int32':
      return reader.int32();
    case 'int64':
      return reader.int64();
    case 'size':
      return reader.size(`${schema.name}.${field.key}`);
    default: {
      reader.spendHeap(MESSAGE_COST);
      const before = field.repeated ? undefined : (target[field.key] as Draft | undefined);
      return within(reader, () => fill(field.message!(), before ?? {}, reader, depth + 1));
    }
  }
}

/** Runs `work` with the reader's end set to the end of the length-delimited value that begins here. */
function within<T>(reader: WireReader, work: () => T): T {
  const length = reader.length();
  const outer = reader.end;
  reader.end = reader.position + length;
  const result = work();
  reader.end = outer;
  return result;
}

function isPacked(kind: Field['kind']): kind is PackedKind {
  return kind.endsWith('s') && kind !== 'bytes';
}

function readNumbers(
  schema: Schema,
  field: Field,
  target: Draft,
  lists: Map<string, NumberList>,
  reader: WireReader,
  wire: number,
): void {
  let values = lists.get(field.key);
  if (values === undefined) {
    // A message that occurs twice is merged: go on after what the first had.
    values = new NumberList(field.kind as PackedKind, reader, target[field.key]);
    lists.set(field.key, values);
  }
  if (wire === WIRE.bytes) within(reader, () => values.readPacked(`${schema.name}.${field.key}`));
  else if (wire === values.wire) values.readOne();
  else throw reader.refuse(`${schema.name}.${field.key} has wire type ${wire}, not ${values.wire} or ${WIRE.bytes}`);
}
