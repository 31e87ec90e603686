import { createHash } from 'node:crypto';
import { copyFile, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Dataset,
  Dataset as DatasetSchema,
  type Graph,
  Graph as GraphSchema,
  type List,
  type Problem,
  validate,
} from '@amalgam/contracts';
import { beforeAll, describe, expect, it } from 'vitest';
import { npz, samples, storeExternal, storeFile, storeZoo, zoo } from '../support/data.js';
import { useWorld, weights } from '../support/world.js';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

const KINDS = [
  { kind: 'graph', plural: 'graphs', file: 'digits.onnx', other: 'blobs.onnx', schema: GraphSchema },
  {
    kind: 'dataset',
    plural: 'datasets',
    file: 'digits.labeled.safetensors',
    other: 'blobs.labeled.safetensors',
    schema: DatasetSchema,
  },
] as const;

describe.each(KINDS)('$plural', ({ kind, plural, file, other, schema }) => {
  const world = useWorld();
  const create = (body: unknown, headers = {}) =>
    world.call<(Graph | Dataset) & Problem>('POST', `/v1/${plural}`, { body, headers });
  beforeAll(async () => {
    await world.listen();
  });

  it('register one file, or the folder that holds it, and are ready at once', async () => {
    const folder = await storeZoo(world, 'one', file);
    for (const uri of [`${folder}/${file}`, folder]) {
      const { status, body, headers } = await create({ uri, metadata: { team: 'a' } });
      expect(status).toBe(201);
      expect(headers['location']).toBe(`/v1/${plural}/${body.id}`);
      expect(body).toMatchObject({ object: kind, state: 'ready', source: 'uri', uri, metadata: { team: 'a' } });
      expect(body.files.map(({ path }) => path)).toEqual([file]);
      expect(validate(schema, body)).toMatchObject({ ok: true });
      expect((await world.call('GET', headers['location']!)).body).toEqual(body);
    }
  });

  it('refuse a folder with two of them, and one with none', async () => {
    const two = await create({ uri: await storeZoo(world, 'two', file, other) });
    expect(two).toMatchObject({ status: 422, body: { code: `invalid_${kind}`, errors: [{ pointer: '/uri' }] } });
    expect(two.body.detail).toContain(file);
    const none = await storeFile(world, 'none/notes.txt', Buffer.from('x'));
    expect((await create({ uri: none.replace('/notes.txt', '') })).body.code).toBe(`invalid_${kind}`);
    expect((await create({ uri: none })).body.code).toBe(`invalid_${kind}`);
  });

  it('refuse files that are cut off or of another kind, and URIs outside the roots; nothing is kept', async () => {
    const before = (await world.call<List<unknown>>('GET', `/v1/${plural}`)).body.data.length;
    const bytes = await readFile(zoo(file));
    const suffix = file.slice(file.lastIndexOf('.'));
    const cases: [string, string, string][] = [
      ['cut', await storeFile(world, `cut${suffix}`, bytes.subarray(0, -1)), `invalid_${kind}`],
      ['empty', await storeFile(world, `empty${suffix}`, Buffer.alloc(0)), `invalid_${kind}`],
      ['text', await storeFile(world, `text${suffix}`, Buffer.from('hello, world')), `invalid_${kind}`],
      ['missing', `${await storeZoo(world, 'here', file)}/missing${suffix}`, 'not_found'],
      ['elsewhere', 'file:///etc', 'uri_not_allowed'],
    ];
    await writeFile(join(world.home, `secret${suffix}`), bytes);
    await symlink(join(world.home, `secret${suffix}`), join(world.root, `link${suffix}`));
    cases.push(['link', new URL(`link${suffix}`, `file://${world.root}/`).href, 'uri_not_allowed']);
    for (const [what, uri, code] of cases) {
      const { body } = await create({ uri });
      expect({ what, code: body.code, pointer: body.errors?.[0]?.pointer }).toEqual({ what, code, pointer: '/uri' });
    }
    expect((await world.call<List<unknown>>('GET', `/v1/${plural}`)).body.data.length).toBe(before);
  });

  it('are uploaded: pending, then ready with what the headers say', async () => {
    const bytes = await readFile(zoo(file));
    const files = [{ path: file, bytes: bytes.length, sha256: sha256(bytes) }];
    const begun = await create({ name: 'up', files });
    expect(begun).toMatchObject({ status: 201, body: { state: 'pending', source: 'upload', bytes: bytes.length } });
    expect(validate(schema, begun.body)).toMatchObject({ ok: true });
    const { id, uploads } = begun.body;
    const complete = () => world.call<(Graph | Dataset) & Problem>('POST', `/v1/${plural}/${id}/complete`);
    expect(await complete()).toMatchObject({ status: 409, body: { code: 'upload_incomplete' } });
    const early = await world.call<Problem>('GET', `/v1/${plural}/${id}/files/${file}`);
    expect(early).toMatchObject({ status: 409, body: { code: `${kind}_not_ready` } });

    const put = (body: Uint8Array) =>
      fetch(uploads![0]!.url, { method: 'PUT', body: new Uint8Array(body) }).then(({ status }) => status);
    expect(await put(bytes.subarray(1))).toBe(422);
    expect(await put(Buffer.concat([bytes.subarray(1), Buffer.alloc(1)]))).toBe(422);
    expect(await put(bytes)).toBe(200);
    const done = await complete();
    expect(done).toMatchObject({ status: 200, body: { state: 'ready', files } });
    expect((await complete()).body).toEqual(done.body);
    expect(await put(bytes)).toBe(412);

    const fetched = await world.app.inject({
      url: `/v1/${plural}/${id}/files/${file}`,
      headers: { authorization: `Bearer ${world.token}` },
    });
    expect(fetched.rawPayload.equals(bytes)).toBe(true);
    expect((await world.call('DELETE', `/v1/${plural}/${id}`)).status).toBe(204);
    expect((await world.parts.store.list(`${plural}/${id}`)).objects).toEqual([]);
    expect((await world.call('GET', `/v1/${plural}/${id}`)).status).toBe(404);
  });

  it('stay pending when what arrived is something else, so that it can be mended', async () => {
    const bytes = await readFile(zoo(file));
    const begun = await create({ files: [{ path: file, bytes: bytes.length }] });
    const { id, uploads } = begun.body;
    const put = (body: Uint8Array) => fetch(uploads![0]!.url, { method: 'PUT', body: new Uint8Array(body) });
    const complete = () => world.call<(Graph | Dataset) & Problem>('POST', `/v1/${plural}/${id}/complete`);
    await put(Buffer.alloc(bytes.length, 0xff));
    expect(await complete()).toMatchObject({ status: 422, body: { code: `invalid_${kind}` } });
    expect((await world.call<Graph>('GET', `/v1/${plural}/${id}`)).body.state).toBe('pending');
    await put(bytes);
    expect((await complete()).body.state).toBe('ready');
  });

  it('take an Idempotency-Key, and keep to the scopes of the key', async () => {
    const uri = `${await storeZoo(world, 'once', file)}/${file}`;
    const headers = { 'idempotency-key': `k-${kind}` };
    const [first, second] = [await create({ uri }, headers), await create({ uri }, headers)];
    expect(second.body).toEqual(first.body);
    const project = await world.parts.database.projects.ensure('default');
    const reader = await world.parts.database.apiKeys.createKey(project.id, { name: 'r', scopes: ['read'] });
    const refused = await world.call<Problem>('POST', `/v1/${plural}`, { body: { uri }, token: reader.token });
    expect(refused).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    expect((await world.call('GET', `/v1/${plural}/${first.body.id}`, { token: reader.token })).status).toBe(200);
  });

  it('are listed by pages, the newest first, and only those of the kind and project', async () => {
    const uri = `${await storeZoo(world, 'listed', file)}/${file}`;
    await world.call('POST', '/v1/checkpoints', { body: { uri: await storeFile(world, 'w.safetensors', weights(1)) } });
    for (const name of ['a', 'b', 'c']) await create({ uri, name, metadata: { set: 'listed' } });
    const names: string[] = [];
    for (let after = ''; ; ) {
      const { body } = await world.call<List<Graph | Dataset>>(
        'GET',
        `/v1/${plural}?limit=2&metadata[set]=listed${after === '' ? '' : `&after=${after}`}`,
      );
      names.push(...body.data.map(({ name }) => name));
      if (body.next_cursor === null) break;
      after = body.next_cursor;
    }
    expect(names).toEqual(['c', 'b', 'a']);
    const all = await world.call<List<Graph | Dataset>>('GET', `/v1/${plural}?limit=100`);
    expect(new Set(all.body.data.map(({ object }) => object))).toEqual(new Set([kind]));
    const strange = await world.call<List<unknown>>('GET', `/v1/${plural}`, { token: world.strangerToken });
    expect(strange.body.data).toEqual([]);
  });

  it('are found by ids of their own kind only', async () => {
    for (const id of ['x', 'ckpt_01K0000000000000000000000A', 'graph_01K0000000000000000000000A']) {
      expect((await world.call('GET', `/v1/${plural}/${id}`)).status).toBe(404);
      expect((await world.call('DELETE', `/v1/${plural}/${id}`)).status).toBe(404);
      expect((await world.call('POST', `/v1/${plural}/${id}/complete`)).status).toBe(404);
    }
  });
});

describe('what a graph says', () => {
  const world = useWorld();
  const create = (uri: string) => world.call<Graph & Problem>('POST', '/v1/graphs', { body: { uri } });

  it('are inputs, outputs and operators', async () => {
    const { body } = await create(`${await storeZoo(world, 'told', 'digits.onnx')}/digits.onnx`);
    expect(body).toMatchObject({
      name: 'digits',
      file: 'digits.onnx',
      opset: 20,
      producer: expect.stringMatching(/^pytorch 2\./),
      inputs: [{ name: 'pixel_values', dtype: 'F32', shape: [expect.any(String), 1, 32, 32] }],
      outputs: [{ name: 'logits', dtype: 'F32', shape: [expect.any(String), 10] }],
    });
    expect(body.operators['Softmax']).toBe(5);
    expect(body.nodes).toBe(Object.values(body.operators).reduce((sum, count) => sum + count, 0));
    expect(body.parameters).toBeGreaterThan(100_000);
  });

  it('takes its external data along, by file and by folder, which must be there as a whole', async () => {
    const { uri, folder } = await storeExternal(world, 'external');
    const weightsFile = join(folder, 'digits.onnx.data');
    await writeFile(join(folder, 'README.md'), 'not of the graph');
    for (const place of [uri, `${uri}/digits.onnx`]) {
      const { body } = await create(place);
      expect(body.files.map(({ path }) => path).sort()).toEqual(['digits.onnx', 'digits.onnx.data']);
      const served = await world.call('GET', `/v1/graphs/${body.id}/files/digits.onnx.data`);
      expect(served.status).toBe(200);
    }
    await copyFile(weightsFile, join(world.home, 'whole'));
    await truncate(weightsFile, 1000);
    for (const place of [uri, `${uri}/digits.onnx`]) {
      expect((await create(place)).body).toMatchObject({
        code: 'invalid_graph',
        detail: expect.stringMatching(/take \d+ bytes of "digits\.onnx\.data", which has 1000 bytes/),
      });
    }
    await rm(weightsFile);
    for (const place of [uri, `${uri}/digits.onnx`]) {
      expect((await create(place)).body).toMatchObject({
        code: 'invalid_graph',
        detail: expect.stringContaining('digits.onnx.data'),
      });
    }
    await symlink(join(world.home, 'whole'), weightsFile);
    for (const place of [uri, `${uri}/digits.onnx`]) {
      expect((await create(place)).body.code).toBe('uri_not_allowed');
    }
  });
});

describe('what a dataset says', () => {
  const world = useWorld();
  const create = (uri: string) => world.call<Dataset & Problem>('POST', '/v1/datasets', { body: { uri } });

  it('are rows and tensors', async () => {
    const { body } = await create(await storeFile(world, 'a.safetensors', samples({ x: [32, 3], z: [32] }, 32)));
    expect(body).toMatchObject({
      name: 'a',
      format: 'safetensors',
      rows: 32,
      labelled: true,
      tensors: [
        { name: 'labels', dtype: 'I64', shape: [32], bytes: 256 },
        { name: 'x', dtype: 'F32', shape: [32, 3], bytes: 384 },
        { name: 'z', dtype: 'F32', shape: [32], bytes: 128 },
      ],
    });
    expect(Object.keys(body.tensors[0]!)).toEqual(['name', 'dtype', 'shape', 'bytes']);
  });

  it('may be npz', async () => {
    const { body } = await create(await storeFile(world, 'b.npz', npz('x', [4, 2])));
    expect(body).toMatchObject({ name: 'b', format: 'npz', rows: 4, labelled: false });
    expect(body.tensors).toEqual([{ name: 'x', dtype: 'F32', shape: [4, 2], bytes: 32 }]);
  });

  it('is no dataset when the rows differ', async () => {
    const { body } = await create(await storeFile(world, 'c.safetensors', samples({ x: [3, 2], y: [4, 2] })));
    expect(body).toMatchObject({ code: 'invalid_dataset', detail: expect.stringContaining('rows') });
  });
});
