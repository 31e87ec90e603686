import { join } from 'node:path';
import { Graph, intAttribute, intsAttribute, tensorOf } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { EXTRA, widenLayers } from '../src/wide-layers.js';
import { workFolder } from './support/folders.js';
import { floats } from './support/numbers.js';
import { addInput, addOutput, addWeights, type SmallMerge, smallMerge, type Tensors } from './support/small-merge.js';
import { apart, openStep } from './support/stepping.js';

const [UP, BIAS, DOWN] = ['merged/up', 'merged/bias', 'merged/down'] as const;

/** x [batch, 4] → product with `up` → plus `bias` → `activation` → product with `down` → y, without what `change` makes of it. */
function perceptron(activation: (graph: Graph, hidden: string) => string, size = 1024): Graph {
  const graph = new Graph('perceptron');
  graph.setOpset('', 20);
  addInput(graph, 'x', ['batch', 4]);
  addInput(graph, UP, [4, size]);
  addInput(graph, BIAS, [size]);
  addInput(graph, DOWN, [size, 4]);
  const hidden = graph.op('Add', [graph.op('MatMul', ['x', UP]), BIAS]);
  graph.addNode({ opType: 'MatMul', inputs: [activation(graph, hidden), DOWN], outputs: ['y'] });
  addOutput(graph, 'y', ['batch', 4]);
  return graph;
}

const scalar = (graph: Graph, value: number) => graph.constant(tensorOf('scalar', 'F32', [], [value]));
const relu = (graph: Graph, hidden: string) => graph.op('Relu', [hidden]);
const dimsOf = (graph: Graph, name: string) =>
  graph.inputs.get(name)!.type!.tensorType!.shape!.dim.map(({ dimValue }) => dimValue);

/** As exporters write it: x / √2, erf, plus 1, times x, times 1 / 2. */
function gelu(graph: Graph, x: string): string {
  const erf = graph.op('Erf', [graph.op('Div', [x, scalar(graph, Math.SQRT2)])]);
  return graph.op('Mul', [graph.op('Mul', [x, graph.op('Add', [erf, scalar(graph, 1)])]), scalar(graph, 0.5)]);
}

describe('a layer whose rows are a multiple of 4096 bytes', () => {
  it('is made wider in the tensors on both sides', () => {
    const graph = perceptron(gelu);
    expect([...widenLayers(graph)]).toEqual([
      [UP, 1],
      [BIAS, 0],
      [DOWN, 0],
    ]);
    expect([UP, BIAS, DOWN].map((name) => dimsOf(graph, name))).toEqual([
      [4, 1024 + EXTRA],
      [1024 + EXTRA],
      [1024 + EXTRA, 4],
    ]);
  });

  it('has its axis where weights are transposed', () => {
    const graph = new Graph('transposed');
    graph.setOpset('', 20);
    addInput(graph, 'x', [8, 4]);
    addInput(graph, UP, [2048, 4]);
    addInput(graph, BIAS, [2048]);
    addInput(graph, DOWN, [4, 2048]);
    const hidden = graph.op('Gemm', ['x', UP, BIAS], [intAttribute('transB', 1)]);
    const down = graph.op('Transpose', [DOWN], [intsAttribute('perm', [1, 0])]);
    graph.addNode({ opType: 'MatMul', inputs: [graph.op('Tanh', [hidden]), down], outputs: ['y'] });
    addOutput(graph, 'y', [8, 4]);
    expect(Object.fromEntries(widenLayers(graph))).toEqual({ [UP]: 0, [BIAS]: 0, [DOWN]: 1 });
  });

  it('may be made of several products', () => {
    const gated = perceptron((graph, hidden) => {
      addInput(graph, 'merged/gate', [4, 1024]);
      return graph.op('Mul', [hidden, graph.op('Sigmoid', [graph.op('MatMul', ['x', 'merged/gate'])])]);
    });
    expect(Object.fromEntries(widenLayers(gated))).toEqual({ [UP]: 1, [BIAS]: 0, [DOWN]: 0, 'merged/gate': 1 });
  });
});

describe('a layer stays as it is', () => {
  const other: [string, (graph: Graph, hidden: string) => string][] = [
    ['when an operator looks at more than one entry', (graph, hidden) => graph.op('Softmax', [hidden])],
    ['when zeros would become infinite', (graph, hidden) => graph.op('Log', [hidden])],
    ['when zeros would be divided by', (graph, hidden) => graph.op('Div', [hidden, graph.op('Exp', [hidden])])],
    ['when the slope at zero is infinite', (graph, hidden) => graph.op('Pow', [hidden, scalar(graph, 0.5)])],
    [
      'when something else reads it',
      (graph, hidden) => {
        graph.addNode({ opType: 'ReduceMean', inputs: [hidden], outputs: ['mean'] });
        return hidden;
      },
    ],
    [
      'when it is given out',
      (graph, hidden) => {
        addOutput(graph, hidden, ['batch', 1024]);
        return hidden;
      },
    ],
    [
      'when something else reads its weights',
      (graph, hidden) => {
        graph.addNode({ opType: 'ReduceMean', inputs: [UP], outputs: ['mean'] });
        return hidden;
      },
    ],
    [
      'when its entries are constants',
      (graph, hidden) => graph.op('Add', [hidden, graph.constant(tensorOf('c', 'F32', [1024], floats(1, 1024)))]),
    ],
  ];
  it.each(other)('%s', (_, activation) => {
    const graph = perceptron(activation);
    expect(widenLayers(graph).size).toBe(0);
    expect([UP, BIAS, DOWN].map((name) => dimsOf(graph, name))).toEqual([[4, 1024], [1024], [1024, 4]]);
  });

  it('when its rows do not share lines', () => {
    expect(widenLayers(perceptron(relu, 1000)).size).toBe(0);
  });

  it('when one of two layers around a weight does', () => {
    const chain = perceptron((graph, hidden) => {
      addInput(graph, 'merged/middle', [1024, 1024]);
      return graph.op('Softmax', [graph.op('MatMul', [relu(graph, hidden), 'merged/middle'])]);
    });
    expect(Object.fromEntries(widenLayers(chain))).toEqual({ [UP]: 1, [BIAS]: 0, 'merged/middle': 0 });
  });
});

it('losses and gradient are those of the layer as it was', async () => {
  const weights = (seed: number): Tensors => ({
    up: { shape: [4, 1024], values: floats(seed, 4096) },
    bias: { shape: [1024], values: floats(seed + 1, 1024) },
    down: { shape: [1024, 4], values: floats(seed + 2, 4096, 0.1) },
  });
  const base = weights(1);
  const graph = perceptron(gelu);
  for (const [name, value] of Object.entries({ up: UP, bias: BIAS, down: DOWN })) {
    graph.inputs.delete(value);
    graph.replaceUses(value, name);
  }
  addWeights(graph, base);
  const data = { x: { shape: [8, 4], values: floats(9, 32) } };
  const given: SmallMerge = {
    base,
    models: { a: weights(10), b: weights(20) },
    tasks: [{ name: 'a', graph, data }],
    parameters: { batch_size: 8 },
  };
  const step = async (wide: boolean) => {
    const folder = await workFolder();
    return openStep(await smallMerge(join(folder, 'inputs'), given), folder, { wide });
  };
  const [wide, narrow] = [await step(true), await step(false)];
  const padded = (graphOf: typeof wide) =>
    graphOf.graph.model.graph!.node.filter(({ opType }) => opType === 'Pad').length;
  expect([padded(wide), padded(narrow)]).toEqual([3, 0]);
  const [a, b] = [await wide.run(wide.table(0.3)), await narrow.run(narrow.table(0.3))];
  expect(apart([a.losses], [b.losses])).toBeLessThan(1e-6);
  expect(apart(a.gradient, b.gradient)).toBeLessThan(1e-5);
});
