import { quote } from '@amalgam/contracts';

export type JsonKind = 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null' | 'nothing';

/** As serde_json has it: deeper nesting is refused before it can exhaust the stack. */
const MAX_DEPTH = 128;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;

const LITERALS: ReadonlyMap<JsonKind, readonly string[]> = new Map([
  ['boolean', ['true', 'false']],
  ['null', ['null']],
]);
const NUMBER = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/;
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * Reads JSON (RFC 8259) from UTF-8 bytes, value by value, without building a tree.
 *
 * JSON.parse would keep the last of two equal keys without a word and would take ten times the memory for a
 * large header. Here a key that is repeated in its object is an error (compared after unescaping: "a" and
 * "\u0061" are one key), and so are lone surrogates and nesting beyond 128 levels.
 *
 * The bytes must be valid UTF-8: the caller checks, as only the caller can say what they are.
 */
export class JsonReader {
  private at = 0;
  private depth = 0;
  private readonly bytes: Buffer;
  private readonly makeError: (problem: string) => Error;

  /** `makeError` turns "byte 17: expected …" into the error that is thrown. */
  constructor(bytes: Uint8Array, makeError: (problem: string) => Error) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.makeError = makeError;
  }

  /** The kind of the value that comes next; 'nothing' when none can begin here. */
  peek(): JsonKind {
    this.skipSpace();
    switch (this.bytes[this.at]) {
      case OPEN_OBJECT:
        return 'object';
      case OPEN_ARRAY:
        return 'array';
      case QUOTE:
        return 'string';
      case 0x74: // t
      case 0x66: // f
        return 'boolean';
      case 0x6e: // n
        return 'null';
      default:
        return isNumberByte(this.bytes[this.at]) ? 'number' : 'nothing';
    }
  }

  /** Calls `onMember` for each key, once; it must read the member's value. */
  readObject(onMember: (key: string) => void): void {
    this.open(OPEN_OBJECT, '{');
    const keys = new Set<string>();
    if (!this.take(CLOSE_OBJECT)) {
      do {
        this.skipSpace();
        const keyAt = this.at;
        const key = this.readString();
        if (keys.has(key)) throw this.makeError(`byte ${keyAt}: the key ${quote(key)} is there twice in one object`);
        keys.add(key);
        this.expect(COLON, ':');
        onMember(key);
      } while (this.take(COMMA));
      this.expect(CLOSE_OBJECT, ', or }');
    }
    this.depth--;
  }

  /** Calls `onItem` before each item; it must read the item. */
  readArray(onItem: () => void): void {
    this.open(OPEN_ARRAY, '[');
    if (!this.take(CLOSE_ARRAY)) {
      do onItem();
      while (this.take(COMMA));
      this.expect(CLOSE_ARRAY, ', or ]');
    }
    this.depth--;
  }

  readString(): string {
    this.expect(QUOTE, 'a string');
    const begin = this.at;
    let escaped = false;
    for (;;) {
      const byte = this.bytes[this.at];
      if (byte === QUOTE) break;
      if (byte === undefined) throw this.makeError(`byte ${begin - 1}: a string without end`);
      if (byte < 0x20) throw this.makeError(`byte ${this.at}: a control character in a string`);
      if (byte === BACKSLASH) {
        escaped = true;
        this.at++;
      }
      this.at++;
    }
    const text = this.bytes.toString('utf8', begin, this.at);
    this.at++;
    return escaped ? this.unescape(text, begin) : text;
  }

  /** A number as it is written: whether `1.0` or `1e3` will do is for the caller to say. */
  readNumber(): string {
    this.skipSpace();
    const begin = this.at;
    while (isNumberByte(this.bytes[this.at])) this.at++;
    const text = this.bytes.toString('latin1', begin, this.at);
    if (!NUMBER.test(text)) throw this.unexpected('a number', begin);
    return text;
  }

  /** Reads any value and forgets it; its syntax and its keys are checked all the same. */
  skip(): void {
    const kind = this.peek();
    if (kind === 'object') this.readObject(() => this.skip());
    else if (kind === 'array') this.readArray(() => this.skip());
    else if (kind === 'string') this.readString();
    else if (kind === 'number') this.readNumber();
    else this.readLiteral(kind);
  }

  /** Nothing but white space may follow. */
  end(): void {
    this.skipSpace();
    if (this.at < this.bytes.length) throw this.unexpected('nothing more', this.at);
  }

  private readLiteral(kind: JsonKind): void {
    const word = LITERALS.get(kind)?.find(
      (text) => this.bytes.toString('latin1', this.at, this.at + text.length) === text,
    );
    if (word === undefined) throw this.unexpected('a value', this.at);
    this.at += word.length;
  }

  private unescape(text: string, begin: number): string {
    let value: string;
    try {
      value = JSON.parse(`"${text}"`) as string;
    } catch {
      throw this.makeError(`byte ${begin - 1}: a string with an escape that JSON does not have`);
    }
    if (LONE_SURROGATE.test(value)) throw this.makeError(`byte ${begin - 1}: a string with half a surrogate pair`);
    return value;
  }

  private open(byte: number, shown: string): void {
    this.expect(byte, shown);
    if (++this.depth > MAX_DEPTH) throw this.makeError(`byte ${this.at - 1}: nested deeper than ${MAX_DEPTH} levels`);
  }

  private expect(byte: number, shown: string): void {
    if (!this.take(byte)) throw this.unexpected(shown, this.at);
  }

  private take(byte: number): boolean {
    this.skipSpace();
    if (this.bytes[this.at] !== byte) return false;
    this.at++;
    return true;
  }

  private skipSpace(): void {
    for (;;) {
      const byte = this.bytes[this.at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.at++;
    }
  }

  private unexpected(wanted: string, at: number): Error {
    const found =
      at >= this.bytes.length
        ? 'the end'
        : quote(this.bytes.toString('utf8', at, Math.min(at + 12, this.bytes.length)));
    return this.makeError(`byte ${at}: expected ${wanted}, found ${found}`);
  }
}

function isNumberByte(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x2b || byte === 0x2e || (byte | 0x20) === 0x65;
}
