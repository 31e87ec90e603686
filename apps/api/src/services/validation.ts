import type { TSchema } from '@amalgam/contracts';
import { escapePointer, type FieldError, validate } from '@amalgam/contracts';
import { invalid } from './problem.js';

type Outcome = { value: unknown } | { error: Error };

/**
 * Fastify's validator, made of the contracts' own: nothing is removed, bodies are not coerced, every problem is reported
 * with a pointer, unknown keys with the nearest one. Query strings hold texts only, so their numbers are read.
 */
export function compileValidator({ schema, httpPart }: { schema: TSchema; httpPart?: string }) {
  return (data: unknown): Outcome => {
    const value = httpPart === 'querystring' ? readTexts(schema, data) : data;
    const checked = validate(schema, value);
    if (!checked.ok) return { error: invalid(checked.errors) };
    const errors: FieldError[] = [];
    if (httpPart !== 'headers') findUnstorable(value, '', errors);
    return errors.length > 0 ? { error: invalid(errors) } : { value };
  };
}

/** Numbers and booleans among a query's texts; one text where a list is wanted. */
function readTexts(schema: TSchema, query: unknown): unknown {
  const properties = (schema as { properties?: Record<string, { type?: unknown }> }).properties ?? {};
  const read: Record<string, unknown> = Object.create(null);
  for (const [key, value] of Object.entries(query as Record<string, unknown>)) {
    const type = Object.hasOwn(properties, key) ? properties[key]?.type : undefined;
    if (type === 'array') read[key] = [value].flat();
    else if ((type === 'integer' || type === 'number') && typeof value === 'string' && /^-?\d+$/.test(value)) {
      read[key] = Number(value);
    } else if (type === 'boolean' && (value === 'true' || value === 'false')) read[key] = value === 'true';
    else read[key] = value;
  }
  return read;
}

/**
 * Reads a query string; `metadata[key]=value` becomes an object. A key that comes twice has a list of values.
 */
export function parseQuery(text: string): Record<string, unknown> {
  // Without prototypes: a parameter may be called anything.
  const query: Record<string, unknown> = Object.create(null);
  for (const [name, value] of new URLSearchParams(text)) {
    const [, group, key] = /^(metadata)\[(.+)\]$/s.exec(name) ?? [];
    if (group !== undefined && key !== undefined) {
      const inner = (query[group] ?? Object.create(null)) as Record<string, unknown>;
      if (typeof inner === 'object') query[group] = Object.assign(inner, { [key]: value });
    } else {
      const before = query[name];
      query[name] = before === undefined ? value : [before, value].flat();
    }
  }
  return query;
}

// With the u flag, surrogates that make a pair are one character and are not matched.
const UNSTORABLE = /[\0\p{Surrogate}]/u;

/** Deeper than anything here, and far from what recursion bears. */
const MOST_LEVELS = 32;

/** Postgres takes neither NUL nor half of a surrogate pair, which JSON and schemas let pass. */
function findUnstorable(value: unknown, pointer: string, errors: FieldError[], level = 0): void {
  const detail = 'must not contain NUL or half of a surrogate pair';
  if (level > MOST_LEVELS) {
    errors.push({ pointer, detail: `is nested deeper than ${MOST_LEVELS} levels` });
  } else if (typeof value === 'string') {
    if (UNSTORABLE.test(value)) errors.push({ pointer, detail });
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      if (UNSTORABLE.test(key)) errors.push({ pointer, detail });
      else findUnstorable(item, `${pointer}/${escapePointer(key)}`, errors, level + 1);
    }
  }
}
