import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonReader } from '../src/json-reader.js';

const problem = (text: string): Error => new Error(text);

/** Builds what JSON.parse builds, with Maps for objects. */
function parse(text: string): unknown {
  const reader = new JsonReader(Buffer.from(text), problem);
  const value = readValue(reader);
  reader.end();
  return value;
}

function readValue(reader: JsonReader): unknown {
  switch (reader.peek()) {
    case 'object': {
      const members = new Map<string, unknown>();
      reader.readObject((key) => members.set(key, readValue(reader)));
      return members;
    }
    case 'array': {
      const items: unknown[] = [];
      reader.readArray(() => items.push(readValue(reader)));
      return items;
    }
    case 'string':
      return reader.readString();
    case 'number':
      return Number(reader.readNumber());
    default:
      reader.skip();
      return 'literal';
  }
}

function expected(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(expected);
  if (value === null || typeof value === 'boolean') return 'literal';
  if (typeof value === 'object') return new Map(Object.entries(value).map(([key, item]) => [key, expected(item)]));
  return value;
}

const accepts = (text: string): boolean => {
  try {
    const reader = new JsonReader(Buffer.from(text), problem);
    reader.skip();
    reader.end();
    return true;
  } catch {
    return false;
  }
};

describe('JsonReader', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'binary' }), fc.boolean(), (json, indent) => {
        const text = indent ? JSON.stringify(JSON.parse(json), null, 2) : json;
        expect(parse(text)).toEqual(expected(JSON.parse(text)));
      }),
      { numRuns: 500 },
    );
  });

  it('accepts a text of JSON punctuation exactly when JSON.parse does', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '"a"',
      '\\',
      '0',
      '1',
      '-',
      '.',
      'e',
      '+',
      ' ',
      'true',
      'null',
      'fals',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = pieces.join('');
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        // Only what repeats a key is judged otherwise.
        if (valid && /"a".*"a" *:/.test(text)) return;
        expect(accepts(text)).toBe(valid);
      }),
      { numRuns: 20_000 },
    );
  });

  it.each(['01', '1.', '.5', '+1', '1e', '--1', 'NaN', 'Infinity', '0x10', 'nul', 'truex', '[1 2]', '"\t"', '"\\u12"'])(
    'refuses %s',
    (text) => expect(accepts(text)).toBe(false),
  );

  it('refuses a repeated key at any depth, also inside what is skipped', () => {
    expect(accepts('{"a":[{"b":{"k":1,"k":1}}]}')).toBe(false);
    expect(accepts('{"é":1,"\\u00e9":2}')).toBe(false);
    expect(accepts('{"a":{"k":1},"b":{"k":1}}')).toBe(true);
  });

  it('refuses deep nesting before the stack ends', () => {
    expect(accepts('['.repeat(128) + ']'.repeat(128))).toBe(true);
    expect(() => parse('['.repeat(129) + ']'.repeat(129))).toThrow('nested deeper than 128');
    expect(() => parse('{"a":'.repeat(1_000_000))).toThrow('nested deeper');
  });

  it('keeps a byte order mark that is inside a string', () => {
    expect(parse('"\ufeffx"')).toBe('\ufeffx');
  });
});
