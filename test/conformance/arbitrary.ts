import fc from 'fast-check';
import type { Document, Json } from './document.js';

/** Texts that break programs which take them for paths, queries, SQL or Unicode that is always sound. */
const NASTY = [
  '',
  ' ',
  '0',
  '-1',
  'null',
  '..',
  '../../etc/passwd',
  '%00',
  "' OR 1=1 --",
  '\u0000',
  '\ud800',
  '𝕏',
  '__proto__',
];
export const nasty = fc.oneof(fc.constantFrom(...NASTY), fc.string({ maxLength: 40 }));

const MOST_ITEMS = 3;
const MOST_CHARACTERS = 40;
/** Optional fields are left out below it: recipes nest. */
const MOST_LEVELS = 4;

/** Values that a schema of the document lets pass; `known` may give better ones for a field that it knows by name. */
export class Values {
  readonly #schemas: Record<string, Json>;
  readonly #known: (field: string) => fc.Arbitrary<unknown> | null;

  constructor(document: Document, known: (field: string) => fc.Arbitrary<unknown> | null) {
    this.#schemas = document.components.schemas;
    this.#known = known;
  }

  of(schema: Json, level = 0): fc.Arbitrary<unknown> {
    const reference = schema['$ref'];
    if (typeof reference === 'string') return this.of(this.#schemas[reference.split('/').at(-1)!]!, level);
    if ('const' in schema) return fc.constant(schema['const']);
    if (Array.isArray(schema['enum'])) return fc.constantFrom(...schema['enum']);
    const choices = schema['anyOf'] ?? schema['oneOf'];
    if (Array.isArray(choices)) return fc.oneof(...choices.map((choice: Json) => this.of(choice, level)));
    switch (schema['type']) {
      case 'object':
        return this.#object(schema, level);
      case 'array':
        return this.#array(schema, level);
      case 'string':
        return text(schema);
      case 'integer':
        return fc.integer(bounds(schema));
      case 'number':
        return fc.double({ ...bounds(schema), noNaN: true, noDefaultInfinity: true });
      case 'boolean':
        return fc.boolean();
      case 'null':
        return fc.constant(null);
      default:
        return fc.jsonValue({ maxDepth: 1 });
    }
  }

  #object(schema: Json, level: number): fc.Arbitrary<unknown> {
    const required = (schema['required'] ?? []) as string[];
    const properties = Object.entries((schema['properties'] ?? {}) as Record<string, Json>)
      .filter(([name]) => required.includes(name) || level < MOST_LEVELS)
      .map(([name, property]) => {
        const known = this.#known(name);
        const any = this.of(property, level + 1);
        return [name, known === null ? any : fc.oneof({ weight: 6, arbitrary: known }, { weight: 1, arbitrary: any })];
      });
    const fields = fc.record(Object.fromEntries(properties) as Record<string, fc.Arbitrary<unknown>>, {
      requiredKeys: required,
    });
    const [more] = [
      schema['additionalProperties'],
      ...Object.values((schema['patternProperties'] ?? {}) as Json),
    ].filter((item) => typeof item === 'object');
    if (more === undefined) return fields;
    const others = fc.dictionary(fc.string({ minLength: 1, maxLength: 12 }), this.of(more as Json, level + 1), {
      maxKeys: MOST_ITEMS,
    });
    return fc.tuple(others, fields).map(([rest, own]) => ({ ...rest, ...own }));
  }

  #array({ items, minItems, maxItems, uniqueItems }: Json, level: number): fc.Arbitrary<unknown> {
    const item = Array.isArray(items) ? fc.constantFrom(...items) : this.of((items ?? {}) as Json, level + 1);
    const least = (minItems as number | undefined) ?? 0;
    const size = {
      minLength: least,
      maxLength: Math.max(least, Math.min((maxItems as number) ?? MOST_ITEMS, MOST_ITEMS)),
    };
    return uniqueItems === true ? fc.uniqueArray(item, size) : fc.array(item, size);
  }
}

function text({ pattern, format, minLength, maxLength }: Json): fc.Arbitrary<string> {
  if (format === 'date-time') {
    const range = { min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true };
    return fc.date(range).map((date) => date.toISOString());
  }
  const least = (minLength as number | undefined) ?? 0;
  const most = Math.min((maxLength as number | undefined) ?? MOST_CHARACTERS, MOST_CHARACTERS);
  if (typeof pattern !== 'string') return fc.string({ minLength: least, maxLength: Math.max(least, most) });
  // What cannot be generated from: paths, the only pattern that looks ahead.
  if (pattern.includes('(?')) return fc.constantFrom('model.safetensors', 'a/b.json', 'x.onnx', 'data.npz');
  return fc.stringMatching(new RegExp(pattern)).filter(({ length }) => length >= least);
}

function bounds({ minimum, maximum }: Json): { min: number; max: number } {
  const min = (minimum as number | undefined) ?? -1000;
  return { min, max: (maximum as number | undefined) ?? Math.max(min, 0) + 100_000 };
}

/** A valid value, or one with something else in a place of it. */
export function spoiled(valid: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.tuple(valid, fc.nat(), fc.oneof(fc.jsonValue({ maxDepth: 2 }), nasty)).map(([value, place, other]) => {
    const places = listPlaces(value);
    const at = places[place % (places.length + 1)];
    return at === undefined ? other : replaceAt(value, at, other);
  });
}

type Place = (string | number)[];

function listPlaces(value: unknown, at: Place = []): Place[] {
  if (typeof value !== 'object' || value === null) return at.length === 0 ? [] : [at];
  const below = Object.entries(value).flatMap(([key, item]) => listPlaces(item, [...at, key]));
  return at.length === 0 ? below : [at, ...below];
}

function replaceAt(value: unknown, [key, ...rest]: Place, other: unknown): unknown {
  if (key === undefined) return other;
  if (Array.isArray(value))
    return value.map((item, i) => (String(i) === String(key) ? replaceAt(item, rest, other) : item));
  const fields = value as Json;
  return { ...fields, [key]: replaceAt(fields[key], rest, other) };
}
