import type { Message } from './model.js';
import type { NumberArray } from './number-list.js';
import type { Field, MessageSchema, Schema } from './schema.js';
import { WIRE } from './wire-read.js';
import { BackwardWriter } from './wire-write.js';

export interface Encoded {
  /** The file in pieces, first byte first. Large ones are the very arrays of the message. */
  pieces: Uint8Array[];
  length: number;
}

/**
 * A message's bytes, the same for the same message: fields by rising number, lists of numbers packed where the
 * format says so, unknown fields last.
 */
export function encode<T extends Message>(schema: MessageSchema<T>, message: T): Encoded {
  const writer = new BackwardWriter();
  writeMessage(schema, message, writer);
  const { length } = writer;
  return { pieces: writer.finish(), length };
}

function writeMessage(schema: Schema, message: Message, writer: BackwardWriter): void {
  for (const bytes of [...(message.unknown ?? [])].reverse()) writer.bytes(bytes);
  const values = message as Record<string, unknown>;
  for (let i = schema.fields.length - 1; i >= 0; i--) {
    const field = schema.fields[i]!;
    const value = values[field.key];
    if (value === undefined) continue;
    if (!field.repeated) {
      writeValue(field, value, writer);
      continue;
    }
    const list = value as unknown[];
    for (let k = list.length - 1; k >= 0; k--) writeValue(field, list[k], writer);
  }
}

function writeValue(field: Field, value: unknown, writer: BackwardWriter): void {
  switch (field.kind) {
    case 'float':
      writer.float(value as number);
      writer.tag(field.id, WIRE.fixed32);
      return;
    case 'int32':
    case 'int64':
    case 'size':
      writer.varint(value as number | bigint);
      writer.tag(field.id, WIRE.varint);
      return;
  }
  const end = writer.length;
  if (field.kind === 'string') writer.string(value as string);
  else if (field.kind === 'bytes') writer.bytes(value as Uint8Array);
  else if (field.kind === 'message') writeMessage(field.message!(), value as Message, writer);
  else {
    const numbers = value as NumberArray;
    // Nothing rather than an empty run: that is how protobuf writes an empty packed list.
    if (numbers.length === 0) return;
    writeNumbers(numbers, writer);
  }
  writer.varint(writer.length - end);
  writer.tag(field.id, WIRE.bytes);
}

function writeNumbers(numbers: NumberArray, writer: BackwardWriter): void {
  if (numbers instanceof Float32Array || numbers instanceof Float64Array) {
    writer.bytes(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));
  } else for (let i = numbers.length - 1; i >= 0; i--) writer.varint(numbers[i]!);
}
