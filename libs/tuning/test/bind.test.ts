import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Graph, modelOf, rawTensor, type TensorProto, tensorOf, writeModel } from '@amalgam/onnx';
import { fromFloat32, toFloat32 } from '@amalgam/tensors';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Bound, bindGraph } from '../src/bind.js';
import { referenceWeight } from '../src/bind-reference.js';
import {
  checkpointFrom,
  checkpointOf,
  FIXTURES,
  graphFrom,
  type Numbers,
  readTensor,
  run,
  withReferences,
  ZOO,
} from './bind-support.js';

/** Numbers that no other seed gives. */
function numbers(shape: number[], seed: number): Numbers {
  const length = shape.reduce((product, size) => product * size, 1);
  return { shape, values: Float32Array.from({ length }, (_, i) => Math.sin(seed * 1000 + i)) };
}

function filled(shape: number[], value: number): Numbers {
  const length = shape.reduce((product, size) => product * size, 1);
  return { shape, values: new Float32Array(length).fill(value) };
}

function transposed({ shape: [rows, columns], values }: Numbers): Numbers {
  const turned = Array.from(values, (_, i) => values[(i % rows!) * columns! + Math.floor(i / rows!)]!);
  return { shape: [columns!, rows!], values: turned };
}

function tensor(name: string, { shape, values }: Numbers): TensorProto {
  return tensorOf(name, 'F32', shape, values);
}

/** A graph with nodes [operator, name, ...initializers], one after the other on an input `x`. */
function chain(initializers: readonly TensorProto[], nodes: readonly [string, string, ...string[]][]): Graph {
  const graph = new Graph('graph.onnx');
  graph.setOpset('', 20);
  let value = graph.addInput({ name: 'x', type: { tensorType: { elemType: 1 } } });
  for (const initializer of initializers) graph.setInitializer(initializer);
  for (const [opType, name, ...reads] of nodes) {
    value = graph.addNode({ opType, name, inputs: [value, ...reads] }).output[0]!;
  }
  graph.addOutput(value);
  return graph;
}

/** Binds to one checkpoint that is both base and model, all of it merged. */
async function bindTo(graph: Graph, tensors: Readonly<Record<string, Numbers>>): Promise<Bound> {
  const checkpoint = checkpointOf('base', tensors);
  return bindGraph(graph, checkpoint, checkpoint, new Set(Object.keys(tensors)));
}

function found({ bindings }: Bound): Record<string, string> {
  return Object.fromEntries(
    bindings.map(({ initializer, tensor, transposed: turned, by }) => [
      initializer,
      `${tensor}${turned ? ' transposed' : ''} by ${by}`,
    ]),
  );
}

describe('an initializer is bound', () => {
  it('to the tensor of its name that has its numbers', async () => {
    const graph = chain([tensor('fc.weight', numbers([3, 4], 1))], [['MatMul', 'n', 'fc.weight']]);
    const bound = await bindTo(graph, { 'fc.weight': numbers([3, 4], 1), other: numbers([3, 4], 2) });
    expect(found(bound)).toEqual({ 'fc.weight': 'fc.weight by name' });
    expect(bound.unused).toEqual(['other']);
  });

  it.each([
    ['auto_model.encoder.fc.weight', 'encoder.fc.weight'],
    ['encoder.fc.weight', 'vision_model.encoder.fc.weight'],
    ['module.fc.weight', 'model.fc.weight'],
  ])('to the name but for its prefix: %s is %s', async (initializer, name) => {
    const graph = chain([tensor(initializer, numbers([3, 4], 1))], [['MatMul', 'n', initializer]]);
    const bound = await bindTo(graph, { 'a.copy': numbers([3, 4], 1), [name]: numbers([3, 4], 1) });
    expect(found(bound)).toEqual({ [initializer]: `${name} by prefix` });
  });

  it('under the prefix that the others show, where a shorter one would fit too', async () => {
    const graph = chain(
      [tensor('fc.weight', numbers([3, 4], 1)), tensor('norm.bias', filled([4], 0))],
      [
        ['MatMul', 'n', 'fc.weight'],
        ['Add', 'm', 'norm.bias'],
      ],
    );
    const bound = await bindTo(graph, {
      'pooler.norm.bias': filled([4], 0),
      'tower.encoder.fc.weight': numbers([3, 4], 1),
      'tower.encoder.norm.bias': filled([4], 0),
    });
    expect(found(bound)['norm.bias']).toBe('tower.encoder.norm.bias by prefix');
  });

  it('to the only tensor with its numbers, as they are or transposed', async () => {
    const [a, b] = [numbers([3, 4], 1), numbers([4, 3], 2)];
    const graph = chain(
      [tensor('val_1', a), tensor('val_2', transposed(b))],
      [
        ['MatMul', 'n', 'val_1'],
        ['Add', 'm', 'val_2'],
      ],
    );
    const bound = await bindTo(graph, { a, b });
    expect(found(bound)).toEqual({ val_1: 'a by content', val_2: 'b transposed by content' });
    const weights = await Promise.all(bound.bindings.map(referenceWeight));
    expect(weights).toEqual([Float32Array.from(a.values), Float32Array.from(transposed(b).values)]);
  });

  it('as it is where that is its transpose too', async () => {
    const symmetric = { shape: [2, 2], values: [1, 2, 2, 3] };
    const bound = await bindTo(chain([tensor('val', symmetric)], [['MatMul', 'n', 'val']]), { w: symmetric });
    expect(found(bound)).toEqual({ val: 'w by content' });
  });

  it('in another shape with the same order of elements', async () => {
    const graph = chain([tensor('val', { ...numbers([4], 1), shape: [1, 4, 1] })], [['Add', 'n', 'val']]);
    const { bindings } = await bindTo(graph, { bias: numbers([4], 1) });
    expect(bindings).toMatchObject([{ tensor: 'bias', transposed: false, dims: [1, 4, 1] }]);
  });

  it('to the same tensor as others: tied weights', async () => {
    const shared = numbers([5, 3], 1);
    const graph = chain(
      [tensor('onnx::MatMul_7', transposed(shared)), tensor('embed.weight', shared)],
      [
        ['Add', 'n', 'embed.weight'],
        ['MatMul', 'm', 'onnx::MatMul_7'],
      ],
    );
    const bound = await bindTo(graph, { 'embed.weight': shared });
    expect(found(bound)).toEqual({
      'embed.weight': 'embed.weight by name',
      'onnx::MatMul_7': 'embed.weight transposed by content',
    });
  });

  it('to the first of several names of one tensor, where nothing else decides', async () => {
    const shared = numbers([5, 3], 1);
    const bound = await bindTo(chain([tensor('val', shared)], [['Add', 'n', 'val']]), { z: shared, b: shared });
    expect(found(bound)).toEqual({ val: 'b by order' });
  });

  it('to the model’s tensor where the base has other numbers', async () => {
    const base = checkpointOf('base', { w: numbers([3, 4], 1), frozen: numbers([4], 2) });
    const model = checkpointOf('model', { w: numbers([3, 4], 5), frozen: numbers([4], 2), head: numbers([4, 2], 6) });
    const graph = chain(
      [tensor('w', numbers([3, 4], 5)), tensor('frozen', numbers([4], 2)), tensor('head', numbers([4, 2], 6))],
      [
        ['MatMul', 'a', 'w'],
        ['Add', 'b', 'frozen'],
        ['MatMul', 'c', 'head'],
      ],
    );
    const { bindings } = await bindGraph(graph, base, model, new Set(['w', 'frozen']));
    expect(bindings.map(({ tensor: name, from }) => [name, from])).toEqual([
      ['w', 'model'],
      ['frozen', 'base'],
      ['head', 'model'],
    ]);
  });

  it.each(['F16', 'BF16'] as const)('after rounding the checkpoint to %s where the graph is that', async (dtype) => {
    const w = numbers([20, 30], 1);
    const turned = transposed(w);
    const graph = chain(
      [
        rawTensor('w', dtype, [20, 30], fromFloat32(dtype, Float32Array.from(w.values))),
        rawTensor('val', dtype, [30, 20], fromFloat32(dtype, Float32Array.from(turned.values))),
      ],
      [
        ['MatMul', 'n', 'w'],
        ['MatMul', 'm', 'val'],
      ],
    );
    const bound = await bindTo(graph, { w });
    expect(found(bound)).toEqual({ w: 'w by name', val: 'w transposed by content' });
    expect(bound.bindings.map((binding) => binding.dtype)).toEqual([dtype, dtype]);
    const again = await withReferences(bound);
    for (const name of ['w', 'val']) expect(again.initializers.get(name)).toEqual(graph.initializers.get(name));
  });

  it.each(['F64', 'F16', 'BF16'] as const)('to a tensor that is stored in %s', async (dtype) => {
    const { shape, values } = numbers([3, 4], 1);
    const narrow =
      dtype === 'F64' ? Float32Array.from(values) : toFloat32(dtype, fromFloat32(dtype, Array.from(values)));
    const graph = chain([tensor('w', { shape, values: narrow })], [['MatMul', 'n', 'w']]);
    const bound = await bindTo(graph, { w: { dtype, shape, values } });
    expect(found(bound)).toEqual({ w: 'w by name' });
    expect(await referenceWeight(bound.bindings[0]!)).toEqual(narrow);
  });

  it('when its numbers are in an external file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bind-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const written = chain([tensor('w', numbers([30, 40], 1))], [['MatMul', 'n', 'w']]);
    await writeModel(modelOf(written), join(folder, 'm.onnx'), { externalData: {} });
    const bound = await bindTo(await graphFrom(join(folder, 'm.onnx')), { w: numbers([30, 40], 1) });
    expect(found(bound)).toEqual({ w: 'w by name' });
  });
});

describe('vectors with the same numbers', () => {
  it.each(['dynamo', 'legacy'])(
    'that an exporter (%s) made one are several again, by the modules of their readers',
    async (file) => {
      const fresh = checkpointFrom(`${FIXTURES}fresh/base.safetensors`);
      const graph = await graphFrom(`${FIXTURES}fresh/${file}.onnx`);
      const bound = await bindGraph(graph, fresh, fresh, new Set(Object.keys(fresh.tensors)));
      expect(bound.unused).toEqual([]);
      const byInitializer = new Map(bound.bindings.map((binding) => [binding.initializer, binding.tensor]));
      const norms = bound.graph.nodes().filter(({ opType }) => opType === 'LayerNormalization');
      expect(norms.map(({ input }) => [byInitializer.get(input[1]!), byInitializer.get(input[2]!)])).toEqual([
        ['blocks.0.norm.weight', 'blocks.0.norm.bias'],
        ['blocks.1.norm.weight', 'blocks.1.norm.bias'],
        ['blocks.2.norm.weight', 'blocks.2.norm.bias'],
        ['norm.weight', 'norm.bias'],
      ]);
      const input = readTensor(`${FIXTURES}fresh/reference.safetensors`, 'input');
      expect(await run(await withReferences(bound), { input })).toEqual(await run(graph, { input }));
    },
  );

  it('are taken in order of use where names differ in their numbers only, ten after nine', async () => {
    const layers = Array.from({ length: 11 }, (_, i) => i);
    const graph = chain(
      layers.map((i) => tensor(`v${i}`, filled([6], 1))),
      layers.map((i): [string, string, string] => ['Mul', `n${i}`, `v${i}`]),
    );
    const tensors = Object.fromEntries(layers.map((i) => [`blocks.${i}.norm.weight`, filled([6], 1)]));
    const bound = await bindTo(graph, tensors);
    expect(found(bound)).toEqual(Object.fromEntries(layers.map((i) => [`v${i}`, `blocks.${i}.norm.weight by order`])));
  });

  it('go with what else the node, or the one before it, reads', async () => {
    const graph = chain(
      [
        tensor('v1', numbers([6, 6], 1)),
        tensor('v2', filled([6], 0)),
        tensor('v3', numbers([6], 2)),
        tensor('v4', filled([6], 0)),
      ],
      [
        ['MatMul', 'a', 'v1'],
        ['Add', 'b', 'v2'],
        ['LayerNormalization', 'c', 'v3', 'v4'],
      ],
    );
    const bound = await bindTo(graph, {
      'fc.bias': filled([6], 0),
      'fc.weight': numbers([6, 6], 1),
      'norm.bias': filled([6], 0),
      'norm.weight': numbers([6], 2),
    });
    expect(found(bound)).toEqual({
      v1: 'fc.weight by content',
      v2: 'fc.bias by order',
      v3: 'norm.weight by content',
      v4: 'norm.bias by order',
    });
  });

  it('are refused, naming place and candidates, where nothing tells them apart', async () => {
    const graph = chain([tensor('v', filled([6], 1))], [['Mul', 'scale', 'v']]);
    const attempt = bindTo(graph, { 'a.weight': filled([6], 1), 'b.gamma': filled([6], 1) });
    await expect(attempt).rejects.toMatchObject({
      code: 'unbound_graph',
      message: expect.stringContaining('"v" (input 1 of node "scale" (Mul)) may be any of "a.weight", "b.gamma"'),
    });
  });

  it('are any of them where none is merged and the model’s are equal', async () => {
    const graph = chain([tensor('v', filled([6], 1))], [['Mul', 'scale', 'v']]);
    const checkpoint = checkpointOf('base', { 'a.weight': filled([6], 1), 'b.gamma': filled([6], 1) });
    const bound = await bindGraph(graph, checkpoint, checkpoint, new Set());
    expect(found(bound)).toEqual({ v: 'a.weight by order' });
  });
});

describe('what stays a constant', () => {
  it('integers, small vectors, masks, and single numbers but for those with a tensor’s name', async () => {
    const mask = { shape: [9, 9], values: Array.from({ length: 81 }, (_, i) => (i % 10 > 5 ? -1e9 : 0)) };
    const graph = chain(
      [
        tensor('mean', numbers([3], 4)),
        tensor('mask', mask),
        tensor('one', filled([], 1)),
        tensor('logit_scale', filled([], 2)),
        tensorOf(
          'positions',
          'I64',
          [70],
          Array.from({ length: 70 }, (_, i) => i),
        ),
      ],
      [
        ['Sub', 'a', 'mean'],
        ['Add', 'b', 'mask'],
        ['Mul', 'c', 'one'],
        ['Mul', 'd', 'logit_scale'],
        ['Gather', 'e', 'positions'],
      ],
    );
    const bound = await bindTo(graph, { logit_scale: filled([], 2), epsilon: filled([], 1) });
    expect(found(bound)).toEqual({ logit_scale: 'logit_scale by name' });
    expect(bound.constants).toEqual(['mean', 'mask', 'one', 'positions']);
  });

  it('a vector of equal numbers that no place calls a weight, although some tensor has them', async () => {
    const graph = chain([tensor('zeros', filled([6], 0))], [['Sub', 'a', 'zeros']]);
    const bound = await bindTo(graph, { 'fc.bias': filled([6], 0) });
    expect(bound.constants).toEqual(['zeros']);
    expect(bound.unused).toEqual(['fc.bias']);
  });
});

describe('a graph is refused', () => {
  it('when weights have numbers that no tensor has', async () => {
    const graph = chain([tensor('val_9', numbers([8, 9], 3))], [['MatMul', 'project', 'val_9']]);
    await expect(bindTo(graph, { w: numbers([8, 9], 1) })).rejects.toMatchObject({
      code: 'unbound_graph',
      message: expect.stringContaining('"val_9" [8, 9], read by node "project" (MatMul): no tensor has its numbers'),
    });
  });

  it('when it was exported from other weights, however small they are', async () => {
    const graph = chain([tensor('fc.bias', numbers([8], 3))], [['Add', 'add', 'fc.bias']]);
    await expect(bindTo(graph, { 'fc.bias': numbers([8], 1) })).rejects.toThrow(
      'tensor "fc.bias" has its shape and other numbers: exported from other weights',
    );
  });

  it('with the first twenty of its weights', async () => {
    const names = Array.from({ length: 23 }, (_, i) => `v${i}`);
    const graph = chain(
      names.map((name, i) => tensor(name, numbers([80], 10 + i))),
      names.map((name): [string, string, string] => ['Add', `n_${name}`, name]),
    );
    const attempt = bindTo(graph, { w: numbers([80], 1) });
    await expect(attempt).rejects.toThrow(/23 of its weights match no tensor of base or base: .*"v19".*; and 3 more/);
  });

  it('when its weights are in a format of 8 bits', async () => {
    const graph = chain([rawTensor('w', 'F8_E4M3', [100], new Uint8Array(100).fill(0x38))], [['Cast', 'cast', 'w']]);
    await expect(bindTo(graph, { w: numbers([100], 1) })).rejects.toThrow('F8_E4M3 weights cannot be bound');
  });
});

it('leaves the graph that it was given as it was', async () => {
  const checkpoint = checkpointFrom(`${FIXTURES}resnet/base.safetensors`);
  const graph = await graphFrom(`${FIXTURES}resnet/legacy.onnx`);
  const before = modelOf(graph);
  await bindGraph(graph, checkpoint, checkpointFrom(`${FIXTURES}resnet/tuned.safetensors`), new Set());
  expect(modelOf(graph)).toEqual(before);
});

it('takes an encoder’s checkpoint that was saved without its wrapper', async () => {
  const { tensors, name } = checkpointFrom(`${ZOO}base.safetensors`);
  const bare = Object.fromEntries(
    Object.values(tensors).map((stored) => {
      const short = stored.name.replace('encoder.', '');
      return [short, { ...stored, name: short }];
    }),
  );
  const model = checkpointFrom(`${ZOO}blobs.safetensors`);
  const head = Object.fromEntries(['head.weight', 'head.bias'].map((key) => [key, model.tensors[key]!]));
  const bound = await bindGraph(
    await graphFrom(`${ZOO}blobs.onnx`),
    { name, tensors: bare },
    { name: 'head', tensors: head },
    new Set(Object.keys(bare)),
  );
  expect(bound.unused).toEqual([]);
  const ways = new Set(bound.bindings.map(({ by }) => by));
  expect(ways).toEqual(new Set(['prefix', 'content', 'name']));
});
