import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { Readable } from 'node:stream';
import type { Checkpoint, Problem } from '@amalgam/contracts';
import { beforeAll, describe, expect, it } from 'vitest';
import { useWorld, weights } from '../support/world.js';

const CONFIG = Buffer.from('{"a":1}');
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('uploads', () => {
  const world = useWorld();
  beforeAll(async () => {
    await world.listen();
  });

  const begin = async (files: { path: string; bytes: number; sha256?: string }[]) => {
    const { status, body } = await world.call<Checkpoint>('POST', '/v1/checkpoints', { body: { name: 'up', files } });
    expect(status).toBe(201);
    return { id: body.id, urls: Object.fromEntries(body.uploads!.map(({ path, url }) => [path, url])), body };
  };
  const put = (url: string, body: Buffer, headers: Record<string, string> = {}) =>
    fetch(url, { method: 'PUT', body: new Uint8Array(body), headers });
  const complete = (id: string) => world.call<Checkpoint & Problem>('POST', `/v1/checkpoints/${id}/complete`);
  const code = async (response: Response) => ((await response.json()) as Problem).code;

  it('takes every file, describes the whole, and removes the bytes with the checkpoint', async () => {
    const model = weights(2);
    const upload = await begin([
      { path: 'model.safetensors', bytes: model.length, sha256: sha256(model) },
      { path: 'tokenizer/vocab 1.json', bytes: CONFIG.length },
    ]);
    expect(upload.body).toMatchObject({ state: 'pending', source: 'upload', tensors: 0 });
    expect(new Date(upload.body.uploads![0]!.expires_at).getTime()).toBeGreaterThan(Date.now() + 3600_000);

    const early = await complete(upload.id);
    expect(early).toMatchObject({ status: 409, body: { code: 'upload_incomplete' } });
    expect(early.body.errors).toHaveLength(2);

    for (const [path, bytes] of [
      ['model.safetensors', model],
      ['tokenizer/vocab 1.json', CONFIG],
    ] as const) {
      const stored = await put(upload.urls[path]!, bytes, { 'content-type': 'application/x-anything' });
      expect(stored.status).toBe(200);
      expect(stored.headers.get('etag')).toMatch(/^".+"$/);
      expect(stored.headers.get('x-request-id')).toMatch(/^req_/);
    }
    const done = await complete(upload.id);
    expect(done).toMatchObject({ status: 200, body: { state: 'ready', tensors: 2, parameters: 6 } });
    expect(done.body.files).toEqual([
      { path: 'model.safetensors', bytes: model.length, sha256: sha256(model) },
      { path: 'tokenizer/vocab 1.json', bytes: CONFIG.length, sha256: sha256(CONFIG) },
    ]);
    expect((await complete(upload.id)).body).toEqual(done.body);

    const file = await fetch(`${world.config.publicUrl}/v1/checkpoints/${upload.id}/files/tokenizer/vocab%201.json`, {
      headers: { authorization: `Bearer ${world.token}` },
    });
    expect(Buffer.from(await file.arrayBuffer()).equals(CONFIG)).toBe(true);
    expect(file.headers.get('etag')).toBe(`"${sha256(CONFIG)}"`);
    expect(file.headers.get('content-disposition')).toBe('attachment; filename="vocab 1.json"');

    const again = await put(upload.urls['model.safetensors']!, weights(3));
    expect({ status: again.status, code: await code(again) }).toEqual({ status: 412, code: 'object_exists' });

    expect((await world.call('DELETE', `/v1/checkpoints/${upload.id}`)).status).toBe(204);
    expect((await world.parts.store.list(`checkpoints/${upload.id}`)).objects).toEqual([]);
    expect((await put(upload.urls['model.safetensors']!, model)).status).toBe(404);
  });

  it('goes on where an upload was left: links for what has not arrived, whole', async () => {
    const model = weights(2);
    const upload = await begin([
      { path: 'model.safetensors', bytes: model.length },
      { path: 'config.json', bytes: CONFIG.length },
    ]);
    const resume = () => world.call<Checkpoint & Problem>('POST', `/v1/checkpoints/${upload.id}/uploads`);
    expect((await put(upload.urls['config.json']!, CONFIG)).status).toBe(200);
    const { status, body } = await resume();
    expect({ status, id: body.id, state: body.state }).toEqual({ status: 200, id: upload.id, state: 'pending' });
    expect(body.uploads!.map(({ path }) => path)).toEqual(['model.safetensors']);
    expect(body.uploads![0]!.expires_at).toBe(upload.body.uploads![0]!.expires_at);
    expect((await put(body.uploads![0]!.url, model)).status).toBe(200);
    expect((await resume()).body.uploads).toEqual([]);
    expect((await complete(upload.id)).status).toBe(200);
    expect(await resume()).toMatchObject({ status: 412, body: { code: 'object_exists' } });
    expect((await world.call('POST', '/v1/checkpoints/ckpt_nothing/uploads')).status).toBe(404);
  });

  it('refuses another size, announced or not, and another digest; nothing of it is visible', async () => {
    const model = weights(4);
    const upload = await begin([{ path: 'model.safetensors', bytes: model.length, sha256: sha256(weights(5)) }]);
    const url = upload.urls['model.safetensors']!;
    const chunked = (bytes: Buffer) =>
      fetch(url, { method: 'PUT', body: Readable.toWeb(Readable.from([bytes])), duplex: 'half' } as RequestInit);
    for (const attempt of [
      put(url, model.subarray(1)),
      put(url, Buffer.concat([model, CONFIG])),
      chunked(model.subarray(1)),
      chunked(Buffer.concat([model, CONFIG])),
      put(url, model),
    ]) {
      const response = await attempt;
      expect({ status: response.status, code: await code(response) }).toEqual({ status: 422, code: 'digest_mismatch' });
    }
    expect((await world.parts.store.list(`checkpoints/${upload.id}`)).objects).toEqual([]);
    expect((await put(url, weights(5))).status).toBe(200);
    expect((await complete(upload.id)).status).toBe(200);
  });

  it('finds wrong digests of files that came past it, naming them', async () => {
    const model = weights(6);
    const upload = await begin([{ path: 'model.safetensors', bytes: model.length, sha256: 'ab'.repeat(32) }]);
    await world.parts.store.put(`checkpoints/${upload.id}/model.safetensors`, model);
    const { body } = await complete(upload.id);
    expect(body.code).toBe('digest_mismatch');
    expect(body.detail).toContain('model.safetensors');
    await world.parts.store.put(`checkpoints/${upload.id}/model.safetensors`, Buffer.from('short'));
    expect((await complete(upload.id)).body.detail).toContain('has 5 bytes');
  });

  it('stays pending when it is no checkpoint, so that it can be mended', async () => {
    const good = weights(7);
    const bad = Buffer.from(good);
    bad.writeBigUInt64LE(1n << 40n);
    const upload = await begin([{ path: 'model.safetensors', bytes: good.length }]);
    await put(upload.urls['model.safetensors']!, bad);
    const refused = await complete(upload.id);
    expect(refused).toMatchObject({ status: 422, body: { code: 'invalid_checkpoint' } });
    expect((await world.call<Checkpoint>('GET', `/v1/checkpoints/${upload.id}`)).body.state).toBe('pending');
    await put(upload.urls['model.safetensors']!, good);
    expect((await complete(upload.id)).body.state).toBe('ready');
  });

  it('leaves nothing when the client goes away in the middle', async () => {
    const upload = await begin([{ path: 'model.safetensors', bytes: 1_000_000 }]);
    const url = new URL(upload.urls['model.safetensors']!);
    await new Promise<void>((resolve) => {
      const sent = request(url, { method: 'PUT', headers: { 'content-length': '1000000' } });
      sent.on('error', () => resolve()).on('close', () => resolve());
      sent.write(Buffer.alloc(500_000), () => setTimeout(() => sent.destroy(), 50));
    });
    await expect.poll(async () => (await complete(upload.id)).body.code).toBe('upload_incomplete');
  });

  it('says so when the disk is full, and shows nothing half-written', async () => {
    const model = weights(8);
    const upload = await begin([{ path: 'model.safetensors', bytes: model.length }]);
    const { putStream } = world.parts.store;
    world.parts.store.putStream = async (_key, stream) => {
      for await (const _ of stream) break;
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    };
    try {
      const response = await put(upload.urls['model.safetensors']!, model);
      expect({ status: response.status, code: await code(response) }).toEqual({ status: 507, code: 'storage_full' });
    } finally {
      world.parts.store.putStream = putStream;
    }
    expect((await complete(upload.id)).body.code).toBe('upload_incomplete');
  });

  it('refuses links that are changed, old, or for another verb', async () => {
    const upload = await begin([{ path: 'model.safetensors', bytes: 10 }]);
    const url = upload.urls['model.safetensors']!;
    const old = new URL(url);
    old.searchParams.set('expires', '1000');
    for (const wrong of [
      url.replace('bytes=10', 'bytes=11'),
      url.replace('model', 'other'),
      old.href,
      url.split('?')[0]!,
    ]) {
      const response = await put(wrong, Buffer.alloc(10));
      expect({ status: response.status, code: await code(response) }).toEqual({ status: 403, code: 'link_expired' });
    }
    expect((await fetch(url)).status).toBe(403);
  });

  it('gives a signed link to any object by GET, with ranges', async () => {
    await world.parts.store.put('results/x/a.json', '{"b":2}');
    const url = await world.parts.store.signedGetUrl('results/x/a.json', { expiresSeconds: 60, filename: 'b.json' });
    const whole = await fetch(url);
    expect(await whole.text()).toBe('{"b":2}');
    expect(whole.headers.get('content-disposition')).toBe('attachment; filename="b.json"');
    expect(await (await fetch(url, { headers: { range: 'bytes=1-3' } })).text()).toBe('"b"');
    await world.parts.store.delete('results/x/a.json');
    expect((await fetch(url)).status).toBe(404);
  });

  it('refuses uploads whose paths clash or climb', async () => {
    const post = async (files: unknown[]) =>
      (await world.call<Problem>('POST', '/v1/checkpoints', { body: { files } })).body;
    expect(
      (
        await post([
          { path: 'a', bytes: 1 },
          { path: 'a', bytes: 2 },
        ])
      ).errors?.[0]?.pointer,
    ).toBe('/files/1/path');
    expect(
      (
        await post([
          { path: 'a/b', bytes: 1 },
          { path: 'a', bytes: 2 },
        ])
      ).detail,
    ).toContain('"a" is a file');
    for (const path of ['../x', '/x', 'a//b', 'a/../b', './a', '', 'a\\b']) {
      expect({ path, status: (await post([{ path, bytes: 1 }])).status }).toEqual({ path, status: 400 });
    }
  });
});
