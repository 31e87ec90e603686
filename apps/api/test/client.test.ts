import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, createClient, uploadFiles } from '@amalgam/client';
import { beforeAll, describe, expect, it } from 'vitest';
import { npz, storeExternal, zoo } from './support/data.js';
import { claim, REPORT, succeed, useWorld, weights } from './support/world.js';

describe('the client', () => {
  const world = useWorld();
  let client: Client;
  beforeAll(async () => {
    client = createClient({ baseUrl: await world.listen(), apiKey: world.token });
  });

  it('uploads, plans, merges, follows, and fetches the result', async () => {
    const large = weights(1, [1000, 1000]);
    const local = join(world.home, 'local.safetensors');
    await writeFile(local, large);
    const arrived: [number, number][] = [];
    const base = await client.checkpoints.upload({
      name: 'base',
      files: [
        { path: 'model.safetensors', file: local, sha256: createHash('sha256').update(large).digest('hex') },
        { path: 'config.json', bytes: Buffer.from('{}') },
      ],
      metadata: { from: 'test' },
      onProgress: (done, total) => arrived.push([done, total]),
    });
    expect(base).toMatchObject({ state: 'ready', name: 'base', parameters: 1_000_002 });
    expect(arrived.at(-1)).toEqual([large.length + 2, large.length + 2]);
    const model = await client.checkpoints.upload({
      files: [{ path: 'model.safetensors', bytes: weights(2, [1000, 1000]) }],
    });

    const recipe = { method: 'ties', base: base.id, models: [{ model: model.id }] };
    expect(await client.merges.plan(recipe)).toMatchObject({ object: 'plan', method: 'ties' });
    const merge = await client.merges.create({ recipe, name: 'made', metadata: { a: 'b' } });
    expect(merge.state).toBe('queued');

    const result = weights(9, [500, 500]);
    const types: string[] = [];
    const waiting = client.merges.waitFor(merge.id, { timeoutMs: 30_000, onEvent: ({ type }) => types.push(type) });
    await succeed(world, await claim(world, merge.id), result);
    expect(await waiting).toMatchObject({ state: 'succeeded' });
    expect(types).toEqual(['merge.queued', 'merge.started', 'merge.succeeded']);

    expect(await client.merges.report(merge.id)).toEqual(REPORT);
    expect((await client.merges.files(merge.id)).map(({ path }) => path)).toEqual(['model.safetensors']);
    const target = join(world.home, 'out', 'merged.safetensors');
    await client.merges.download(merge.id, 'model.safetensors', target);
    expect((await readFile(target)).equals(result)).toBe(true);
    expect(await readdir(join(world.home, 'out'))).toEqual(['merged.safetensors']);
    const bytes = await client.checkpoints.download(base.id, 'config.json');
    expect(Buffer.from(bytes).toString()).toBe('{}');

    const names: string[] = [];
    for await (const tensor of client.checkpoints.tensors(base.id)) names.push(tensor.name);
    expect(names).toEqual(['b', 'w']);
    const listed: string[] = [];
    for await (const item of client.merges.list({ metadata: { a: 'b' } })) listed.push(item.id);
    expect(listed).toEqual([merge.id]);
    await client.checkpoints.delete(model.id);
    await expect(client.checkpoints.get(model.id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('cancels, retries, and stops waiting in time', async () => {
    const [a, b] = await Promise.all(
      [1, 2].map((value) =>
        client.checkpoints.upload({ files: [{ path: 'model.safetensors', bytes: weights(value) }] }),
      ),
    );
    const recipe = { method: 'linear', models: [{ model: a!.id }, { model: b!.id }] };
    const { id } = await client.merges.create({ recipe });
    await expect(client.merges.waitFor(id, { timeoutMs: 200 })).rejects.toMatchObject({ name: 'TimeoutError' });
    expect((await client.merges.cancel(id)).state).toBe('canceled');
    expect((await client.merges.waitFor(id)).state).toBe('canceled');
    expect((await client.merges.retry(id)).state).toBe('queued');
  });

  it('uploads and registers graphs and datasets, and reads, lists and deletes them', async () => {
    const graphs = await uploadFiles(zoo('digits.onnx'));
    expect(graphs.map(({ path }) => path)).toEqual(['digits.onnx']);
    const graph = await client.graphs.upload({ name: 'g', files: graphs });
    expect(graph).toMatchObject({ object: 'graph', state: 'ready', opset: 20, file: 'digits.onnx' });
    const { uri, folder } = await storeExternal(world, 'by-client');
    expect((await client.graphs.create({ uri })).files).toHaveLength(2);
    const external = await client.graphs.upload({ files: await uploadFiles(folder) });
    expect(external.files.map(({ path }) => path)).toEqual(['digits.onnx', 'digits.onnx.data']);

    const dataset = await client.datasets.upload({ files: [{ path: 'x.npz', bytes: npz('x', [4, 2]) }] });
    expect(dataset).toMatchObject({ object: 'dataset', state: 'ready', rows: 4, format: 'npz' });
    expect(await client.datasets.get(dataset.id)).toEqual(dataset);
    expect(Buffer.from(await client.datasets.download(dataset.id, 'x.npz')).equals(npz('x', [4, 2]))).toBe(true);
    const names: string[] = [];
    for await (const { name } of client.graphs.list({ state: 'ready' })) names.push(name);
    expect(names).toEqual([external.id, 'by-client', 'g']);
    await client.datasets.delete(dataset.id);
    await expect(client.datasets.get(dataset.id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(uploadFiles(join(folder, 'nothing'))).rejects.toMatchObject({ code: 'not_found' });
  });

  it('goes on with an upload that was broken off, and sends what has not arrived', async () => {
    const files = [
      { path: 'model.safetensors', bytes: weights(3) },
      { path: 'config.json', bytes: Buffer.from('{}') },
    ];
    const begun = await client.checkpoints.create({
      files: files.map(({ path, bytes }) => ({ path, bytes: bytes.length })),
    });
    const [first] = begun.uploads!;
    expect((await fetch(first!.url, { method: 'PUT', body: new Uint8Array(files[0]!.bytes) })).status).toBe(200);
    const other = [files[0]!, { path: 'config.json', bytes: Buffer.from('{"a":1}') }];
    await expect(client.checkpoints.upload({ files: other, resume: begun.id })).rejects.toMatchObject({
      code: 'digest_mismatch',
      message: expect.stringContaining('config.json has 7 bytes, and had 2'),
    });
    const arrived: number[] = [];
    const done = await client.checkpoints.upload({
      files,
      resume: begun.id,
      onProgress: (bytes) => arrived.push(bytes),
    });
    expect(done).toMatchObject({ id: begun.id, state: 'ready' });
    expect(arrived).toEqual([weights(3).length, weights(3).length + 2]);
  });

  it('turns problems into errors, and leaves no half download', async () => {
    await expect(client.merges.get('mrg_x')).rejects.toMatchObject({
      code: 'not_found',
      requestId: expect.any(String),
    });
    const target = join(world.home, 'none', 'x');
    await expect(client.merges.download('mrg_x', 'x', target)).rejects.toMatchObject({ code: 'not_found' });
    expect(await readdir(join(world.home, 'none'))).toEqual([]);
    await expect(
      client.checkpoints.upload({ files: [{ path: 'a', file: join(world.home, 'nowhere') }] }),
    ).rejects.toMatchObject({ code: 'not_found' });
  });

  it('manages keys, tells methods and the queue', async () => {
    const key = await client.keys.create({ name: 'other', scopes: ['read'] });
    const reader = createClient({ baseUrl: world.config.publicUrl, apiKey: key.token! });
    expect((await reader.methods.get('ties')).name).toBe('ties');
    await expect(reader.keys.list()).rejects.toMatchObject({ code: 'forbidden' });
    expect((await client.keys.list()).map(({ id }) => id)).toContain(key.id);
    await client.keys.revoke(key.id);
    await expect(reader.methods.list()).rejects.toMatchObject({ code: 'key_revoked' });
    expect((await client.queue()).lanes.map(({ lane }) => lane)).toEqual(['cpu', 'gpu', 'delivery']);
  });
});
