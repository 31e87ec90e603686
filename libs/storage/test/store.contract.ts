import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { isAmalgamError } from '@amalgam/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ObjectStore } from '../src/index.js';
import { expectError, pattern, tempFolder } from './helpers.js';
import { partsContract } from './parts.contract.js';

export interface Subject {
  store: ObjectStore;
  /** Leaves an upload behind as a writer that dies would. */
  leaveUnfinished(): Promise<void>;
  stop(): Promise<void>;
}

const MiB = 1024 * 1024;

/** What every driver must do; each driver's test file runs it. */
export function storeContract(name: string, start: () => Promise<Subject>): void {
  describe(name, () => {
    const local = tempFolder();
    let subject: Subject;
    let store: ObjectStore;

    beforeAll(async () => {
      subject = await start();
      store = subject.store;
    });
    afterAll(() => subject?.stop());

    it('answers a ping', () => store.ping());

    describe('round trips', () => {
      it.each([0, 1, 65_537])('puts and reads %i bytes', async (bytes) => {
        const body = pattern(bytes);
        const info = await store.put(`round/${bytes}.bin`, body);
        expect(info).toMatchObject({ key: `round/${bytes}.bin`, bytes });
        expect(info.etag).not.toMatch(/^$|"/);
        expect(Math.abs(info.modified.getTime() - Date.now())).toBeLessThan(60_000);
        expect(await store.head(info.key)).toEqual(info);
        expect(Buffer.from(await store.read(info.key, 0, bytes)).equals(body)).toBe(true);
        expect((await buffer(await store.stream(info.key))).equals(body)).toBe(true);
      });

      it('puts text, and overwrites it', async () => {
        await store.put('round/text', 'one', { contentType: 'text/plain' });
        await store.put('round/text', 'zwölf');
        expect(await text(await store.stream('round/text'))).toBe('zwölf');
      });

      it('keeps keys with unusual letters', async () => {
        const key = 'round/ä b+c=(d),e@f#g?h&i%2e%2e/ü.txt';
        await store.put(key, 'x');
        expect(await store.head(key)).toMatchObject({ key, bytes: 1 });
        expect((await store.list('round/ä')).objects.map((object) => object.key)).toEqual([key]);
        await store.delete(key);
        expect(await store.head(key)).toBeNull();
      });

      it('moves 40 MB through a file, with progress', async () => {
        const body = pattern(40 * 1000 * 1000, 7);
        await writeFile(join(local, 'big'), body);
        const progress: number[] = [];
        const info = await store.putFile('round/big', join(local, 'big'), { onProgress: (n) => progress.push(n) });
        expect(info.bytes).toBe(body.byteLength);
        expect(progress.at(-1)).toBe(body.byteLength);
        expect([...progress].sort((a, b) => a - b)).toEqual(progress);
        const down: number[] = [];
        await store.download('round/big', join(local, 'deep/er/copy'), { onProgress: (n) => down.push(n) });
        expect((await readFile(join(local, 'deep/er/copy'))).equals(body)).toBe(true);
        expect(down.at(-1)).toBe(body.byteLength);
        expect(existsSync(join(local, 'big'))).toBe(true);
        expect(
          Buffer.from(await store.read('round/big', 17 * MiB, 5)).equals(body.subarray(17 * MiB, 17 * MiB + 5)),
        ).toBe(true);
      });

      it('takes a file over with consume', async () => {
        for (const bytes of [3, 17 * MiB]) {
          const path = join(local, `consumed-${bytes}`);
          await writeFile(path, pattern(bytes));
          await store.putFile(`round/consumed-${bytes}`, path, { consume: true, ifAbsent: true });
          expect(existsSync(path)).toBe(false);
          expect((await store.head(`round/consumed-${bytes}`))?.bytes).toBe(bytes);
        }
      });

      it.each([0, 5, 20 * MiB])('puts a stream of %i bytes', async (bytes) => {
        const body = pattern(bytes, 3);
        const pieces = bytes === 0 ? [] : [body.subarray(0, 3), body.subarray(3)];
        const info = await store.putStream('round/stream', Readable.from(pieces, { objectMode: false }));
        expect(info.bytes).toBe(bytes);
        expect((await buffer(await store.stream('round/stream'))).equals(body)).toBe(true);
      });

      it('refuses a stream that is too long, and a missing local file', async () => {
        for (const bytes of [11, 20 * MiB]) {
          const stream = Readable.from([pattern(bytes)], { objectMode: false });
          await expectError(
            'payload_too_large',
            store.putStream('round/long', stream, { maxBytes: bytes - 1 }),
            'round/long',
          );
        }
        await store.putStream('round/fits', Readable.from([pattern(11)]), { maxBytes: 11 });
        await expectError('not_found', store.putFile('round/long', join(local, 'none')), 'none');
        expect(await store.head('round/long')).toBeNull();
      });

      it('fails, and shows nothing, when the source stream fails', async () => {
        const broken = Readable.from(
          (async function* () {
            yield pattern(18 * MiB);
            throw new Error('the client went away');
          })(),
          { objectMode: false },
        );
        await expectError('storage_error', store.putStream('round/broken', broken), 'client went away');
        expect(await store.head('round/broken')).toBeNull();
      });
    });

    describe('what is not there', () => {
      it('says so', async () => {
        expect(await store.head('none/here')).toBeNull();
        await expectError('not_found', store.read('none/here', 0, 1), 'none/here');
        await expectError('not_found', store.read('none/here', 0, 0), 'none/here');
        await expectError('not_found', store.stream('none/here'), 'none/here');
        await expectError('not_found', store.download('none/here', join(local, 'none-here')), 'none/here');
        expect(existsSync(join(local, 'none-here'))).toBe(false);
        await store.delete('none/here');
        expect(await store.deletePrefix('none')).toBe(0);
        expect(await store.list('none/')).toEqual({ objects: [], next_cursor: null });
      });

      it('holds for folders too', async () => {
        await store.put('dir/sub/x', 'x');
        expect(await store.head('dir/sub')).toBeNull();
        expect(await store.head('dir/sub/x/y')).toBeNull();
        await store.delete('dir/sub');
        await expectError('not_found', store.read('dir/sub', 0, 1), 'dir/sub');
        expect(await store.head('dir/sub/x')).not.toBeNull();
      });
    });

    describe('ranges', () => {
      const body = pattern(1000);
      beforeAll(() => store.put('range', body));

      it.each([
        [0, 1],
        [0, 1000],
        [999, 1],
        [500, 0],
        [1000, 0],
        [37, 400],
      ])('reads and streams %i+%i', async (offset, length) => {
        const expected = body.subarray(offset, offset + length);
        const read = await store.read('range', offset, length);
        expect(Buffer.from(read).equals(expected)).toBe(true);
        expect([read.byteOffset, read.buffer.byteLength]).toEqual([0, length]);
        expect((await buffer(await store.stream('range', { offset, length }))).equals(expected)).toBe(true);
      });

      it('streams to the end', async () => {
        expect((await buffer(await store.stream('range', { offset: 990 }))).equals(body.subarray(990))).toBe(true);
        expect((await buffer(await store.stream('range', { offset: 1000 }))).byteLength).toBe(0);
      });

      it.each([
        [0, 1001],
        [999, 2],
        [1000, 1],
        [5000, 1],
        [1001, 0],
        [-1, 1],
        [0.5, 1],
      ])('refuses %f+%i, past the end or no range', async (offset, length) => {
        await expectError('storage_error', store.read('range', offset, length), 'range');
        await expectError('storage_error', store.stream('range', { offset, length }), 'range');
      });

      it('refuses to stream from past the end', () =>
        expectError('storage_error', store.stream('range', { offset: 1001 }), 'range'));
    });

    describe('conditional writes', () => {
      it('lets exactly one of 20 racers win', async () => {
        const bodies = Array.from({ length: 20 }, (_, i) => pattern(1000 + i, i + 1));
        const results = await Promise.allSettled(
          bodies.map((body, i) =>
            i % 2 === 0
              ? store.put('race/one', body, { ifAbsent: true })
              : store.putStream('race/one', Readable.from([body]), { ifAbsent: true }),
          ),
        );
        const won = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []));
        expect(won).toHaveLength(1);
        for (const result of results) {
          if (result.status === 'rejected') {
            expect(isAmalgamError(result.reason) && result.reason.code, String(result.reason)).toBe('object_exists');
          }
        }
        const winner = bodies[won[0] ?? 0] ?? Buffer.alloc(0);
        expect((await buffer(await store.stream('race/one'))).equals(winner)).toBe(true);
      });

      it('lets exactly one of 3 large racers win', async () => {
        const results = await Promise.allSettled(
          [1, 2, 3].map((seed) =>
            store.putStream('race/large', Readable.from([pattern(17 * MiB, seed)], { objectMode: false }), {
              ifAbsent: true,
            }),
          ),
        );
        const codes = results.map((result) =>
          result.status === 'fulfilled' ? 'won' : isAmalgamError(result.reason) ? result.reason.code : result.reason,
        );
        expect(codes.sort()).toEqual(['object_exists', 'object_exists', 'won']);
      });

      it('refuses whatever kind of write, and keeps the local file', async () => {
        await store.put('race/taken', 'first', { ifAbsent: true });
        const path = join(local, 'second');
        await writeFile(path, pattern(17 * MiB));
        await expectError('object_exists', store.put('race/taken', 'x', { ifAbsent: true }), 'race/taken');
        for (const consume of [false, true]) {
          await expectError(
            'object_exists',
            store.putFile('race/taken', path, { ifAbsent: true, consume }),
            'race/taken',
          );
        }
        expect(existsSync(path)).toBe(true);
        expect(await text(await store.stream('race/taken'))).toBe('first');
        await store.delete('race/taken');
        await store.put('race/taken', 'again', { ifAbsent: true });
      });
    });

    it('notices a change by the etag', async () => {
      const first = await store.put('changing', 'aaaa');
      expect(Buffer.from(await store.read('changing', 0, 4, { etag: first.etag })).toString()).toBe('aaaa');
      const second = await store.put('changing', 'bbbb');
      expect(second.etag).not.toBe(first.etag);
      await expectError('checkpoint_changed', store.read('changing', 0, 4, { etag: first.etag }), 'changing');
      await expectError('checkpoint_changed', store.read('changing', 0, 0, { etag: first.etag }), 'changing');
      const target = join(local, 'changed');
      await expectError('checkpoint_changed', store.download('changing', target, { etag: first.etag }), 'changing');
      expect(existsSync(target)).toBe(false);
      expect(Buffer.from(await store.read('changing', 0, 4, { etag: second.etag })).toString()).toBe('bbbb');
    });

    describe('lists', () => {
      // In the order of keys: "-" and "." come before "/", "0" and letters after.
      const names = ['B', 'a', 'b-c', 'b.d/e', 'b/c', 'b/d/e', 'b0', 'ba/x', 'é', '日本'];
      beforeAll(async () => {
        for (const name of [...names].reverse()) await store.put(`list/${name}`, name);
        await store.put('lists/not', 'x');
      });

      it('in order, with sizes and etags', async () => {
        const { objects, next_cursor } = await store.list('list/');
        expect(objects.map(({ key }) => key)).toEqual(names.map((name) => `list/${name}`));
        expect(next_cursor).toBeNull();
        for (const object of objects) expect(object).toEqual(await store.head(object.key));
      });

      it.each([1, 3, 10, 1000])('in pages of %i', async (limit) => {
        const keys: string[] = [];
        let cursor: string | null = null;
        do {
          const page = await store.list('list/', cursor === null ? { limit } : { limit, cursor });
          expect(page.objects.length).toBeLessThanOrEqual(limit);
          keys.push(...page.objects.map(({ key }) => key));
          cursor = page.next_cursor;
        } while (cursor !== null);
        expect(keys).toEqual(names.map((name) => `list/${name}`));
      });

      it('by a prefix that ends within a name', async () => {
        const keys = async (prefix: string) => (await store.list(prefix)).objects.map(({ key }) => key);
        expect(await keys('list/b')).toEqual(
          ['b-c', 'b.d/e', 'b/c', 'b/d/e', 'b0', 'ba/x'].map((name) => `list/${name}`),
        );
        expect(await keys('list/b/')).toEqual(['list/b/c', 'list/b/d/e']);
        expect(await keys('list/b/d')).toEqual(['list/b/d/e']);
        expect(await keys('lis')).toHaveLength(names.length + 1);
        expect((await keys('')).length).toBeGreaterThan(names.length);
      });

      it('refuses a foreign cursor', () =>
        expectError('invalid_request', store.list('list/', { cursor: '!' }), 'cursor'));
    });

    it('deletes a folder, and not what merely begins like it', async () => {
      for (const key of ['drop/a', 'drop/b/c', 'drop/b/d', 'dropped/x', 'drop-x']) await store.put(key, key);
      expect(await store.deletePrefix('drop')).toBe(3);
      expect((await store.list('drop')).objects.map(({ key }) => key)).toEqual(['drop-x', 'dropped/x']);
      expect(await store.deletePrefix('dropped/')).toBe(1);
      for (const all of ['', '/']) await expectError('invalid_request', store.deletePrefix(all), 'empty');
      await store.put('drop/b', 'a file where a folder was');
      expect(await store.deletePrefix('drop')).toBe(1);
    });

    describe('signed links', () => {
      it('GET', async () => {
        await store.put('signed/ä b.txt', 'hello');
        const url = await store.signedGetUrl('signed/ä b.txt', { expiresSeconds: 60, filename: 'größe "1".txt' });
        const response = await fetch(url);
        expect(response.status).toBe(200);
        expect(await response.text()).toBe('hello');
        expect(response.headers.get('content-disposition')).toMatch(/^attachment; .*filename\*=UTF-8''gr%C3%B6%C3%9Fe/);
        expect((await fetch(url.replace('signed', 'zigned'))).status).toBe(403);
        expect((await fetch(url, { method: 'PUT', body: 'evil!' })).status).toBe(403);
      });

      it('PUT, of the stated size only', async () => {
        const url = await store.signedPutUrl('signed/put.bin', { expiresSeconds: 60, bytes: 5 });
        expect((await fetch(url, { method: 'PUT', body: '123456' })).status).toBeGreaterThanOrEqual(400);
        expect((await fetch(url.replace('put.bin', 'other.bin'), { method: 'PUT', body: '12345' })).status).toBe(403);
        expect(await store.head('signed/put.bin')).toBeNull();
        expect((await fetch(url, { method: 'PUT', body: '12345' })).status).toBe(200);
        expect(await text(await store.stream('signed/put.bin'))).toBe('12345');
        expect((await fetch(url)).status).toBe(403);
      });

      it('expire', async () => {
        await store.put('signed/old', 'x');
        const url = await store.signedGetUrl('signed/old', { expiresSeconds: 1 });
        await new Promise((resolve) => setTimeout(resolve, 2100));
        expect((await fetch(url)).status).toBe(403);
        for (const expiresSeconds of [0, 1.5, 604_801]) {
          await expectError('invalid_request', store.signedGetUrl('signed/old', { expiresSeconds }), 'seconds');
        }
      });
    });

    describe('aborting', () => {
      const reason = new Error('enough');

      it('a call whose signal is aborted already', async () => {
        const signal = AbortSignal.abort(reason);
        await store.put('abort/source', 'x');
        await writeFile(join(local, 'abort'), 'x');
        await expect(store.putFile('abort/file', join(local, 'abort'), { signal })).rejects.toBe(reason);
        await expect(store.putStream('abort/stream', Readable.from(['x']), { signal })).rejects.toBe(reason);
        await expect(store.download('abort/source', join(local, 'abort-down'), { signal })).rejects.toBe(reason);
        await expect(store.stream('abort/source', { signal })).rejects.toBe(reason);
        expect(existsSync(join(local, 'abort-down'))).toBe(false);
      });

      it('a stream that stalls', async () => {
        const abort = new AbortController();
        const stalled = new Readable({ read() {} });
        stalled.push(pattern(20 * MiB));
        const write = store.putStream('abort/stalled', stalled, { signal: abort.signal });
        setTimeout(() => abort.abort(reason), 300);
        await expect(write).rejects.toBe(reason);
        expect(await store.head('abort/stalled')).toBeNull();
        expect(stalled.destroyed).toBe(true);
      });

      it('a file in the middle, up and down', async () => {
        const path = join(local, 'abort-big');
        await writeFile(path, pattern(80 * MiB));
        const up = new AbortController();
        const onProgress = (controller: AbortController) => () => controller.abort(reason);
        await expect(store.putFile('abort/big', path, { signal: up.signal, onProgress: onProgress(up) })).rejects.toBe(
          reason,
        );
        expect((await store.list('abort/b')).objects).toEqual([]);
        // Nothing of it is left on the server either.
        expect(await store.abortStaleUploads(0)).toBe(0);
        await store.putFile('abort/big', path);
        const down = new AbortController();
        const target = join(local, 'abort-down');
        await expect(
          store.download('abort/big', target, { signal: down.signal, onProgress: onProgress(down) }),
        ).rejects.toBe(reason);
        expect(existsSync(target)).toBe(false);
        await store.delete('abort/big');
      });
    });

    partsContract(() => store);

    it('clears away what dead writers left', async () => {
      await subject.leaveUnfinished();
      await subject.leaveUnfinished();
      expect(await store.abortStaleUploads(3_600_000)).toBe(0);
      await new Promise((resolve) => setTimeout(resolve, 1100));
      expect(await store.abortStaleUploads(1)).toBe(2);
      expect(await store.abortStaleUploads(1)).toBe(0);
    });

    it.each([
      // [key, part of the rule that the error states]
      ['', 'empty'],
      ['/a', 'empty segment'],
      ['a//b', 'empty segment'],
      ['a/', 'empty segment'],
      ['a/./b', '"."'],
      ['..', '".."'],
      ['a/../../b', '".."'],
      ['a\\b', 'backslash'],
      ['a\0b', 'control'],
      ['a\nb', 'control'],
      ['a\ud800', 'Unicode'],
      ['.tmp/x', 'reserved'],
      [`${'ä/'.repeat(400)}x`, '1024'],
      ['x'.repeat(256), '255'],
    ])('refuses the key %.20j (%s)', async (key, rule) => {
      await expectError('invalid_request', () => store.head(key), rule);
      await expectError('invalid_request', () => store.read(key, 0, 1), rule);
      await expectError('invalid_request', () => store.stream(key), rule);
      await expectError('invalid_request', () => store.put(key, 'x'), rule);
      await expectError('invalid_request', () => store.putFile(key, join(local, 'big')), rule);
      await expectError('invalid_request', () => store.putStream(key, Readable.from(['x'])), rule);
      await expectError('invalid_request', () => store.download(key, join(local, 'bad')), rule);
      await expectError('invalid_request', () => store.delete(key), rule);
      await expectError('invalid_request', () => store.signedGetUrl(key, { expiresSeconds: 1 }), rule);
      await expectError('invalid_request', () => store.signedPutUrl(key, { expiresSeconds: 1, bytes: 1 }), rule);
      await expectError('invalid_request', () => store.localPath(key), rule);
    });

    it.each(['/', '../', 'a//b', 'a\0', '.tmp/'])('refuses the prefix %j', async (prefix) => {
      await expectError('invalid_request', store.list(prefix), 'prefix');
    });
  });
}
