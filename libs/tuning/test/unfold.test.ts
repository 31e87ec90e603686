import { readFileSync } from 'node:fs';
import { Graph, getFloat, intAttribute, tensorOf } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { type Bound, bindGraph } from '../src/bind.js';
import { referenceWeight } from '../src/bind-reference.js';
import { channelFactors } from '../src/unfold-fit.js';
import {
  checkpointFrom,
  checkpointOf,
  FIXTURES,
  graphFrom,
  type Numbers,
  readTensor,
  run,
  withReferences,
} from './bind-support.js';

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

it.each(['dynamo', 'legacy'])('merged, statistics included, the %s export gives PyTorch’s entropy', async (file) => {
  const bound = await bindGraph(await graphFrom(`${FIXTURES}resnet/${file}.onnx`), base, tuned, merged);
  const { coefficient, entropy } = JSON.parse(readFileSync(`${FIXTURES}resnet/reference.json`, 'utf8')) as {
    coefficient: number;
    entropy: number;
  };
  for (const binding of bound.bindings.filter(({ tensor }) => merged.has(tensor))) {
    const from = await referenceWeight({ ...binding, reference: base.tensors[binding.tensor]! });
    const to = await referenceWeight({ ...binding, reference: tuned.tensors[binding.tensor]! });
    const values = from.map((value, i) => value + coefficient * (to[i]! - value));
    bound.graph.setInitializer(tensorOf(binding.initializer, 'F32', binding.dims, values));
  }
  const logits = await run(bound.graph, { input: readTensor(`${FIXTURES}resnet/reference.safetensors`, 'input') });
  const rows = Array.from({ length: 4 }, (_, row) => [...logits.subarray(4 * row, 4 * row + 4)]);
  const mean = rows.reduce((sum, row) => sum + entropyOf(row), 0) / rows.length;
  expect(Math.abs(mean - entropy)).toBeLessThan(1e-5);
});

function entropyOf(logits: readonly number[]): number {
  const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
  return logits.reduce((sum, logit) => sum - Math.exp(logit - total) * (logit - total), 0);
}

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

/** Conv `a` on an input, with what folding `norm` into `weight` makes, and the checkpoint's other tensors. */
function folded(weight: number[], norm: Record<'weight' | 'bias' | 'running_mean' | 'running_var', number[]>): Graph {
  const channels = norm.weight.length;
  const scale = norm.weight.map((value, i) => value / Math.sqrt(norm.running_var[i]! + 1e-5));
  const inner = weight.length / channels;
  const graph = new Graph('graph.onnx');
  graph.setOpset('', 20);
  graph.addInput({ name: 'x', type: { tensorType: { elemType: 1 } } });
  graph.setInitializer(
    tensorOf(
      'w',
      'F32',
      [channels, inner, 1, 1],
      weight.map((value, i) => value * scale[Math.floor(i / inner)]!),
    ),
  );
  graph.setInitializer(
    tensorOf(
      'b',
      'F32',
      [channels],
      norm.bias.map((value, i) => value - norm.running_mean[i]! * scale[i]!),
    ),
  );
  graph.addOutput(graph.addNode({ opType: 'Conv', inputs: ['x', 'w', 'b'], name: 'a' }).output[0]!);
  return graph;
}

const WEIGHT = Array.from({ length: 200 }, (_, i) => Math.sin(i + 1));
const NORM = { weight: [1, -2], bias: [0.5, 3], running_mean: [2, -1], running_var: [0.3, 4] };

function normTensors(module: string, norm: typeof NORM): Record<string, Numbers> {
  return Object.fromEntries(
    Object.entries(norm).map(([leaf, values]) => [`${module}.${leaf}`, { shape: [values.length], values }]),
  );
}

const CONVOLUTION = { shape: [2, 100, 1, 1], values: WEIGHT };

async function bindTo(graph: Graph, tensors: Readonly<Record<string, Numbers>>): Promise<Bound> {
  const checkpoint = checkpointOf('base', tensors);
  return bindGraph(graph, checkpoint, checkpoint, new Set(Object.keys(tensors)));
}

describe('a folded batch norm', () => {
  it('is found by its numbers alone, whatever it is called', async () => {
    const other = { ...NORM, running_mean: [2, -1.001] };
    const tensors = { 'x.weight': CONVOLUTION, ...normTensors('near', other), ...normTensors('far.away', NORM) };
    const bound = await bindTo(folded(WEIGHT, NORM), tensors);
    expect(pairs(bound)).toEqual({ x: 'far.away' });
    expect(new Set(bound.bindings.map(({ by }) => by))).toEqual(new Set(['unfolded']));
  });

  it('is found where it makes channels zero', async () => {
    const norm = { ...NORM, weight: [0, -2] };
    const bound = await bindTo(folded(WEIGHT, norm), { 'x.weight': CONVOLUTION, ...normTensors('n', norm) });
    expect(pairs(bound)).toEqual({ x: 'n' });
  });

  it('is refused where two explain the numbers and names decide nothing', async () => {
    const tensors = { 'x.weight': CONVOLUTION, ...normTensors('p', NORM), ...normTensors('q', NORM) };
    await expect(bindTo(folded(WEIGHT, NORM), tensors)).rejects.toMatchObject({
      code: 'unbound_graph',
      message: expect.stringMatching(
        /"w" \[2, 100, 1, 1\], read by node "a" \(Conv\) .*"x.weight with p", "x.weight with q".*PRESERVE/,
      ),
    });
  });

  it('is refused, with a way to export without folding, where nothing explains the numbers', async () => {
    const graph = folded(WEIGHT.with(7, 0.6), NORM);
    graph.rename('w', 'x.weight');
    const tensors = { 'x.weight': CONVOLUTION, ...normTensors('n', NORM) };
    await expect(bindTo(graph, tensors)).rejects.toThrow(
      /"x.weight" .* a batch normalization was folded into it that cannot be undone.*TrainingMode.PRESERVE/,
    );
  });

  it('keeps its readers and the name of the graph’s output', async () => {
    const graph = folded(WEIGHT, NORM);
    const [output] = graph.outputs.keys();
    graph.addOutput(graph.op('Relu', [output!]));
    const outputs = [...graph.outputs.keys()];
    const bound = await bindTo(graph, { 'x.weight': CONVOLUTION, ...normTensors('n', NORM) });
    expect([...bound.graph.outputs.keys()]).toEqual(outputs);
    expect(bound.graph.nodes().map(({ opType }) => opType)).toEqual(['Conv', 'BatchNormalization', 'Relu']);
    expect(bound.graph.nodes().map(({ input }) => input[0])).toEqual(['x', `${output}_before_norm`, output]);
  });
});

it('finds the channels of a transposed convolution in groups', () => {
  // [inputs 4, channels per group 3, kernel 2], two groups: inputs 0 and 1 make channels 0 to 2.
  const layout = { outer: 4, channels: 3, inner: 2, groups: 2 };
  const weight = Float32Array.from({ length: 24 }, (_, i) => i + 1);
  const factors = [2, 3, 5, 7, 11, 13];
  const made = weight.map((value, i) => value * factors[(i < 12 ? 0 : 3) + (Math.floor(i / 2) % 3)]!);
  expect([...channelFactors(made, weight, layout)!]).toEqual(factors);
  made[5]! += 0.01;
  expect(channelFactors(made, weight, layout)).toBeNull();
});

it('gives a bias of zeros back that the exporter left out', async () => {
  const graph = new Graph('graph.onnx');
  graph.setOpset('', 20);
  graph.addInput({ name: 'x', type: { tensorType: { elemType: 1 } } });
  graph.setInitializer(tensorOf('fc.weight', 'F32', [2, 100], WEIGHT));
  const attributes = [intAttribute('transB', 1)];
  graph.addOutput(graph.addNode({ opType: 'Gemm', inputs: ['x', 'fc.weight'], attributes }).output[0]!);
  const weight = { shape: [2, 100], values: WEIGHT };

  const bound = await bindTo(graph, { 'fc.weight': weight, 'fc.bias': { shape: [2], values: [0, 0] } });
  expect(bound.bindings.map(({ tensor, by }) => [tensor, by])).toEqual([
    ['fc.weight', 'name'],
    ['fc.bias', 'unfolded'],
  ]);
  expect(bound.graph.nodes()[0]!.input).toEqual(['x', 'fc.weight', 'fc.bias']);

  const other = await bindTo(graph, { 'fc.weight': weight, 'fc.bias': { shape: [2], values: [0, 1] } });
  expect(other.unused).toEqual(['fc.bias']);
});
