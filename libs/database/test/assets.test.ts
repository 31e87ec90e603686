import { Dataset, Graph, isId, validate } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { toAssetResource } from '../src/index.js';
import { makeCheckpoint, mergeOf, range, useWorld } from './fixtures.js';

const world = useWorld();
const files = (path: string) => [{ path, bytes: 72, sha256: 'ab'.repeat(32), etag: 'e' }];

const GRAPH = {
  files: files('model.onnx'),
  description: {
    file: 'model.onnx',
    opset: 20,
    producer: 'pytorch 2.13.0',
    inputs: [{ name: 'x', dtype: 'F32', shape: ['batch', 3] }],
    outputs: [{ name: 'logits', dtype: 'F32', shape: null }],
    nodes: 2,
    initializers: 1,
    parameters: 30,
    operators: { Add: 1, MatMul: 1 },
  },
};
const DATASET = {
  files: files('data.npz'),
  description: {
    file: 'data.npz',
    format: 'npz' as const,
    rows: 4,
    labelled: false,
    tensors: [{ name: 'x', dtype: 'F32' as const, shape: [4, 3], bytes: 48, begin: 128, compressed: null }],
  },
};

const registerGraph = (name = 'g') =>
  world.db.graphs.createRegistered(world.projectId, { ...GRAPH, name, uri: `file:///graphs/${name}` });
const registerDataset = (name = 'd') =>
  world.db.datasets.createRegistered(world.projectId, { ...DATASET, name, uri: `file:///data/${name}` });
const begin = (kind: 'graph' | 'dataset', expiresAt = new Date(Date.now() + 3_600_000)) =>
  world.db.assets(kind).createUpload(world.projectId, {
    name: 'up',
    storePrefix: `x/${kind}`,
    files: [{ path: 'a', bytes: 1 }],
    expiresAt,
  });

describe('graphs and datasets', () => {
  it('keep what their headers say, and show it as the contract has it', async () => {
    const graph = toAssetResource('graph', await registerGraph());
    expect(validate(Graph, graph)).toMatchObject({ ok: true });
    expect(graph).toMatchObject({ object: 'graph', state: 'ready', bytes: 72, ...GRAPH.description });
    const row = await registerDataset();
    const dataset = toAssetResource('dataset', row);
    expect(validate(Dataset, dataset)).toMatchObject({ ok: true });
    expect(dataset).toMatchObject({ object: 'dataset', format: 'npz', rows: 4, labelled: false });
    // Where a tensor lies is for the readers of the file.
    expect(dataset.tensors).toEqual([{ name: 'x', dtype: 'F32', shape: [4, 3], bytes: 48 }]);
    expect(row.description).toEqual(DATASET.description);
  });

  it('are shown without headers while they are pending, and completed once', async () => {
    const graph = await begin('graph');
    expect(isId('graph', graph.id)).toBe(true);
    expect(validate(Graph, toAssetResource('graph', graph))).toMatchObject({ ok: true });
    const dataset = await begin('dataset');
    expect(validate(Dataset, toAssetResource('dataset', dataset))).toMatchObject({ ok: true });
    const all = await Promise.all(
      range(5).map((rows) =>
        world.db.datasets.markReady(world.projectId, dataset.id, {
          ...DATASET,
          description: { ...DATASET.description, rows },
        }),
      ),
    );
    expect(new Set(all.map(({ description }) => JSON.stringify(description))).size).toBe(1);
    expect(all[0]?.state).toBe('ready');
  });

  it('are apart from the other kinds', async () => {
    const { id: graph } = await registerGraph('apart');
    const { id: dataset } = await registerDataset('apart');
    const { id: checkpoint } = await makeCheckpoint(world, 'apart');
    const { db, projectId } = world;
    for (const kind of ['checkpoint', 'graph', 'dataset'] as const) {
      const own = { checkpoint, graph, dataset }[kind];
      const repository = db.assets(kind);
      expect([...(await repository.getMany(projectId, [checkpoint, graph, dataset])).keys()]).toEqual([own]);
      expect((await repository.list(projectId, { name: 'apart' })).data.map(({ id }) => id)).toEqual([own]);
      for (const id of [checkpoint, graph, dataset].filter((other) => other !== own)) {
        expect(await repository.get(projectId, id)).toBeNull();
        await expect(repository.softDelete(projectId, id)).rejects.toMatchObject({ code: 'not_found' });
      }
    }
    expect(await db.checkpoints.inventory(projectId, graph)).toBeNull();
    expect(await db.graphs.get(world.strangerId, graph)).toBeNull();
  });

  it('are given up when their upload is not completed in time, each kind for itself', async () => {
    const { id } = await begin('graph', new Date(Date.now() - 1000));
    expect(await world.db.checkpoints.expirePending()).toEqual([]);
    expect(await world.db.datasets.expirePending()).toEqual([]);
    expect((await world.db.graphs.expirePending()).map((row) => row.id)).toEqual([id]);
    expect(await world.db.graphs.get(world.projectId, id)).toBeNull();
  });
});

describe('a merge with tasks', () => {
  it('goes to the gpu lane, and keeps its graphs and datasets until it ends', async () => {
    const checkpoint = await makeCheckpoint(world);
    const graph = await registerGraph();
    const data = await registerDataset();
    const task = { name: 't', model: checkpoint.id, graph: graph.id, data: data.id };
    const inputs = [
      { assetId: checkpoint.id, role: 'model' as const },
      { assetId: graph.id, role: 'graph' as const },
      { assetId: data.id, role: 'data' as const },
      { assetId: data.id, role: 'evaluation' as const },
    ];
    const recipe = { method: 'linear', models: [{ model: checkpoint.id }], tasks: [task] };
    const merge = await world.db.merges.create(world.projectId, mergeOf(checkpoint.id, { recipe, inputs }));
    expect(merge.lane).toBe('gpu');
    expect((await world.db.merges.details(world.projectId, merge.id))?.inputs).toEqual(inputs);

    const { graphs, datasets, control } = world.db;
    await expect(graphs.softDelete(world.projectId, graph.id)).rejects.toMatchObject({
      code: 'graph_in_use',
      message: expect.stringContaining(merge.id),
    });
    await expect(datasets.softDelete(world.projectId, data.id)).rejects.toMatchObject({ code: 'dataset_in_use' });
    await control.requestCancel(world.projectId, merge.id);
    expect((await graphs.softDelete(world.projectId, graph.id)).state).toBe('deleted');
    await expect(control.retry(world.projectId, merge.id)).rejects.toMatchObject({
      code: 'not_found',
      message: `there is no graph ${graph.id}`,
    });
  });

  it('is refused when a graph or dataset is not ready, whatever was checked before', async () => {
    for (const kind of ['graph', 'dataset'] as const) {
      const { id: assetId } = await begin(kind);
      const { id } = await makeCheckpoint(world);
      const inputs = [
        { assetId: id, role: 'model' as const },
        { assetId, role: kind === 'graph' ? ('graph' as const) : ('data' as const) },
      ];
      await expect(world.db.merges.create(world.projectId, mergeOf(id, { inputs }))).rejects.toMatchObject({
        code: `${kind}_not_ready`,
        message: expect.stringContaining(assetId),
      });
    }
  });
});
