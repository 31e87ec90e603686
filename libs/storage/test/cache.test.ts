import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AmalgamError } from '@amalgam/contracts';
import { afterAll, describe, expect, it } from 'vitest';
import { FileStore, type FolderView, LocalCache, storeFolder } from '../src/index.js';
import { expectError, pattern, tempFolder } from './helpers.js';

const KiB = 1024;
const store = new FileStore({ root: tempFolder(), baseUrl: 'http://x', secret: 'x' });

interface Remote extends FolderView {
  fetches: string[];
  /** Runs before each fetch. */
  before: (signal: AbortSignal | undefined) => Promise<void>;
}

/** A folder of `count` files of 10 KiB that claims to have none of them on this machine. */
async function remote(prefix: string, count = 1): Promise<Remote> {
  for (let i = 0; i < count; i++) await store.put(`${prefix}/${i}.safetensors`, pattern(10 * KiB, i + 1));
  const folder = storeFolder(store, prefix, prefix);
  const view: Remote = {
    label: folder.label,
    list: () => folder.list(),
    source: (path) => folder.source(path),
    localPath: () => null,
    fetches: [],
    before: async () => {},
    async fetch(path, localFile, options) {
      view.fetches.push(path);
      await view.before(options?.signal);
      await folder.fetch(path, localFile, options);
    },
  };
  return view;
}

/** Two caches on one folder share nothing else, so they stand for two processes. */
function caches(maxBytes: number, count = 1, graceMs = 0): { folder: string; all: LocalCache[] } {
  const folder = join(tempFolder(), 'cache');
  const all = Array.from({ length: count }, () => new LocalCache(folder, maxBytes, { graceMs }));
  opened.push(...all);
  return { folder, all };
}

const opened: LocalCache[] = [];
afterAll(async () => {
  for (const cache of opened) await cache.close();
});

const kept = (folder: string): number => readdirSync(join(folder, 'files')).length;

describe('local cache', () => {
  it('gives the own place of what is on this machine', async () => {
    const { folder, all } = caches(1);
    await store.put('local/x', 'x');
    const file = await all[0]!.acquire(storeFolder(store, 'local', 'local'), 'x');
    expect(file.path).toBe(store.localPath('local/x'));
    await file.release();
    expect(existsSync(folder)).toBe(false);
  });

  it('fetches once, and gives the bytes under a name with the same ending', async () => {
    const { all } = caches(100 * KiB);
    const folder = await remote('once');
    const progress: number[] = [];
    for (let i = 0; i < 3; i++) {
      const file = await all[0]!.acquire(folder, '0.safetensors', { onProgress: (bytes) => progress.push(bytes) });
      expect(file.path).toMatch(/\.safetensors$/);
      expect(readFileSync(file.path).equals(pattern(10 * KiB, 1))).toBe(true);
      await file.release();
      await file.release();
      expect(existsSync(file.path)).toBe(false);
    }
    expect(folder.fetches).toHaveLength(1);
    expect(progress.at(-1)).toBe(10 * KiB);
  });

  it('fetches once for everybody at one time, also in two processes', async () => {
    const { all } = caches(100 * KiB, 2, 60_000);
    const folder = await remote('single');
    folder.before = () => sleep(300);
    const files = await Promise.all(Array.from({ length: 10 }, (_, i) => all[i % 2]!.acquire(folder, '0.safetensors')));
    expect(folder.fetches).toHaveLength(1);
    expect(new Set(files.map(({ path }) => path)).size).toBe(10);
    for (const file of files) await file.release();
  });

  it('fetches again what has changed', async () => {
    const { all } = caches(100 * KiB);
    const first = await all[0]!.acquire(await remote('change'), '0.safetensors');
    await store.put('change/0.safetensors', pattern(10 * KiB, 99));
    const view = await remote('change', 0);
    const second = await all[0]!.acquire(view, '0.safetensors');
    expect(readFileSync(first.path).equals(pattern(10 * KiB, 1))).toBe(true);
    expect(readFileSync(second.path).equals(pattern(10 * KiB, 99))).toBe(true);
  });

  it('evicts what was used longest ago', async () => {
    const { folder, all } = caches(35 * KiB);
    const files = await remote('lru', 5);
    const use = async (i: number) => {
      await (await all[0]!.acquire(files, `${i}.safetensors`)).release();
      await sleep(5);
    };
    for (const i of [0, 1, 2, 0, 3]) await use(i);
    expect(kept(folder)).toBe(3);
    expect(files.fetches).toHaveLength(4);
    await use(0);
    expect(files.fetches).toHaveLength(4);
    await use(1);
    expect(files.fetches).toHaveLength(5);
  });

  it('never evicts what is in use, here or in another process', async () => {
    const { folder, all } = caches(15 * KiB, 2, 1500);
    const files = await remote('pinned', 4);
    const held = await Promise.all([0, 1].map((i) => all[i]!.acquire(files, `${i}.safetensors`)));
    // Longer than the time after which a silent process counts as dead: these two are not silent.
    await sleep(2000);
    for (const i of [2, 3]) await (await all[i % 2]!.acquire(files, `${i}.safetensors`)).release();
    await sleep(1600);
    await (await all[0]!.acquire(files, '2.safetensors')).release();
    for (const [i, file] of held.entries()) {
      expect(readFileSync(file.path).equals(pattern(10 * KiB, i + 1))).toBe(true);
      await (await all[1 - i]!.acquire(files, `${i}.safetensors`)).release();
    }
    expect(files.fetches.filter((path) => path < '2')).toHaveLength(2);
    for (const file of held) await file.release();
    await sleep(1600);
    await (await all[0]!.acquire(files, '3.safetensors')).release();
    expect(kept(folder)).toBeLessThanOrEqual(2);
  });

  it('takes back what a dead process had in use', async () => {
    const { folder, all } = caches(15 * KiB, 1, 500);
    const files = await remote('dead', 3);
    const pins = () => readdirSync(join(folder, 'pins'));
    await (await all[0]!.acquire(files, '0.safetensors')).release();
    const [own] = pins();
    const dying = new LocalCache(folder, 15 * KiB, { graceMs: 1e9 });
    await dying.acquire(files, '1.safetensors');
    const dead = pins().find((name) => name !== own) ?? '';
    await utimes(join(folder, 'pins', dead), 1, 1);
    await sleep(600);
    await (await all[0]!.acquire(files, '2.safetensors')).release();
    expect(pins()).toEqual([own]);
    expect(kept(folder)).toBe(1);
    await dying.close();
  });

  it('aborts a fetch only when nobody waits any more', async () => {
    const { folder, all } = caches(100 * KiB);
    const files = await remote('abort');
    const seen: AbortSignal[] = [];
    files.before = async (signal) => {
      if (signal !== undefined) seen.push(signal);
      await sleep(200, undefined, { signal });
    };
    const reason = new Error('enough');
    const [first, second] = [new AbortController(), new AbortController()];
    const one = all[0]!.acquire(files, '0.safetensors', { signal: first.signal });
    const two = all[0]!.acquire(files, '0.safetensors', { signal: second.signal });
    setTimeout(() => first.abort(reason), 50);
    await expect(one).rejects.toBe(reason);
    await (await two).release();
    expect(files.fetches).toHaveLength(1);

    const others = await remote('abort-all');
    others.before = files.before;
    const alone = all[0]!.acquire(others, '0.safetensors', { signal: AbortSignal.timeout(50) });
    await expect(alone).rejects.toThrow(/timeout/);
    expect(seen.at(-1)?.aborted).toBe(true);
    await (await all[0]!.acquire(others, '0.safetensors')).release();
    expect(readdirSync(join(folder, 'temp'))).toEqual([]);
    expect(readdirSync(join(folder, 'locks'))).toEqual([]);
  });

  it('passes failures on, and can try again', async () => {
    const { all } = caches(100 * KiB);
    const files = await remote('failing');
    files.before = async () => {
      throw new AmalgamError('storage_error', 'the store is down');
    };
    await expectError('storage_error', all[0]!.acquire(files, '0.safetensors'), 'store is down');
    files.before = async () => {};
    await (await all[0]!.acquire(files, '0.safetensors')).release();
    await expectError('not_found', all[0]!.acquire(files, 'none'), 'failing', 'none');
  });

  it('makes room when the disk is full before the limit is reached', async () => {
    const { folder, all } = caches(1000 * KiB);
    const files = await remote('full', 3);
    for (const i of [0, 1]) await (await all[0]!.acquire(files, `${i}.safetensors`)).release();
    await sleep(5);
    let full = true;
    files.before = async () => {
      if (full) {
        full = false;
        throw new AmalgamError('storage_full', 'no space');
      }
    };
    await (await all[0]!.acquire(files, '2.safetensors')).release();
    expect(kept(folder)).toBe(1);
    files.before = async () => {
      throw new AmalgamError('storage_full', 'no space');
    };
    await expectError('storage_full', all[0]!.acquire(files, '0.safetensors'), 'no space');
  });
});
