import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { newId, Vault } from '../src/index.js';
import { assertStorable, toNumber } from '../src/json.js';
import { range } from './fixtures.js';

describe('Vault', () => {
  const [old, fresh] = [randomBytes(32), randomBytes(32)];

  it('opens what it sealed, and seals the same text differently each time', () => {
    const vault = new Vault([fresh]);
    const sealed = vault.seal('whsec_ü', 'mrg_1');
    expect(sealed).toMatch(/^v1\.[0-9a-f]{8}\./);
    expect(vault.seal('whsec_ü', 'mrg_1')).not.toBe(sealed);
    expect(vault.open(sealed, 'mrg_1')).toBe('whsec_ü');
  });

  it('rotates: the first key seals, all open', () => {
    const sealed = new Vault([old]).seal('x', 'c');
    const both = new Vault([fresh, old]);
    expect(both.open(sealed, 'c')).toBe('x');
    expect(new Vault([fresh]).open(both.seal('y', 'c'), 'c')).toBe('y');
    expect(() => new Vault([fresh]).open(sealed, 'c')).toThrow(/which is not configured/);
  });

  it('refuses what was altered, cut or moved to another row', () => {
    const vault = new Vault([fresh]);
    const sealed = vault.seal('secret', 'mrg_1');
    expect(() => vault.open(sealed, 'mrg_2')).toThrow(/does not open/);
    const at = sealed.length - 10;
    const altered = `${sealed.slice(0, at)}${sealed[at] === 'A' ? 'B' : 'A'}${sealed.slice(at + 1)}`;
    expect(() => vault.open(altered, 'mrg_1')).toThrow(/does not open/);
    expect(() => vault.open(sealed.slice(0, -12), 'mrg_1')).toThrow(/does not open/);
    const [version, key, iv, data = ''] = sealed.split('.');
    expect(() => vault.open([version, key, iv, data.slice(0, 16)].join('.'), 'mrg_1')).toThrow(/does not open/);
    expect(() => vault.open(sealed.split('.').slice(0, 3).join('.'), 'mrg_1')).toThrow(/malformed/);
    expect(() => vault.open('v1.', 'mrg_1')).toThrow(/malformed/);
  });

  it('takes keys of 32 bytes', () => {
    expect(() => new Vault([randomBytes(16)])).toThrow(/32 bytes, not 16/);
    expect(() => new Vault([]).seal('x', 'c')).toThrow(/no secret key/);
  });
});

describe('ids', () => {
  it('sort in the order they were made', () => {
    const ids = range(1000).map(() => newId('merge'));
    expect(ids).toEqual(ids.toSorted());
    expect(new Set(ids).size).toBe(1000);
  });
});

describe('numbers and texts', () => {
  it('of 64 bits are refused past 2^53', () => {
    expect(toNumber(2n ** 53n - 1n)).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => toNumber(2n ** 53n)).toThrow(/does not fit/);
  });

  it('that cannot be kept are all named', () => {
    expect(() => assertStorable({ a: ['ok', '\0'], 'b\ud800': 1 })).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        errors: [expect.objectContaining({ pointer: '/a/1' }), expect.objectContaining({ pointer: '/b\ud800' })],
      }),
    );
    expect(() => assertStorable({ a: '😀', b: null, c: 1, d: undefined })).not.toThrow();
  });
});
