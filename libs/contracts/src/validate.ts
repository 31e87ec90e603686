import { createRequire } from 'node:module';
import type { Ajv, ErrorObject, ValidateFunction } from 'ajv';
import { closest, distance } from 'fastest-levenshtein';
import { type FieldError, MOST_ERRORS } from './errors.js';
import { narrowErrors } from './narrow-errors.js';
import type { Static, TSchema } from './schema.js';

const compiled = new WeakMap<TSchema, ValidateFunction>();
let checker: Ajv | undefined;

/** Ajv, loaded when something is to be checked: a thread of a merge never does, and would start a quarter slower. */
function ajv(): Ajv {
  if (checker === undefined) {
    const require = createRequire(import.meta.url);
    const { Ajv } = require('ajv') as typeof import('ajv');
    const addFormats = require('ajv-formats') as (ajv: Ajv) => void;
    // `verbose` gives each error its schema, which the advice about unknown keys needs.
    // NaN and infinities are refused wherever a number is asked for.
    checker = new Ajv({
      allErrors: true,
      verbose: true,
      strict: false,
      strictNumbers: true,
      useDefaults: false,
      coerceTypes: false,
    });
    addFormats(checker);
  }
  return checker;
}

export type Validated<T> = { ok: true; value: T } | { ok: false; errors: FieldError[] };

/** Checks a value against a schema; every problem is reported at once, each with a JSON pointer. */
export function validate<S extends TSchema>(schema: S, value: unknown, at = ''): Validated<Static<S>> {
  let check = compiled.get(schema);
  if (check === undefined) {
    check = ajv().compile(schema);
    compiled.set(schema, check);
  }
  if (check(value)) return { ok: true, value: value as Static<S> };
  return { ok: false, errors: describeErrors(check.errors ?? [], at) };
}

/** Longer names are no misspelling of anything. */
const LONGEST_NAME = 256;

/** Keywords that say what a value is at all. */
const TYPES = new Set(['type', 'anyOf']);

/** Turns Ajv's errors (made with `verbose`) into ours, a hundred at most: pointer and a sentence that names the rule. */
export function describeErrors(errors: readonly ErrorObject[], at = ''): FieldError[] {
  const described: FieldError[] = [];
  const seen = new Set<string>();
  for (const error of narrowErrors(errors)) {
    if (described.length === MOST_ERRORS) break;
    // NaN breaks every bound too; one sentence says it.
    if (typeof error.data === 'number' && !Number.isFinite(error.data) && !TYPES.has(error.keyword)) continue;
    const field = describe(error, at);
    const key = `${field.pointer}\n${field.detail}`;
    if (!seen.has(key)) {
      seen.add(key);
      described.push(field);
    }
  }
  return described;
}

function describe(error: ErrorObject, at: string): FieldError {
  const pointer = at + error.instancePath;
  const parent = (error.parentSchema ?? {}) as { properties?: Record<string, unknown>; description?: string };
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = String(error.params['additionalProperty']);
      const known = Object.keys(parent.properties ?? {});
      return { pointer: `${pointer}/${escapePointer(key)}`, detail: `unknown key "${key}"${suggest(key, known)}` };
    }
    case 'required':
      return {
        pointer: `${pointer}/${escapePointer(String(error.params['missingProperty']))}`,
        detail: `"${error.params['missingProperty']}" is required`,
      };
    case 'enum': {
      const allowed = (error.params['allowedValues'] as unknown[]).map(String);
      const near = typeof error.data === 'string' ? suggest(error.data, allowed) : '';
      const hint = near.startsWith('; did') ? near : ''; // the list is there already
      return { pointer, detail: `must be one of ${allowed.join(', ')}${hint}` };
    }
    case 'type':
    case 'anyOf':
      if (typeof error.data === 'number' && !Number.isFinite(error.data)) {
        return { pointer, detail: `must be a finite number, not ${error.data}` };
      }
      if (error.keyword === 'anyOf') {
        return { pointer, detail: `must be ${listKinds(error.schema)}, not ${typeName(error.data)}` };
      }
      return { pointer, detail: `must be ${listTypes(error.params['type'])}, not ${typeName(error.data)}` };
    case 'minimum':
    case 'maximum':
    case 'exclusiveMinimum':
    case 'exclusiveMaximum':
      return { pointer, detail: `${error.message ?? 'is out of range'}, not ${String(error.data)}` };
    case 'const':
      return { pointer, detail: `must be ${JSON.stringify(error.params['allowedValue'])}` };
    case 'pattern':
      return { pointer, detail: `must match ${String(error.params['pattern'])}` };
    default:
      return { pointer, detail: error.message ?? 'is not valid' };
  }
}

/** `; did you mean "x"?`, or the list of what there is, when nothing is near. */
export function suggest(name: string, known: readonly string[]): string {
  if (known.length === 0 || name.length > LONGEST_NAME) return '';
  // Letters that have changed places are the likelier mistake among equally near ones.
  const own = letters(name);
  const swapped = known.find((other) => letters(other) === own);
  const nearest = swapped ?? closest(name.toLowerCase(), [...known]);
  if (distance(name.toLowerCase(), nearest.toLowerCase()) <= Math.max(2, Math.floor(name.length / 3))) {
    return `; did you mean "${nearest}"?`;
  }
  return known.length <= 24 ? `; known: ${known.join(', ')}` : '';
}

function letters(name: string): string {
  return [...name.toLowerCase()].sort().join('');
}

export function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

/** What a value may be, of schemas side by side. */
function listKinds(schemas: unknown): string {
  const kinds = (schemas as { const?: unknown; type?: unknown; enum?: unknown[] }[]).map((schema) => {
    if ('const' in schema) return JSON.stringify(schema.const);
    return schema.enum === undefined ? listTypes(schema.type) : schema.enum.map((value) => String(value)).join(', ');
  });
  return [...new Set(kinds)].join(' or ');
}

function listTypes(type: unknown): string {
  return Array.isArray(type) ? type.join(' or ') : String(type);
}
