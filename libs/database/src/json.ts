import { AmalgamError, escapePointer, type FieldError } from '@amalgam/contracts';
import { Prisma } from './generated/client.js';

/** What Prisma takes for a JSON column; undefined members vanish, as in JSON.stringify. */
export function toJson(value: object): Prisma.InputJsonValue {
  return value as Prisma.InputJsonValue;
}

/** The same, where the column may be NULL. */
export function toJsonOrNull(value: object | null | undefined): Prisma.InputJsonValue | typeof Prisma.DbNull {
  return value === null || value === undefined ? Prisma.DbNull : toJson(value);
}

/** JSON text for raw SQL; undefined becomes NULL. */
export function toJsonText(value: object | null | undefined): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}

/** A 64-bit column as the number that JSON carries. Past 2^53 it would be a lie, so it throws. */
export function toNumber(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new AmalgamError('internal', `${value} does not fit a JSON number`);
  return number;
}

/**
 * Throws `invalid_request` when a text in `value`, at any depth, cannot be kept by Postgres: it takes neither NUL nor
 * half of a surrogate pair. Both pass JSON parsers and schemas.
 */
export function assertStorable(value: unknown, pointer = ''): void {
  const errors: FieldError[] = [];
  collectUnstorable(value, pointer, errors);
  if (errors.length > 0) {
    throw new AmalgamError('invalid_request', `${errors[0]?.pointer || 'a text'} ${errors[0]?.detail}`, { errors });
  }
}

function collectUnstorable(value: unknown, pointer: string, errors: FieldError[]): void {
  if (typeof value === 'string') {
    if (!isStorable(value)) errors.push({ pointer, detail: 'must not contain NUL or half of a surrogate pair' });
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      const at = `${pointer}/${escapePointer(key)}`;
      if (!isStorable(key)) errors.push({ pointer: at, detail: 'must not contain NUL or half of a surrogate pair' });
      else collectUnstorable(item, at, errors);
    }
  }
}

// With the u flag, surrogates that make a pair are one character and are not matched.
const UNSTORABLE = /[\0\p{Surrogate}]/u;

function isStorable(text: string): boolean {
  return !UNSTORABLE.test(text);
}

/** For texts of our own making, error messages say: what Postgres would not take is replaced by U+FFFD. */
export function storable(text: string): string {
  return text.replaceAll(new RegExp(UNSTORABLE, 'gu'), '\ufffd');
}
