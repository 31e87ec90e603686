import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createClient } from '@amalgam/client';
import type { Checkpoint, Problem } from '@amalgam/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_S3, startS3 } from '../../../test/support/s3.js';
import { buildApp } from '../src/index.js';
import { useWorld, weights } from './support/world.js';

const s3 = await startS3();

if (s3 === null) {
  const name = `SKIPPED: the API over S3 — ${NO_S3}`;
  console.warn(name);
  describe(name, () => {
    it.skipIf(process.env['AMALGAM_REQUIRE_S3'] !== '1')('has a server (AMALGAM_REQUIRE_S3=1 asks for one)', () => {
      expect.fail(`AMALGAM_REQUIRE_S3=1, but there is ${NO_S3}`);
    });
  });
} else {
  afterAll(() => s3.stop());

  describe('the API over S3', () => {
    const world = useWorld({
      env: {
        S3_ENDPOINT: s3.endpoint,
        S3_BUCKET: s3.bucket,
        AWS_REGION: s3.region,
        AWS_ACCESS_KEY_ID: s3.accessKeyId,
        AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
        AMALGAM_ALLOWED_ROOTS: `${pathToFileURL('/nowhere').href},s3://${s3.bucket}/shared`,
      },
    });

    beforeAll(async () => {
      await world.listen();
    });

    it('lets the dashboard send files to the bucket, and to no other place', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'amalgam-dashboard-'));
      await writeFile(join(folder, 'index.html'), '<!doctype html><title>Amalgam</title>');
      const { config, parts, log } = world;
      const app = await buildApp({ config, parts, log, dashboard: folder });
      const policy = String((await app.inject('/')).headers['content-security-policy']);
      await app.close();
      await rm(folder, { recursive: true });
      expect(policy.split(';')).toContain(`connect-src 'self' ${new URL(s3.endpoint).origin}`);
    });

    it('uploads straight to the bucket, hashes on completion, and redirects downloads there', async () => {
      const client = createClient({ baseUrl: world.config.publicUrl, apiKey: world.token });
      const bytes = weights(3);
      const checkpoint = await client.checkpoints.upload({ files: [{ path: 'model.safetensors', bytes }] });
      expect(checkpoint).toMatchObject({ state: 'ready', tensors: 2 });
      expect(checkpoint.files[0]!.sha256).toMatch(/^[0-9a-f]{64}$/);

      const path = `/v1/checkpoints/${checkpoint.id}/files/model.safetensors`;
      const redirect = await world.call('GET', path);
      expect(redirect.status).toBe(302);
      expect(redirect.headers['location']!.startsWith(s3.endpoint)).toBe(true);
      const fetched = await client.checkpoints.download(checkpoint.id, 'model.safetensors');
      expect(Buffer.from(fetched).equals(bytes)).toBe(true);

      expect(await world.call('GET', '/v1/objects/x?method=GET', { token: null })).toMatchObject({ status: 404 });
      await client.checkpoints.delete(checkpoint.id);
      expect((await world.parts.store.list(`checkpoints/${checkpoint.id}`)).objects).toEqual([]);
    });

    it('goes on within a large file after the connection broke, with the parts that are not in the bucket', async () => {
      const base = world.config.publicUrl;
      const bytes = weights(6, [10_000, 1050]);
      for (let at = 1024; at + 4 < bytes.length; at += 4096) bytes.writeUInt32LE(at, at);
      const files = [{ path: 'model.safetensors', bytes, sha256: createHash('sha256').update(bytes).digest('hex') }];
      // A client whose connection to the bucket is lost after two parts.
      const sent: string[] = [];
      const breaks: typeof fetch = async (input, init) => {
        const part = new URL(String(input)).searchParams.get('partNumber');
        if (part !== null && sent.length === 2) throw new TypeError('fetch failed');
        const response = await fetch(input, init);
        if (part !== null) sent.push(part);
        return response;
      };
      const broken = createClient({ baseUrl: base, apiKey: world.token, retries: 0, fetch: breaks });
      const upload = { name: 'broken off', files, concurrency: 1 };
      await expect(broken.checkpoints.upload(upload)).rejects.toMatchObject({ code: 'unavailable' });
      expect(sent).toEqual(['1', '2']);

      const again: string[] = [];
      const counts: typeof fetch = (input, init) => {
        const part = new URL(String(input)).searchParams.get('partNumber');
        if (part !== null) again.push(part);
        return fetch(input, init);
      };
      const client = createClient({ baseUrl: base, apiKey: world.token, fetch: counts });
      const [pending] = (await client.checkpoints.page({ name: 'broken off', state: 'pending' })).data;
      const progress: number[] = [];
      const onProgress = (done: number) => progress.push(done);
      const done = await client.checkpoints.upload({ ...upload, resume: pending!.id, onProgress });
      expect(done).toMatchObject({ id: pending!.id, state: 'ready', files: [{ sha256: files[0]!.sha256 }] });
      expect(again).toEqual(['3']);
      expect(progress).toEqual([32 * 1024 * 1024, bytes.length]);
      const fetched = await client.checkpoints.download(done.id, 'model.safetensors');
      expect(Buffer.from(fetched).equals(bytes)).toBe(true);
    });

    it('leaves no parts of an upload that is deleted', async () => {
      const files = [{ path: 'model.safetensors', bytes: 40 * 1024 * 1024 }];
      const { body } = await world.call<Checkpoint>('POST', '/v1/checkpoints', { body: { files } });
      const key = `checkpoints/${body.id}/model.safetensors`;
      expect(await world.parts.store.findParts(key)).not.toBeNull();
      expect((await world.call('DELETE', `/v1/checkpoints/${body.id}`)).status).toBe(204);
      expect(await world.parts.store.findParts(key)).toBeNull();
    });

    it('finds a wrong digest by reading what arrived', async () => {
      const bytes = weights(4);
      const { body } = await world.call<Checkpoint>('POST', '/v1/checkpoints', {
        body: { files: [{ path: 'model.safetensors', bytes: bytes.length, sha256: 'ab'.repeat(32) }] },
      });
      const sent = await fetch(body.uploads![0]!.url, { method: 'PUT', body: new Uint8Array(bytes) });
      expect(sent.status).toBe(200);
      const refused = await world.call<Problem>('POST', `/v1/checkpoints/${body.id}/complete`);
      expect(refused).toMatchObject({ status: 422, body: { code: 'digest_mismatch' } });
    });

    it('registers what lies below an allowed prefix, streams it, and nothing beside it', async () => {
      const bytes = weights(5);
      await world.parts.store.put('shared/llama/model.safetensors', bytes);
      await world.parts.store.put('private/llama/model.safetensors', bytes);
      const register = (uri: string) => world.call<Checkpoint & Problem>('POST', '/v1/checkpoints', { body: { uri } });
      const { status, body } = await register(`s3://${s3.bucket}/shared/llama`);
      expect({ status, name: body.name }).toEqual({ status: 201, name: 'llama' });
      const response = await world.app.inject({
        url: `/v1/checkpoints/${body.id}/files/model.safetensors`,
        headers: { authorization: `Bearer ${world.token}`, range: 'bytes=8-15' },
      });
      expect(response.rawPayload.equals(bytes.subarray(8, 16))).toBe(true);
      for (const uri of [`s3://${s3.bucket}/private/llama`, `s3://${s3.bucket}/sharedx`, 's3://other-bucket/shared']) {
        expect((await register(uri)).body.code).toBe('uri_not_allowed');
      }
      // Deleting it leaves alone what is not ours.
      expect((await world.call('DELETE', `/v1/checkpoints/${body.id}`)).status).toBe(204);
      expect(await world.parts.store.head('shared/llama/model.safetensors')).not.toBeNull();
    });
  });
}
