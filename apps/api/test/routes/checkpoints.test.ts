import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type Checkpoint,
  Checkpoint as CheckpointSchema,
  type List,
  type Merge,
  type Problem,
  type TensorHistogram,
  TensorHistogram as TensorHistogramSchema,
  type TensorInfo,
  validate,
} from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { queueMerge, register, store, useWorld, weights } from '../support/world.js';

describe('registered checkpoints', () => {
  const world = useWorld();
  const create = (body: unknown) => world.call<Checkpoint & Problem>('POST', '/v1/checkpoints', { body });

  it('reads the headers of a folder and is ready at once', async () => {
    const uri = await store(world, 'llama');
    const { status, body, headers } = await create({ uri, metadata: { team: 'a' } });
    expect(status).toBe(201);
    expect(headers['location']).toBe(`/v1/checkpoints/${body.id}`);
    expect(body).toMatchObject({
      object: 'checkpoint',
      name: 'llama',
      state: 'ready',
      source: 'uri',
      uri,
      tensors: 2,
      parameters: 6,
      dtypes: { F32: 6 },
      metadata: { team: 'a' },
    });
    expect(body.files.map(({ path }) => path)).toEqual(['config.json', 'model.safetensors']);
    expect(validate(CheckpointSchema, body).ok).toBe(true);
    expect((await world.call('GET', headers['location']!)).body).toEqual(body);
  });

  it('registers one file, named after its folder when its own name says nothing', async () => {
    const uri = await store(world, 'single');
    expect((await create({ uri: `${uri}/model.safetensors` })).body).toMatchObject({ name: 'single', tensors: 2 });
  });

  it('wants exactly one of uri and files', async () => {
    for (const body of [{}, { name: 'x' }, { uri: 'file:///x', files: [{ path: 'a', bytes: 1 }] }]) {
      const answer = await create(body);
      expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
      expect(answer.body.detail).toContain('either "uri" or "files"');
    }
  });

  it('refuses URIs outside the allowed roots: elsewhere, .., symbolic links, other buckets, other schemes', async () => {
    const outside = join(world.home, 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'model.safetensors'), weights(1));
    await symlink(outside, join(world.root, 'link'));
    const root = pathToFileURL(world.root).href;
    const uris = [
      pathToFileURL(outside).href,
      'file:///etc',
      `${root}/../outside`,
      `${root}/x/../../outside`,
      `${root}/%2e%2e/outside`,
      `${root}/link`,
      `${root}/link/model.safetensors`,
      's3://other/shared/x',
      's3://models/else',
      's3://models/shared/../else',
      'http://example.com/x',
    ];
    for (const uri of uris) {
      const { status, body } = await create({ uri });
      expect({ uri, status, code: body.code }).toEqual({ uri, status: 403, code: 'uri_not_allowed' });
      expect(body.errors?.[0]?.pointer).toBe('/uri');
    }
  });

  it('says what is wrong with what lies there, and keeps nothing', async () => {
    const before = (await world.call<List<Checkpoint>>('GET', '/v1/checkpoints')).body.data.length;
    const cases: [string, string, string][] = [
      ['missing', `${pathToFileURL(world.root).href}/missing`, 'not_found'],
      ['truncated', await store(world, 'truncated', weights(1).subarray(0, -4)), 'invalid_checkpoint'],
      ['long header', await store(world, 'long-header', Buffer.from('ffffffff00000000', 'hex')), 'invalid_checkpoint'],
    ];
    const pickle = join(world.root, 'pickle');
    await mkdir(pickle);
    await writeFile(join(pickle, 'pytorch_model.bin'), 'x');
    cases.push(['pickle', pathToFileURL(pickle).href, 'unsafe_format']);
    for (const [what, uri, code] of cases) {
      const { body } = await create({ uri });
      expect({ what, code: body.code }).toEqual({ what, code });
      expect(body.errors?.[0]?.pointer).toBe('/uri');
    }
    expect((await world.call<List<Checkpoint>>('GET', '/v1/checkpoints')).body.data.length).toBe(before);
  });

  it('lists pages, the newest first, by state, name and metadata', async () => {
    for (let i = 0; i < 5; i++) {
      const uri = await store(world, `paged-${i}`);
      await create({ uri, metadata: { set: 'paged', parity: i % 2 === 0 ? 'even' : 'odd' } });
    }
    const names: string[] = [];
    for (let after = ''; ; ) {
      const { body } = await world.call<List<Checkpoint>>(
        'GET',
        `/v1/checkpoints?limit=2&metadata[set]=paged${after === '' ? '' : `&after=${after}`}`,
      );
      names.push(...body.data.map(({ name }) => name));
      if (body.next_cursor === null) break;
      after = body.next_cursor;
    }
    expect(names).toEqual(['paged-4', 'paged-3', 'paged-2', 'paged-1', 'paged-0']);
    const even = await world.call<List<Checkpoint>>(
      'GET',
      '/v1/checkpoints?metadata[set]=paged&metadata[parity]=even&state=ready&name=PAGED',
    );
    expect(even.body.data.length).toBe(3);
    expect((await world.call<List<Checkpoint>>('GET', '/v1/checkpoints?state=pending')).body.data).toEqual([]);
  });

  it('refuses queries that make no sense', async () => {
    for (const query of [
      'limit=0',
      'limit=101',
      'limit=x',
      'after=nonsense',
      'state=raedy',
      'nmae=x',
      'limit=1&limit=2',
    ]) {
      const { status, body } = await world.call<Problem>('GET', `/v1/checkpoints?${query}`);
      expect({ query, status, code: body.code }).toEqual({ query, status: 400, code: 'invalid_request' });
      expect(body.errors?.length).toBeGreaterThan(0);
    }
    expect((await world.call<Problem>('GET', '/v1/checkpoints?nmae=x')).body.detail).toContain('did you mean "name"?');
  });

  it('tells how the values of a tensor are spread, its name encoded, and keeps it', async () => {
    const { id } = await register(world, 'spread');
    const ask = (name: string, query = '') =>
      world.call<TensorHistogram & Problem>(
        'GET',
        `/v1/checkpoints/${id}/tensors/${encodeURIComponent(name)}/histogram${query}`,
      );
    const { status, body } = await ask('b', '?bins=2');
    expect(status).toBe(200);
    expect(validate(TensorHistogramSchema, body).ok).toBe(true);
    expect(body).toMatchObject({ tensor: 'b', elements: 2, counted: 2, mean: 0, counts: [1, 1] });
    expect((await ask('b', '?bins=2')).body).toEqual(body);
    expect(await ask('a/b')).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect((await ask('a/b')).body.detail).toContain('"a/b"');
    expect(await ask('b', '?bins=0')).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    const pending = await create({ files: [{ path: 'model.safetensors', bytes: 9 }] });
    const early = await world.call('GET', `/v1/checkpoints/${pending.body.id}/tensors/b/histogram`);
    expect(early).toMatchObject({ status: 409, body: { code: 'checkpoint_not_ready' } });
  });

  it('pages through tensors by name', async () => {
    const { id } = await register(world, 'tensors');
    const first = await world.call<List<TensorInfo>>('GET', `/v1/checkpoints/${id}/tensors?limit=1`);
    expect(first.body).toMatchObject({ data: [{ name: 'b', shape: [2] }], has_more: true, next_cursor: 'b' });
    const second = await world.call<List<TensorInfo>>('GET', `/v1/checkpoints/${id}/tensors?limit=1&after=b`);
    expect(second.body).toMatchObject({ data: [{ name: 'w', dtype: 'F32', bytes: 16 }], has_more: false });
    const found = await world.call<List<TensorInfo>>('GET', `/v1/checkpoints/${id}/tensors?q=W`);
    expect(found.body.data.map(({ name }) => name)).toEqual(['w']);
  });

  it('streams files, whole, by range, and not at all when nothing changed', async () => {
    const bytes = weights(3);
    const { id } = await register(world, 'streamed', bytes);
    const get = (headers: Record<string, string> = {}, method: 'GET' | 'HEAD' = 'GET') =>
      world.app.inject({
        method,
        url: `/v1/checkpoints/${id}/files/model.safetensors`,
        headers: { authorization: `Bearer ${world.token}`, ...headers },
      });
    const whole = await get();
    expect(whole.statusCode).toBe(200);
    expect(whole.rawPayload.equals(bytes)).toBe(true);
    expect(whole.headers).toMatchObject({ 'content-length': String(bytes.length), 'accept-ranges': 'bytes' });
    const etag = String(whole.headers['etag']);

    const cases: [string, number, Buffer, string][] = [
      ['bytes=0-7', 206, bytes.subarray(0, 8), `bytes 0-7/${bytes.length}`],
      ['bytes=8-', 206, bytes.subarray(8), `bytes 8-${bytes.length - 1}/${bytes.length}`],
      ['bytes=-4', 206, bytes.subarray(-4), `bytes ${bytes.length - 4}-${bytes.length - 1}/${bytes.length}`],
      [`bytes=0-${bytes.length * 2}`, 206, bytes, `bytes 0-${bytes.length - 1}/${bytes.length}`],
    ];
    for (const [range, status, expected, contentRange] of cases) {
      const part = await get({ range });
      expect({ range, status: part.statusCode, at: part.headers['content-range'] }).toEqual({
        range,
        status,
        at: contentRange,
      });
      expect(part.rawPayload.equals(expected)).toBe(true);
    }
    for (const range of ['bytes=0-1,4-5', 'lines=1-2', 'bytes=5-2'])
      expect((await get({ range })).statusCode).toBe(200);
    const past = await get({ range: `bytes=${bytes.length}-` });
    expect(past.statusCode).toBe(416);
    expect(past.headers['content-range']).toBe(`bytes */${bytes.length}`);
    expect((await get({ 'if-none-match': etag })).statusCode).toBe(304);
    expect((await get({ range: 'bytes=0-7', 'if-range': '"other"' })).statusCode).toBe(200);
    const head = await get({}, 'HEAD');
    expect(head.headers['content-length']).toBe(String(bytes.length));
    expect(head.rawPayload.length).toBe(0);
  });

  it('serves only files of the checkpoint, and says when they changed', async () => {
    const { id } = await register(world, 'guarded');
    for (const path of ['nothing', '../guarded/model.safetensors', '%2e%2e/x', '..%2fguarded%2fconfig.json']) {
      expect((await world.call('GET', `/v1/checkpoints/${id}/files/${path}`)).status).toBe(404);
    }
    await writeFile(join(world.root, 'guarded', 'model.safetensors'), weights(9));
    const { status, body } = await world.call<Problem>('GET', `/v1/checkpoints/${id}/files/model.safetensors`);
    expect({ status, code: body.code }).toEqual({ status: 409, code: 'checkpoint_changed' });
  });

  it('deletes, unless an unfinished merge reads it', async () => {
    const merge = await queueMerge(world);
    const used = merge.recipe.models[0]!.model;
    expect((await world.call<Problem>('DELETE', `/v1/checkpoints/${used}`)).body.code).toBe('checkpoint_in_use');
    await world.call('POST', `/v1/merges/${merge.id}/cancel`);
    expect((await world.call('DELETE', `/v1/checkpoints/${used}`)).status).toBe(204);
    expect((await world.call('GET', `/v1/checkpoints/${used}`)).status).toBe(404);
    expect((await world.call('DELETE', `/v1/checkpoints/${used}`)).status).toBe(404);
  });

  it('keeps an adapter that an unfinished merge applies to a model', async () => {
    const fixtures = new URL('../../../../libs/adapters/test/fixtures/rslora/', import.meta.url);
    const put = async (name: string, files: string[]) => {
      await mkdir(join(world.root, name));
      for (const file of files) await copyFile(new URL(file, fixtures), join(world.root, name, file));
      return (await create({ uri: pathToFileURL(join(world.root, name)).href })).body.id;
    };
    const base = await put('lora-base', ['base.safetensors']);
    const adapter = await put('lora', ['adapter_config.json', 'adapter_model.safetensors']);
    const recipe = { method: 'passthrough', models: [{ model: base, adapter }] };
    const { body: merge } = await world.call<Merge>('POST', '/v1/merges', { body: { recipe } });
    const taken = await world.call<List<Merge>>('GET', `/v1/merges?input=${adapter}`);
    expect(taken.body.data.map(({ id }) => id)).toEqual([merge.id]);
    expect((await world.call<Problem>('DELETE', `/v1/checkpoints/${adapter}`)).body.code).toBe('checkpoint_in_use');
    await world.call('POST', `/v1/merges/${merge.id}/cancel`);
    expect((await world.call('DELETE', `/v1/checkpoints/${adapter}`)).status).toBe(204);
  });

  it('takes no id for another kind of thing', async () => {
    for (const id of [
      'x',
      'mrg_01K0000000000000000000000A',
      'ckpt_01K0000000000000000000000A',
      "ckpt_'--",
      'ckpt_%2e',
    ]) {
      expect({ id, status: (await world.call('GET', `/v1/checkpoints/${id}`)).status }).toEqual({ id, status: 404 });
    }
  });
});
