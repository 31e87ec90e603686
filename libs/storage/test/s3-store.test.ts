import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { CreateMultipartUploadCommand, S3Client, UploadPartCommand } from '@aws-sdk/client-s3';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { NO_S3, startS3 } from '../../../test/support/s3.js';
import { S3Store } from '../src/index.js';
import { type Fault, faultProxy } from './fault-proxy.js';
import { expectError, pattern, tempFolder } from './helpers.js';
import { type Subject, storeContract } from './store.contract.js';

const s3 = await startS3();

if (s3 === null) {
  const name = `SKIPPED: S3 contract suite — ${NO_S3}`;
  console.warn(name);
  describe(name, () => {
    it.skipIf(process.env['AMALGAM_REQUIRE_S3'] !== '1')('has a server (AMALGAM_REQUIRE_S3=1 asks for one)', () => {
      expect.fail(`AMALGAM_REQUIRE_S3=1, but there is ${NO_S3}`);
    });
  });
} else {
  afterAll(() => s3.stop());

  storeContract('S3 driver', async (): Promise<Subject> => {
    const prefix = `contract-${Date.now()}`;
    const store = new S3Store({ ...s3, prefix });
    const { endpoint, region, accessKeyId, secretAccessKey, bucket } = s3;
    const client = new S3Client({
      endpoint,
      region,
      credentials: { accessKeyId, secretAccessKey },
      forcePathStyle: true,
    });
    return {
      store,
      async leaveUnfinished() {
        const target = { Bucket: bucket, Key: `${prefix}/unfinished/x` };
        const { UploadId } = await client.send(new CreateMultipartUploadCommand(target));
        await client.send(new UploadPartCommand({ ...target, UploadId, PartNumber: 1, Body: 'half of it' }));
      },
      async stop() {
        await store.abortStaleUploads(0);
        for (const { key } of (await store.list('')).objects) await store.delete(key);
        await store.close();
        client.destroy();
      },
    };
  });

  describe('S3 driver, failures', () => {
    it('names a missing bucket, for every kind of call', async () => {
      const store = new S3Store({ ...s3, bucket: 'no-such-bucket' });
      await expectError('storage_error', store.ping(), 's3://no-such-bucket/', 'bucket');
      await expectError('storage_error', store.put('a/b', 'x'), 's3://no-such-bucket/a/b', 'bucket');
      await expectError('storage_error', store.read('a/b', 0, 1), 's3://no-such-bucket/a/b', 'bucket');
      await expectError('storage_error', store.list('a/'), 's3://no-such-bucket/a/', 'bucket');
      await store.close();
    });

    it('never shows credentials', async () => {
      const secretAccessKey = 'not-the-secret-access-key';
      const unknownKey = { accessKeyId: 'AKIDNOTTHERE', secretAccessKey };
      for (const [credentials, text] of [
        [unknownKey, 'the object store'],
        [{ secretAccessKey }, 'refuses access'],
      ] as const) {
        const store = new S3Store({ ...s3, ...credentials });
        const error: unknown = await store.put('a', 'x').catch((caught: unknown) => caught);
        await expectError('storage_error', Promise.reject(error), `s3://${s3.bucket}/a`, text);
        const shown = inspect(error, { depth: 10, showHidden: true });
        for (const secret of [secretAccessKey, s3.accessKeyId, 'AKIDNOTTHERE', 'AWS4-HMAC']) {
          expect(shown).not.toContain(secret);
        }
        await store.close();
      }
    });

    it('says that a server does not answer', async () => {
      const store = new S3Store({ ...s3, endpoint: 'http://127.0.0.1:9' });
      await expectError('storage_error', store.ping(), 'cannot be reached');
      await store.close();
    });
  });

  describe('S3 driver, behind a network that fails', async () => {
    const proxy = await faultProxy(s3.endpoint);
    const store = new S3Store({ ...s3, endpoint: proxy.endpoint, prefix: 'faults' });
    const local = tempFolder();
    const big = pattern(20 * 1024 * 1024, 5);
    const stream = () => Readable.from([big], { objectMode: false });
    /** Lets `fault` happen to the first `times` requests that match; counts all that do. */
    const breaking = (verb: string, target: RegExp, fault: Fault, times = 1) => {
      const count = { seen: 0 };
      proxy.fault = (asked, url) => {
        if (asked !== verb || !target.test(url)) return null;
        count.seen++;
        return count.seen <= times ? fault : null;
      };
      return count;
    };
    afterEach(() => {
      proxy.fault = () => null;
    });
    afterAll(async () => {
      for (const { key } of (await store.list('')).objects) await store.delete(key);
      await store.close();
      await proxy.stop();
    });

    it('knows its own conditional write when the answer was lost', async () => {
      const small = breaking('PUT', /\/own\?/, 'lose the answer');
      expect(await store.put('own', 'x', { ifAbsent: true })).toMatchObject({ bytes: 1 });
      expect(small.seen).toBe(2);
      await expectError('object_exists', store.put('own', 'x', { ifAbsent: true }), 'own');
      const large = breaking('POST', /\/own-large\?.*uploadId=/, 'lose the answer');
      expect(await store.putStream('own-large', stream(), { ifAbsent: true })).toMatchObject({ bytes: big.length });
      expect(large.seen).toBe(2);
    });

    it('knows somebody else’s write even then', async () => {
      await store.put('theirs', 'theirs');
      breaking('PUT', /\/theirs\?/, 'lose the answer');
      await expectError('object_exists', store.put('theirs', 'ours', { ifAbsent: true }), 'theirs');
    });

    it('writes again after a conflict of conditional writes', async () => {
      const conflict = { status: 409, code: 'ConditionalRequestConflict' };
      breaking('PUT', /\/conflict\?/, conflict, 2);
      await store.put('conflict', 'x', { ifAbsent: true });
      const path = join(local, 'conflict');
      writeFileSync(path, big);
      const completions = breaking('POST', /\/conflict-large\?.*uploadId=/, conflict);
      expect(await store.putFile('conflict-large', path, { ifAbsent: true })).toMatchObject({ bytes: big.length });
      expect(completions.seen).toBe(2);
      breaking('POST', /\/conflict-stream\?.*uploadId=/, conflict);
      await expectError('storage_error', store.putStream('conflict-stream', stream(), { ifAbsent: true }), 'try again');
    });

    it('reads on when a body breaks off', async () => {
      await store.put('cut', big);
      const get = breaking('GET', /\/cut\?/, { cutAfter: 1000 }, 2);
      expect(Buffer.from(await store.read('cut', 5, 100_000)).equals(big.subarray(5, 100_005))).toBe(true);
      expect(get.seen).toBe(3);
      breaking('GET', /\/cut\?/, { cutAfter: 1000 }, 2);
      await store.download('cut', join(local, 'cut'));
      expect(readFileSync(join(local, 'cut')).equals(big)).toBe(true);
    });

    it('fails a stream whose body breaks off, and reads that never work', async () => {
      await store.put('cut', big);
      breaking('GET', /\/cut\?/, { cutAfter: 1000 }, 100);
      await expectError('storage_error', buffer(await store.stream('cut')), `s3://${s3.bucket}/faults/cut`);
      await expectError('storage_error', store.read('cut', 0, 100_000), `s3://${s3.bucket}/faults/cut`);
      await expectError('storage_error', store.download('cut', join(local, 'never')), `s3://${s3.bucket}/faults/cut`);
      expect(existsSync(join(local, 'never'))).toBe(false);
    });

    it('gets over errors that pass', async () => {
      breaking('PUT', /partNumber=/, { status: 503, code: 'SlowDown' }, 2);
      await store.putStream('slow', stream());
      breaking('GET', /\/slow\?/, { status: 500, code: 'InternalError' }, 2);
      expect((await store.read('slow', 0, 3)).byteLength).toBe(3);
    });

    it.each([
      { status: 507, code: 'InsufficientStorage' },
      { status: 400, code: 'QuotaExceeded' },
    ])('says storage_full for $status $code, and aborts the upload', async (fault) => {
      breaking('PUT', /./, fault, 100);
      await expectError('storage_full', store.put('full', 'x'), `s3://${s3.bucket}/faults/full`);
      await expectError('storage_full', store.putStream('full', stream()), `s3://${s3.bucket}/faults/full`);
      proxy.fault = () => null;
      expect(await store.abortStaleUploads(0)).toBe(0);
      expect(await store.head('full')).toBeNull();
    });

    it('signs links for the public endpoint', async () => {
      const inner = new S3Store({ ...s3, prefix: 'faults', publicEndpoint: proxy.endpoint });
      await inner.put('public', 'hello');
      const url = await inner.signedGetUrl('public', { expiresSeconds: 60 });
      expect(url.startsWith(proxy.endpoint)).toBe(true);
      expect(await (await fetch(url)).text()).toBe('hello');
      await inner.close();
    });
  });
}
