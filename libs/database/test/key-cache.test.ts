import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Database } from '../src/index.js';
import { KeyCache } from '../src/key-cache.js';
import { range, useWorld } from './fixtures.js';

const TTL_MS = 400;

describe('keys that were good a moment ago', () => {
  const world = useWorld();
  let db: Database;
  beforeAll(async () => {
    db = await connect({ url: world.url, keyTtlMs: TTL_MS });
  });
  afterAll(async () => db?.close());
  const code = (token: string) =>
    db.apiKeys.authenticate(token).then(
      () => 'ok',
      (error: { code: string }) => error.code,
    );

  it('are refused at once when this process revokes them', async () => {
    const { key, token } = await db.apiKeys.createKey(world.projectId, { name: 'here' });
    expect(await code(token)).toBe('ok');
    await db.apiKeys.revoke(world.projectId, key.id);
    expect(await code(token)).toBe('key_revoked');
  });

  it('are refused by then when another process revoked them', async () => {
    const { key, token } = await db.apiKeys.createKey(world.projectId, { name: 'elsewhere' });
    const since = performance.now();
    expect(await code(token)).toBe('ok');
    await world.db.apiKeys.revoke(world.projectId, key.id);
    const still = await code(token);
    // What the promise is about: on a machine so slow that the time was over by now, it was refused in time.
    if (performance.now() - since < TTL_MS) expect(still).toBe('ok');
    await sleep(TTL_MS);
    expect(await code(token)).toBe('key_revoked');
  });

  it('are refused once they expire, whatever is remembered', async () => {
    const lasting = await connect({ url: world.url, keyTtlMs: 60_000 });
    try {
      const expiresAt = new Date(Date.now() + 1000);
      const { token } = await lasting.apiKeys.createKey(world.projectId, { name: 'short', expiresAt });
      expect(await lasting.apiKeys.authenticate(token)).toMatchObject({ name: 'short' });
      await sleep(expiresAt.getTime() - Date.now() + 10);
      await expect(lasting.apiKeys.authenticate(token)).rejects.toMatchObject({ code: 'key_expired' });
    } finally {
      await lasting.close();
    }
  });

  it('do not open the door to wrong secrets, nor to other projects', async () => {
    const mine = await db.apiKeys.createKey(world.projectId, { name: 'mine' });
    const theirs = await db.apiKeys.createKey(world.strangerId, { name: 'theirs' });
    expect(await code(mine.token)).toBe('ok');
    expect(await code(`${mine.token.slice(0, -1)}${mine.token.endsWith('0') ? '1' : '0'}`)).toBe('unauthorized');
    const found = await Promise.all(range(10).map((i) => db.apiKeys.authenticate((i % 2 ? mine : theirs).token)));
    expect(found.map(({ projectId }) => projectId)).toEqual(
      range(10).map((i) => (i % 2 ? world.projectId : world.strangerId)),
    );
  });
});

describe('the cache', () => {
  it('asks once for many, again after its time, and never remembers a refusal', async () => {
    const cache = new KeyCache<number>(50);
    let asked = 0;
    const find = async () => {
      await sleep(5);
      return ++asked;
    };
    expect(await Promise.all(range(10).map(() => cache.get('a', find)))).toEqual(range(10).map(() => 1));
    await sleep(60);
    expect(await cache.get('a', find)).toBe(2);
    const refuse = () => Promise.reject(new Error('no'));
    await expect(cache.get('b', refuse)).rejects.toThrow('no');
    expect(await cache.get('b', find)).toBe(3);
  });

  it('forgets what is being asked when it is cleared', async () => {
    const cache = new KeyCache<string>(60_000);
    let answer: (text: string) => void = () => {};
    const first = cache.get('a', () => new Promise((resolve) => (answer = resolve)));
    cache.clear();
    expect(await cache.get('a', async () => 'after')).toBe('after');
    answer('before');
    expect(await first).toBe('before');
    expect(await cache.get('a', async () => 'never')).toBe('after');
  });
});
