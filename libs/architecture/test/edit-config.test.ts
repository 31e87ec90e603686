import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { editConfig } from '../src/index.js';

const TEXT = `{
  "eps": 1e-05,
  "limit": [0.0, Infinity],
  "rope": {"theta": 10000.0, "type": "a } \\" b"},
  "layers": 4,
  "text_config": {
    "layers": 4
  }
}
`;

describe('editing a config', () => {
  it('changes values and leaves everything else as it is written', () => {
    const edited = editConfig(TEXT, { layers: 6, 'text_config.layers': 5, 'rope.theta': 2 });
    const expected = TEXT.replace('"layers": 4,', '"layers": 6,')
      .replace('    "layers": 4', '    "layers": 5')
      .replace('10000.0', '2');
    expect(edited).toBe(expected);
  });

  it('adds what is not there, indented as its neighbours', () => {
    expect(editConfig(TEXT, { 'text_config.types': ['a'] })).toContain(
      '    "layers": 4,\n    "types": [\n      "a"\n    ]\n  }',
    );
    expect(editConfig('{"a": 1}', { b: [1, 2] })).toBe('{"a": 1, "b": [1,2]}');
    expect(editConfig('{}', { b: 1 })).toBe('{"b": 1}');
  });

  it('makes the objects on a path', () => {
    expect(JSON.parse(editConfig('{"a": 1, "n": null}', { 'b.c': 2, 'n.x': true }))).toEqual({
      a: 1,
      n: { x: true },
      b: { c: 2 },
    });
  });

  it('takes out what becomes undefined, with its comma', () => {
    const without = (path: string) => editConfig(TEXT, { [path]: undefined });
    expect(without('limit')).toBe(TEXT.replace('  "limit": [0.0, Infinity],\n', ''));
    expect(without('rope.type')).toBe(TEXT.replace(', "type": "a } \\" b"', ''));
    expect(without('text_config.layers')).toBe(TEXT.replace('\n    "layers": 4\n', '\n'));
    expect(without('text_config')).toBe(TEXT.replace(/,\n {2}"text_config": \{[^}]*\}/, ''));
    expect(without('absent.too')).toBe(TEXT);
    expect(editConfig('{"a": 1}', { a: undefined })).toBe('{}');
  });

  it('says what was set, whatever the object and its layout', () => {
    const key = fc.stringMatching(/^[a-z"\\{,]{1,4}$/);
    const object = fc.dictionary(key, fc.jsonValue({ maxDepth: 2 }));
    fc.assert(
      fc.property(
        object,
        key,
        fc.jsonValue({ maxDepth: 1 }),
        fc.constantFrom(undefined, 1, 2, '\t'),
        (old, name, value, space) => {
          const text = JSON.stringify(old, null, space);
          expect(JSON.parse(editConfig(text, { [name]: value }))).toEqual(
            JSON.parse(JSON.stringify({ ...old, [name]: value })),
          );
        },
      ),
    );
  });
});
