import type { Message } from './model.js';

/**
 * Why this package reads and writes protobuf itself, over a table of field numbers, and not with protobufjs:
 * weights stored in typed fields must become typed arrays rather than lists of boxed numbers, `rawData` must
 * stay a view on the way in and a reference on the way out (models of 2 GB), hostile files must be bounded by
 * the memory they decode to as well as by their bytes, errors must name message and field, and unknown fields
 * must come back. The wire format is small enough for that to cost less than bending a library to it.
 */
export type Kind = 'string' | 'bytes' | 'float' | 'int32' | 'int64' | 'size' | 'message' | PackedKind;

/** Lists of numbers that become typed arrays and are written packed. */
export type PackedKind = 'floats' | 'doubles' | 'int32s' | 'int64s' | 'uint64s';

export interface Field {
  id: number;
  key: string;
  kind: Kind;
  /** A list of separate values. Typed arrays are not: they are one value. */
  repeated: boolean;
  /** The list is there even when the file has no entry. */
  always: boolean;
  /** Of the fields with this mark, the last in the file counts. */
  oneof: boolean;
  message?: () => Schema;
}

export interface Schema {
  name: string;
  /** By rising id: the order in which they are written. */
  fields: readonly Field[];
  byId: ReadonlyMap<number, Field>;
}

/** A schema that knows the type of its messages. */
export interface MessageSchema<T extends Message> extends Schema {
  /** Never there; it binds the type. */
  readonly type?: T;
}

export type FieldSpec = Omit<Field, 'key'>;

/** A field of one value. `size`: an int64 that must be a safe integer; `int64`: a bigint. */
export function one(id: number, kind: Kind): FieldSpec {
  return { id, kind, repeated: false, always: false, oneof: false };
}

/** A list that is absent when empty. */
export function list(id: number, kind: Kind): FieldSpec {
  return { ...one(id, kind), repeated: true };
}

export function message(id: number, schema: () => Schema): FieldSpec {
  return { ...one(id, 'message'), message: schema };
}

export function messages(id: number, schema: () => Schema): FieldSpec {
  return { ...message(id, schema), repeated: true };
}

export function always(spec: FieldSpec): FieldSpec {
  return { ...spec, always: true };
}

export function oneof(spec: FieldSpec): FieldSpec {
  return { ...spec, oneof: true };
}

/** Fields of a message that the format does not have. */
type NotInFormat = 'unknown' | 'data';

/** A schema with every field of `T`. */
export function define<T extends Message>(
  name: string,
  specs: Record<Exclude<keyof T, NotInFormat>, FieldSpec>,
): MessageSchema<T> {
  const fields = Object.entries<FieldSpec>(specs)
    .map(([key, spec]) => ({ ...spec, key }))
    .sort((a, b) => a.id - b.id);
  return { name, fields, byId: new Map(fields.map((field) => [field.id, field])) };
}
