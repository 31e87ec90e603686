import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { ObjectStore, PartUpload } from '../src/index.js';
import { expectError, pattern } from './helpers.js';

const MiB = 1024 * 1024;

/** What uploads in parts must do in every driver; a part of the contract of stores. */
export function partsContract(storeOf: () => ObjectStore): void {
  describe('uploads in parts', () => {
    const body = pattern(11 * MiB + 3);
    const pieces = [body.subarray(0, 5 * MiB), body.subarray(5 * MiB, 10 * MiB), body.subarray(10 * MiB)];
    const put = (upload: PartUpload, number: number, bytes = pieces[number - 1]!) =>
      upload.put(number, Readable.from([bytes]), bytes.length);

    it('takes parts in any order, each again, and shows nothing before it is complete', async () => {
      const store = storeOf();
      const upload = await store.beginParts('parts/a.bin');
      await put(upload, 3);
      await put(upload, 1, pattern(5 * MiB, 9));
      await put(upload, 1);
      expect(await upload.list()).toEqual([
        { number: 1, bytes: 5 * MiB },
        { number: 3, bytes: MiB + 3 },
      ]);
      await expectError('upload_incomplete', upload.complete(3), 'part 2');
      await put(upload, 2);
      expect(await store.head('parts/a.bin')).toBeNull();
      expect((await store.list('parts/')).objects).toEqual([]);

      const info = await upload.complete(3);
      expect(info).toEqual(await store.head('parts/a.bin'));
      expect(Buffer.from(await store.read('parts/a.bin', 0, body.length)).equals(body)).toBe(true);
      expect(await store.findParts('parts/a.bin')).toBeNull();
    });

    it('takes a part by its signed link, of the size that was signed', async () => {
      const upload = await storeOf().beginParts('parts/signed.bin');
      const url = await upload.signedUrl({ number: 2, bytes: 7, expiresSeconds: 60 });
      const sent = (text: string) => fetch(url, { method: 'PUT', body: text });
      expect((await sent('too long')).ok).toBe(false);
      expect((await sent('exactly')).ok).toBe(true);
      expect(await upload.list()).toEqual([{ number: 2, bytes: 7 }]);
      await upload.abort();
      expect((await sent('exactly')).ok).toBe(false);
    });

    it('is found again by its key, and begun only once', async () => {
      const store = storeOf();
      expect(await store.findParts('parts/again')).toBeNull();
      await put(await store.beginParts('parts/again'), 1);
      expect(await (await store.beginParts('parts/again')).list()).toHaveLength(1);
      expect(await (await store.findParts('parts/again'))!.list()).toHaveLength(1);
      // Another key that begins in the same way is another upload.
      expect(await store.findParts('parts/aga')).toBeNull();
      await (await store.findParts('parts/again'))!.abort();
      expect(await store.findParts('parts/again')).toBeNull();
    });

    it('has ended for those that come late', async () => {
      const store = storeOf();
      const upload = await store.beginParts('parts/late');
      await put(upload, 1);
      await upload.complete(1);
      await expectError('not_found', put(upload, 1), 'parts/late');
      await expectError('not_found', upload.complete(1), 'parts/late');
      await upload.abort();
      expect(await store.head('parts/late')).toMatchObject({ bytes: 5 * MiB });
    });

    it('becomes one object when several complete it at one time', async () => {
      const store = storeOf();
      const uploads = [await store.beginParts('parts/once.bin')];
      for (let i = 0; i < 2; i++) uploads.push((await store.findParts('parts/once.bin'))!);
      for (const number of [1, 2, 3]) await put(uploads[0]!, number);
      const ends = await Promise.allSettled(uploads.map((upload) => upload.complete(3)));
      const made = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
      const refused = ends.flatMap((end) => (end.status === 'rejected' ? [String(end.reason.code)] : []));
      expect(made.length).toBeGreaterThan(0);
      // Nobody was told of an object that is not the one that is there.
      for (const info of made) expect(info).toEqual(await store.head('parts/once.bin'));
      for (const code of refused) expect(['not_found', 'object_exists']).toContain(code);
      expect(Buffer.from(await store.read('parts/once.bin', 0, body.length)).equals(body)).toBe(true);
    });

    it('refuses a part of another size than it was said to have', async () => {
      const upload = await storeOf().beginParts('parts/size');
      await expectError('payload_too_large', upload.put(1, Readable.from([Buffer.alloc(6)]), 5), '5 bytes');
      await expectError('storage_error', upload.put(1, Readable.from([Buffer.alloc(4)]), 5), '4 of 5 bytes');
      expect(await upload.list()).toEqual([]);
      await upload.abort();
    });

    it('is cleared away when its sender is gone', async () => {
      const store = storeOf();
      await put(await store.beginParts('parts/gone'), 1);
      expect(await store.abortStaleUploads(3_600_000)).toBe(0);
      await new Promise((resolve) => setTimeout(resolve, 1100));
      expect(await store.abortStaleUploads(1)).toBe(1);
      expect(await store.findParts('parts/gone')).toBeNull();
    });
  });
}
