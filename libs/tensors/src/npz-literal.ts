/**
 * A value of a Python literal, as far as headers of npy files have them. Tuples and lists are told apart, since
 * a shape is a tuple and the dtype of a structured array a list.
 */
export type Literal =
  | string
  | number
  | boolean
  | null
  | { readonly tuple: readonly Literal[] }
  | { readonly list: readonly Literal[] }
  | ReadonlyMap<string, Literal>;

/** A structured dtype of structured dtypes takes a few. */
const MAX_DEPTH = 16;

const WORDS: Readonly<Record<string, boolean | null>> = { True: true, False: false, None: null };
const CLOSERS: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/**
 * Reads one Python literal that fills the text but for white space: dicts with string keys, tuples, lists,
 * strings without escapes, whole numbers that are not negative, True, False, None. Nothing is evaluated.
 * `fail` makes the error that is thrown.
 */
export function parseLiteral(text: string, fail: (problem: string) => Error): Literal {
  const reader = new LiteralReader(text, fail);
  const value = reader.value(0);
  reader.end();
  return value;
}

class LiteralReader {
  #at = 0;
  readonly #text: string;
  readonly #fail: (problem: string) => Error;

  constructor(text: string, fail: (problem: string) => Error) {
    this.#text = text;
    this.#fail = fail;
  }

  value(depth: number): Literal {
    if (depth > MAX_DEPTH) throw this.#fail(`is nested more than ${MAX_DEPTH} deep`);
    const next = this.#peek();
    if (next === "'" || next === '"') return this.#string();
    if (next === '{') return this.#dict(depth);
    if (next === '(' || next === '[') return this.#items(next, depth);
    const word = this.#match(/[A-Za-z]+|[0-9]+/y);
    if (word === null) throw this.#unexpected('a value');
    if (/^[0-9]/.test(word)) return this.#number(word);
    const known = Object.hasOwn(WORDS, word) ? WORDS[word] : undefined;
    if (known === undefined) throw this.#fail(`has ${JSON.stringify(word.slice(0, 40))}, which is not a literal`);
    return known;
  }

  end(): void {
    if (this.#peek() !== undefined) throw this.#unexpected('nothing more');
  }

  #string(): string {
    const text = this.#match(/'[^'\\\n]*'|"[^"\\\n]*"/y);
    if (text === null) throw this.#unexpected('a string without escapes that ends');
    return text.slice(1, -1);
  }

  #number(digits: string): number {
    const value = Number(digits);
    // A leading zero is not Python, but for 0 itself.
    if (!Number.isSafeInteger(value) || (digits.length > 1 && digits.startsWith('0'))) {
      throw this.#fail(`has ${digits.slice(0, 40)}, which is not a whole number up to 2^53`);
    }
    return value;
  }

  #items(open: '(' | '[', depth: number): Literal {
    const items: Literal[] = [];
    const commas = this.#members(open, () => items.push(this.value(depth + 1)));
    if (open === '[') return { list: items };
    // Without a comma these are mere parentheses.
    if (items.length === 1 && commas === 0) throw this.#unexpected('a comma in a tuple of one');
    return { tuple: items };
  }

  #dict(depth: number): Literal {
    const entries = new Map<string, Literal>();
    this.#members('{', () => {
      this.#peek();
      const key = this.#string();
      if (entries.has(key)) throw this.#fail(`has the key ${JSON.stringify(key.slice(0, 40))} twice`);
      if (this.#peek() !== ':') throw this.#unexpected('a colon');
      this.#at++;
      entries.set(key, this.value(depth + 1));
    });
    return entries;
  }

  /** Members between brackets, separated by commas; one may follow the last. Returns how many commas there were. */
  #members(open: string, member: () => void): number {
    const close = CLOSERS[open];
    this.#at++;
    for (let commas = 0; ; commas++) {
      if (this.#peek() === close) {
        this.#at++;
        return commas;
      }
      member();
      const next = this.#peek();
      if (next === close) {
        this.#at++;
        return commas;
      }
      if (next !== ',') throw this.#unexpected(`a comma or ${close}`);
      this.#at++;
    }
  }

  /** The next character that is not white space; it is not passed. */
  #peek(): string | undefined {
    while (' \t\r\n'.includes(this.#text[this.#at] ?? '|')) this.#at++;
    return this.#text[this.#at];
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) return null;
    this.#at += found.length;
    return found;
  }

  #unexpected(wanted: string): Error {
    const found = this.#text[this.#at];
    const shown = found === undefined ? 'the end' : JSON.stringify(found);
    return this.#fail(`has ${shown} at character ${this.#at}, where ${wanted} is expected`);
  }
}
