import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';
import { FileStore, LocalCache, openStore, storeFolder, verifySignedUrl } from '../src/index.js';
import { expectError, pattern, tempFolder } from './helpers.js';

const MiB = 1024 * 1024;
const top = tempFolder();
const make = (root: string) => new FileStore({ root, baseUrl: 'http://api/base/', secret: 'secret' });

/** A file system of 1 MiB, or null when this process may not mount one. */
function tinyDisk(): string | null {
  const folder = join(top, 'tiny');
  mkdirSync(folder);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    return null;
  }
  afterAll(() => execFileSync('umount', [folder]));
  return folder;
}

const disk = tinyDisk();
if (disk === null) console.warn('SKIPPED: full disk — mounting a tmpfs needs root');

describe.skipIf(disk === null)(disk === null ? 'SKIPPED: full disk — mounting a tmpfs needs root' : 'full disk', () => {
  const root = join(disk ?? top, 'objects');
  const store = make(root);

  it('says storage_full, and keeps nothing of the object', async () => {
    const big = join(top, 'big');
    writeFileSync(big, pattern(2 * MiB));
    await store.put('small', 'fits');
    for (const write of [
      () => store.put('a/big', pattern(2 * MiB)),
      () => store.putFile('a/big', big),
      () => store.putFile('a/big', big, { consume: true }),
      () => store.putStream('a/big', Readable.from([pattern(2 * MiB)], { objectMode: false })),
    ]) {
      await expectError('storage_full', write(), 'a/big', 'no space');
      expect(readdirSync(join(root, '.tmp'))).toEqual([]);
      expect(await store.head('a/big')).toBeNull();
    }
    expect(existsSync(big)).toBe(true);
    await store.put('b', pattern(MiB / 4));
  });

  it('reaches the user of the cache as storage_full', async () => {
    const far = make(join(top, 'far'));
    await far.put('far/big', pattern(2 * MiB));
    const folder = { ...view(far), localPath: () => null };
    const cache = new LocalCache(join(disk ?? top, 'cache'), 100 * MiB);
    await expectError('storage_full', cache.acquire(folder, 'big'), 'no space');
    await expectError('storage_full', far.download('far/big', join(disk ?? top, 'down')), 'no space');
    expect(readdirSync(join(disk ?? top, 'cache/temp'))).toEqual([]);
    expect(readdirSync(disk ?? top).sort()).toEqual(['cache', 'objects']);
    await cache.close();
  });
});

function view(store: FileStore) {
  const folder = storeFolder(store, 'far', 'far');
  return {
    label: folder.label,
    list: () => folder.list(),
    source: (path: string) => folder.source(path),
    fetch: (path: string, localFile: string) => folder.fetch(path, localFile),
  };
}

describe('file driver', () => {
  it('moves a file that it may consume, and copies one that has another name', async () => {
    const store = make(join(top, 'moves'));
    const path = join(top, 'result');
    writeFileSync(path, 'result');
    const { ino } = statSync(path);
    await store.putFile('moved', path, { consume: true });
    expect(statSync(store.localPath('moved')).ino).toBe(ino);
    execFileSync('ln', [store.localPath('moved'), path]);
    await store.putFile('copied', path, { consume: true, ifAbsent: true });
    expect(existsSync(path)).toBe(false);
    expect(statSync(store.localPath('copied')).ino).not.toBe(ino);
  });

  it('never follows a link out of its folder', async () => {
    const root = join(top, 'links');
    const store = make(root);
    await store.put('in/x', 'x');
    mkdirSync(join(top, 'elsewhere'));
    writeFileSync(join(top, 'elsewhere/secret'), 'secret');
    symlinkSync('../elsewhere', join(root, 'out'));
    symlinkSync('../elsewhere/secret', join(root, 'secret'));
    for (const key of ['out/secret', 'secret']) {
      await expectError('storage_error', store.head(key), key, 'symbolic link');
      await expectError('storage_error', store.read(key, 0, 1), key, 'symbolic link');
      await expectError('storage_error', store.stream(key), key, 'symbolic link');
      await expectError('storage_error', store.download(key, join(top, 'stolen')), key, 'symbolic link');
      await expectError('storage_error', () => store.localPath(key), key, 'symbolic link');
    }
    await expectError('storage_error', store.put('out/secret', 'y'), 'symbolic link');
    await expectError('storage_error', store.put('out/new/folder/x', 'y'), 'symbolic link');
    await expectError('storage_error', store.delete('out/secret'), 'symbolic link');
    await expectError('storage_error', store.list('out/'), 'symbolic link');
    expect(readdirSync(join(top, 'elsewhere'))).toEqual(['secret']);
    expect((await store.list('')).objects.map(({ key }) => key)).toEqual(['in/x']);
    // Writing replaces a link, it does not write through it.
    await store.put('secret', 'mine');
    expect(statSync(join(top, 'elsewhere/secret')).size).toBe(6);
  });

  it('survives writers and deleters of one folder at the same time', async () => {
    const store = make(join(top, 'busy'));
    const work = Array.from({ length: 40 }, async (_, i) => {
      await store.put(`a/b/c/${i}`, 'x');
      await store.delete(`a/b/c/${i}`);
    });
    await Promise.all(work);
    expect(readdirSync(join(top, 'busy'))).toEqual(['.tmp']);
  });

  it('tells that a name is a folder already', async () => {
    const store = make(join(top, 'names'));
    await store.put('a/b', 'x');
    await expectError('storage_error', store.put('a', 'x'), 'both an object and a folder');
    await expectError('storage_error', store.put('a/b/c', 'x'), 'both an object and a folder');
  });

  it('fails a ping when its folder cannot be one', async () => {
    writeFileSync(join(top, 'a-file'), '');
    const store = openStore({ kind: 'file', root: join(top, 'a-file'), baseUrl: '', secret: '' });
    await expectError('storage_error', store.ping(), 'folder');
  });
});

describe('signed links of the file driver', () => {
  const store = make(join(top, 'signed'));
  const verify = (url: string, method = 'GET', secret = 'secret', now?: number) =>
    verifySignedUrl(secret, method, url, now);

  it('carry what they allow', async () => {
    const get = await store.signedGetUrl('a b/ü+?.bin', { expiresSeconds: 60, filename: 'x"y.bin' });
    expect(get).toMatch(/^http:\/\/api\/base\/v1\/objects\/a%20b\/%C3%BC%2B%3F\.bin\?/);
    const allowed = { method: 'GET', key: 'a b/ü+?.bin', bytes: null, filename: 'x"y.bin', part: null };
    expect(verify(get)).toEqual(allowed);
    expect(verify(get, 'HEAD')).toEqual(allowed);
    const put = new URL(await store.signedPutUrl('k', { expiresSeconds: 60, bytes: 0 }));
    const written = { method: 'PUT', key: 'k', bytes: 0, filename: null, part: null };
    expect(verify(put.pathname + put.search, 'PUT')).toEqual(written);
    const parts = await store.beginParts('k');
    const part = new URL(await parts.signedUrl({ number: 2, expiresSeconds: 60, bytes: 7 }));
    expect(verify(part.pathname + part.search, 'PUT')).toEqual({ ...written, bytes: 7, part: 2 });
    await parts.abort();
  });

  it('are void when anything is changed', async () => {
    const get = await store.signedGetUrl('a/b', { expiresSeconds: 60, filename: 'n' });
    const put = await store.signedPutUrl('a/b', { expiresSeconds: 60, bytes: 5 });
    for (const url of [
      get.replace('a/b', 'a/c'),
      get.replace('a/b', 'a/../a/b'),
      get.replace('a/b', '%ff'),
      get.replace('method=GET', 'method=PUT'),
      get.replace('filename=n', 'filename=m'),
      get.replace('&filename=n', ''),
      get.replace(/expires=\d/, 'expires=9'),
      get.replace(/signature=.*/, ''),
      get.replace(/signature=../, 'signature=zz'),
      get.split('?')[0] ?? '',
      'http://api/elsewhere',
    ]) {
      await expectError('link_expired', () => verify(url), 'signature');
    }
    for (const url of [
      put.replace('bytes=5', 'bytes=6'),
      put.replace('&bytes=5', ''),
      put.replace('bytes=5', 'bytes=-5'),
    ]) {
      await expectError('link_expired', () => verify(url, 'PUT'), 'signature');
    }
    await expectError('link_expired', () => verify(get, 'GET', 'another secret'), 'signature');
    await expectError('link_expired', () => verify(get, 'PUT'), 'for GET');
    await expectError('link_expired', () => verify(put, 'GET'), 'for PUT');
    await expectError('link_expired', () => verify(get, 'GET', 'secret', Date.now() + 61_000), 'expired');
  });
});
