import { escapePointer, type FieldError, MOST_ERRORS, suggest } from '@amalgam/contracts';

/** Walks over a value that may be anything, and collects what is wrong with it, each with its JSON pointer. */
export class Reader {
  readonly errors: FieldError[] = [];

  fail(pointer: string, detail: string): undefined {
    if (!this.isFull) this.errors.push({ pointer, detail });
  }

  /** Further errors are not listed: there is no need to find words for them. */
  get isFull(): boolean {
    return this.errors.length >= MOST_ERRORS;
  }

  /**
   * The value as an object; its keys must be among `known`, unless `hint` says more of an unknown one. Null and undefined
   * are no value: YAML writes a key without one as null.
   */
  object(
    value: unknown,
    pointer: string,
    known: readonly string[],
    hint: (key: string) => string | null = () => null,
  ): Record<string, unknown> | undefined {
    const fields = this.mapping(value, pointer);
    for (const key of Object.keys(fields ?? {})) {
      if (known.includes(key) || this.isFull) continue;
      this.fail(`${pointer}/${escapePointer(key)}`, hint(key) ?? `unknown key "${key}"${suggest(key, known)}`);
    }
    return fields;
  }

  /** An object with any keys. */
  mapping(value: unknown, pointer: string): Record<string, unknown> | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) return this.wrong(value, pointer, 'a mapping');
    return value as Record<string, unknown>;
  }

  list(value: unknown, pointer: string): unknown[] | undefined {
    if (value === undefined || value === null) return undefined;
    if (!Array.isArray(value)) return this.wrong(value, pointer, 'a list');
    if (value.length === 0) return this.fail(pointer, 'must not be an empty list');
    return value;
  }

  text(value: unknown, pointer: string): string | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'string') return this.wrong(value, pointer, 'a text');
    if (value === '') return this.fail(pointer, 'must not be empty');
    return value;
  }

  /** A whole number of at least `least`. */
  count(value: unknown, pointer: string, least: number): number | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value;
    return this.fail(pointer, `must be a whole number of at least ${least}`);
  }

  /** What is required and missing has one error, what is there and wrong has its own. */
  required(value: unknown, pointer: string, what: string): boolean {
    if (value !== undefined && value !== null) return true;
    this.fail(pointer, `${what} is required`);
    return false;
  }

  private wrong(value: unknown, pointer: string, wanted: string): undefined {
    const found = Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'a mapping' : `${typeof value}`;
    return this.fail(pointer, `must be ${wanted}, not ${found}`);
  }
}
