import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileGlobs } from '../src/index.js';

const match = (glob: string, name: string): boolean => compileGlobs([glob])(name);

describe('compileGlobs', () => {
  it.each([
    ['*', 'a.b/c', true],
    ['*', '', true],
    ['', '', true],
    ['', 'a', false],
    ['head.*', 'head.weight', true],
    ['head.*', 'xhead.weight', false],
    ['head.*', 'headXweight', false],
    ['*.bias', 'a.b.bias', true],
    ['*.bias', 'a.bias.x', false],
    ['layers.?.w', 'layers.1.w', true],
    ['layers.?.w', 'layers.10.w', false],
    ['?', '😀', true],
    ['??', '😀', false],
    ['*?', '😀', true],
    ['a*b*c', 'a1b2b3c', true],
    ['a*b*c', 'a1b2b3', false],
    ['[ab].(c)+$^\\', '[ab].(c)+$^\\', true],
    ['[ab]', 'a', false],
    ['a**', 'a', true],
    ['A', 'a', false],
    ['*\n*', 'a\nb', true],
  ])('%s on %s: %s', (glob, name, expected) => expect(match(glob, name)).toBe(expected));

  it('includes all by default and lets exclude win', () => {
    expect(compileGlobs()('x')).toBe(true);
    expect(compileGlobs([])('x')).toBe(true);
    const test = compileGlobs(['a*', 'b*'], ['*.bias', 'a?']);
    expect(['a.w', 'b.w', 'c.w', 'a.bias', 'ab'].map(test)).toEqual([true, true, false, false, false]);
  });

  it('agrees with the regular expression that a glob stands for', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?', '😀'), maxLength: 10 });
    const name = fc.string({ unit: fc.constantFrom('a', 'b', '.', '😀'), maxLength: 12 });
    fc.assert(
      fc.property(text, name, (glob, subject) => {
        const source = [...glob].map((c) => (c === '*' ? '.*' : c === '?' ? '.' : c.replace('.', '\\.'))).join('');
        expect(match(glob, subject)).toBe(new RegExp(`^${source}$`, 'su').test(subject));
      }),
      { numRuns: 20_000 },
    );
  });

  it('takes no exponential time', () => {
    const began = performance.now();
    expect(match(`${'*a'.repeat(200)}*b`, 'a'.repeat(2000))).toBe(false);
    expect(performance.now() - began).toBeLessThan(500);
  });
});
