import { execFileSync } from 'node:child_process';
import type { Merge } from '@amalgam/contracts';
import { describeMethod, listMethods } from '@amalgam/methods';
import { describe, expect, it, test } from 'vitest';
import { secondsBetween, showBytes, showNumber, showRelative, showSeconds } from '../src/format.js';
import { curlOf } from '../src/merge/snippets.js';
import { hrefOf, parseHash } from '../src/router.js';
import { readParameters, showValues } from '../src/schema.js';

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1 kB'],
  [1536, '1.54 kB'],
  [999_600, '1 MB'],
  [5_000_000_000, '5 GB'],
])('%d bytes are %s', (bytes, text) => expect(showBytes(bytes)).toBe(text));

test.each([
  [0.234, '0.23 s'],
  [5.67, '5.7 s'],
  [59.4, '59 s'],
  [59.6, '1 min'],
  [75, '1 min 15 s'],
  [3599.7, '1 h'],
  [7260, '2 h 1 min'],
  [90_000, '1 d 1 h'],
])('%d seconds are %s', (seconds, text) => expect(showSeconds(seconds)).toBe(text));

test.each([
  [0, '0'],
  [0.31234, '0.3123'],
  [1234.5, '1,235'],
  [0.0001234, '1.23e-4'],
  [-2e9, '-2.00e9'],
])('the number %d is %s', (value, text) => expect(showNumber(value)).toBe(text));

test.each([
  [500, 'just now'],
  [61_000, '1 min ago'],
  [3_600_000 * 47, '47 h ago'],
  [3_600_000 * 49, '2 days ago'],
  [-120_000, 'in 2 min'],
])('%d ms before now is %s', (ago, text) => expect(showRelative(1e12 - ago, 1e12)).toBe(text));

test('what has not begun has taken no time, and what runs takes until now', () => {
  expect(secondsBetween(null, null, 0)).toBeNull();
  expect(secondsBetween('2026-01-01T00:00:00Z', '2026-01-01T00:00:05Z', 0)).toBe(5);
  expect(secondsBetween('2026-01-01T00:00:00Z', null, Date.parse('2026-01-01T00:01:00Z'))).toBe(60);
});

describe('places', () => {
  it('are the same after going there', () => {
    const { path, query } = parseHash(hrefOf(['merges', 'ä/b?c'], { state: 'failed', method: '', name: 'a&b' }));
    expect(path).toEqual(['merges', 'ä/b?c']);
    expect([...query]).toEqual([
      ['state', 'failed'],
      ['name', 'a&b'],
    ]);
  });

  it('are somewhere whatever the address says', () => {
    expect(parseHash('').path).toEqual([]);
    expect(parseHash('#/%E0%A4%A/x').path).toEqual(['%E0%A4%A', 'x']);
  });
});

describe('parameters', () => {
  it.each([
    [{ type: 'number', minimum: 0, maximum: 1 }, 'number from 0 to 1'],
    [{ type: 'number', exclusiveMinimum: 0 }, 'number above 0'],
    [{ type: 'number', minimum: -3.4028234663852886e38 }, 'number'],
    [{ enum: ['mean', 'sum'] }, 'mean or sum'],
    [{ anyOf: [{ type: 'null' }, { type: 'array', items: { type: 'number' } }] }, 'null, or list of number'],
    [{ type: ['array', 'null'] }, 'array or null'],
  ])('%j is said in words', (schema, words) => expect(showValues(schema)).toBe(words));

  it('of every method have values and a meaning', () => {
    const methods = listMethods().map(describeMethod);
    const all = methods.flatMap(({ parameters, model_parameters }) => [
      ...readParameters(parameters),
      ...readParameters(model_parameters),
    ]);
    expect(all.length).toBeGreaterThan(20);
    for (const { name, values, description } of all) {
      expect(values, name).not.toMatch(/undefined|any|object Object/);
      expect(description, name).not.toBe('');
    }
  });
});

test('the command with curl sends the very recipe, whatever is in it', () => {
  const recipe = { method: 'ties', models: [{ model: 'it\'s "$HOME" `x` \\' }] };
  const merge = { name: "l'essai", recipe, metadata: { run: '7' } } as unknown as Merge;
  // A curl that prints the last of its arguments.
  const script = `curl() { printf %s "\${@: -1}"; }\n${curlOf(merge, 'http://127.0.0.1:8080')}`;
  const sent = execFileSync('bash', ['-c', script], { encoding: 'utf8' });
  expect(JSON.parse(sent)).toEqual({ name: "l'essai", recipe, metadata: { run: '7' } });
});
