import { getFloat } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { type Bound, bindGraph } from '../src/bind.js';
import { checkpointFrom, FIXTURES, graphFrom, readTensor, run, withReferences } from './bind-support.js';

const base = checkpointFrom(`${FIXTURES}resnet/base.safetensors`);
const tuned = checkpointFrom(`${FIXTURES}resnet/tuned.safetensors`);
const merged = new Set(Object.keys(base.tensors));

function difference(a: Float32Array, b: Float32Array): number {
  expect(a).toHaveLength(b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
}

/** The modules of the batch normalizations behind convolutions and linear layers, by what these are. */
function pairs({ graph, bindings }: Bound): Record<string, string> {
  const module = (initializer: string) =>
    bindings.find((binding) => binding.initializer === initializer)!.tensor.replace(/\.\w+$/, '');
  const norms = graph.nodes().filter(({ opType }) => opType === 'BatchNormalization');
  return Object.fromEntries(
    norms.map((norm) => [module(graph.producer(norm.input[0]!)!.input[1]!), module(norm.input[1]!)]),
  );
}

const PAIRS = {
  conv1: 'bn1',
  'layer1.0.conv1': 'layer1.0.bn1',
  'layer1.0.conv2': 'layer1.0.bn2',
  'layer2.0.conv1': 'layer2.0.bn1',
  'layer2.0.conv2': 'layer2.0.bn2',
  'layer2.0.downsample.0': 'layer2.0.downsample.1',
  'layer2.1.conv1': 'layer2.1.bn1',
  'layer2.1.conv2': 'layer2.1.bn2',
  up: 'up_bn',
  neck: 'neck_bn',
};

describe.each([
  ['dynamo', 'base', 'logits'],
  ['legacy', 'base', 'logits'],
  ['dynamo-tuned', 'model', 'tuned_logits'],
])('the residual network exported as %s', (file, from, logits) => {
  const path = `${FIXTURES}resnet/${file}.onnx`;

  it('gets every batch normalization back, behind the operator it was folded into', async () => {
    const bound = await bindGraph(await graphFrom(path), base, tuned, merged);
    expect(pairs(bound)).toEqual(PAIRS);
    expect(bound.unused).toEqual([]);
    const tensors = bound.bindings.map(({ tensor }) => tensor);
    expect(tensors.sort()).toEqual(Object.keys(tuned.tensors).sort());
    for (const binding of bound.bindings.filter(({ tensor }) => !tensor.startsWith('head.'))) {
      expect([binding.tensor, binding.from]).toEqual([binding.tensor, from]);
    }
    for (const norm of bound.graph.nodes().filter(({ opType }) => opType === 'BatchNormalization')) {
      const wide = norm.input[1]!.endsWith('bn2.weight');
      expect([norm.input[1], Math.fround(getFloat(norm, 'epsilon'))]).toEqual([
        norm.input[1],
        Math.fround(wide ? 1e-3 : 1e-5),
      ]);
    }
  });

  it('gives the same logits with the checkpoints’ tensors, to rounding', async () => {
    const graph = await graphFrom(path);
    const input = readTensor(`${FIXTURES}resnet/reference.safetensors`, 'input');
    const expected = readTensor(`${FIXTURES}resnet/reference.safetensors`, logits);
    const bound = await bindGraph(graph, base, tuned, merged);
    const unfolded = await run(await withReferences(bound), { input });
    expect(difference(unfolded, expected.values)).toBeLessThan(1e-5);
    expect(difference(unfolded, await run(graph, { input }))).toBeLessThan(1e-5);
    // Binding edits a copy: the graph given still is the folded one.
    expect(
      graph
        .nodes()
        .map(({ opType }) => opType)
        .filter((type) => type === 'BatchNormalization').length,
    ).toBe(file === 'legacy' ? 2 : 0);
  });
});

describe.each(['dynamo', 'legacy'])('fresh batch norms, all with the same numbers, exported as %s', (file) => {
  it('go where the names of modules put them', async () => {
    const folder = `${FIXTURES}fresh-resnet/`;
    const fresh = checkpointFrom(`${folder}base.safetensors`);
    const bound = await bindGraph(
      await graphFrom(`${folder}${file}.onnx`),
      fresh,
      fresh,
      new Set(Object.keys(fresh.tensors)),
    );
    expect(pairs(bound)).toEqual({ conv1: 'bn1', 'features.0': 'features.1' });
    expect(bound.unused).toEqual([]);
    const input = readTensor(`${folder}reference.safetensors`, 'input');
    const { values } = readTensor(`${folder}reference.safetensors`, 'logits');
    expect(difference(await run(await withReferences(bound), { input }), values)).toBeLessThan(1e-6);
  });
});
