import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeModel, type Graph, intsAttribute, modelOf, type NewNode, tensorOf } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { tuneMerge } from '../src/tune.js';
import { workFolder } from './support/folders.js';
import { evaluate } from './support/judging.js';
import { floats } from './support/numbers.js';
import {
  addOutput,
  classifier,
  features,
  headWeights,
  type SmallMerge,
  smallMerge,
  type Tensors,
  twoClassifiers,
} from './support/small-merge.js';
import type { Merge } from './support/zoo.js';

async function tune(given: SmallMerge | Merge) {
  const workDir = await workFolder();
  const merge = 'plan' in given ? given : await smallMerge(join(workDir, 'inputs'), given);
  return tuneMerge(merge.plan, { ...merge, workDir, provider: 'cpu', threads: 1 });
}

/** The weights of task a in the graph that it was exported to. */
function weightsOfA(): Tensors {
  const { base } = twoClassifiers();
  return { ...base, ...headWeights(2) };
}

/** The two classifiers, with another graph for the task a. */
function withGraph(graph: Graph | Uint8Array, change: Partial<SmallMerge['tasks'][number]> = {}): SmallMerge {
  const { tasks, ...given } = twoClassifiers();
  return { ...given, tasks: tasks.map((task) => (task.name === 'a' ? { ...task, graph, ...change } : task)) };
}

function withData(data: Tensors): SmallMerge {
  return withGraph(classifier(weightsOfA()), { data });
}

/** Of an operator that has no gradient here. */
const AXES = intsAttribute('axes', [1]);

/** Puts a node between the encoder and the head. */
function insert(graph: Graph, opType: string, more: Partial<NewNode> = {}): Graph {
  const head = graph.nodes().find((node) => node.input.includes('head.weight'))!;
  const { inputs = [], ...rest } = more;
  const made = graph.addNode({ ...rest, opType, inputs: [head.input[0]!, ...inputs], name: 'the-node' });
  graph.setInput(head, 0, made.output[0]!);
  return graph;
}

async function expectError(work: Promise<unknown>, code: string, ...parts: string[]): Promise<void> {
  const error = await work.then(
    () => expect.unreachable('nothing was refused'),
    (thrown: { code: string; detail: string }) => thrown,
  );
  expect(error).toMatchObject({ code });
  for (const part of parts) expect(error.detail).toContain(part);
}

describe('graphs that cannot be learned through', () => {
  it('with an operator without gradient on the path', async () => {
    const graph = insert(classifier(weightsOfA()), 'MeanVarianceNormalization', { attributes: [AXES] });
    await expectError(
      tune(withGraph(graph)),
      'unsupported_graph',
      'a.onnx: node "the-node" (MeanVarianceNormalization), opset 18',
    );
  });

  it('with an operator of onnxruntime’s own on the path', async () => {
    const graph = classifier(weightsOfA());
    graph.setOpset('com.microsoft', 1);
    const given = withGraph(insert(graph, 'FastGelu', { domain: 'com.microsoft' }));
    await expectError(tune(given), 'unsupported_graph', 'a.onnx: node "the-node" (com.microsoft.FastGelu), opset 1');
  });

  it('of an opset that is too old', async () => {
    const given = withGraph(classifier(weightsOfA(), { opset: 13 }));
    await expectError(tune(given), 'unsupported_graph', 'a.onnx: it has opset 13', '16 or later');
  });

  it('though such operators may stand beside the path', async () => {
    const graph = classifier(weightsOfA());
    const attributes = [AXES];
    graph.addNode({ opType: 'MeanVarianceNormalization', inputs: ['logits'], outputs: ['choice'], attributes });
    addOutput(graph, 'choice', ['batch', 5]);
    expect((await tune(withGraph(graph))).report.loss).toEqual((await tune(twoClassifiers())).report.loss);
  });
});

describe('graphs that are not graphs of the models', () => {
  it('with an initializer that is no tensor of theirs', async () => {
    const weights = { ...weightsOfA(), 'layer2.weight': { shape: [8, 8], values: floats(99, 64) } };
    await expectError(tune(withGraph(classifier(weights))), 'unbound_graph', 'a.onnx', 'layer2.weight');
  });

  it('that read no merged tensor', async () => {
    const given = { ...twoClassifiers(), merge: { include: ['nothing.*', 'unread'] } };
    const unread = { unread: { shape: [2], values: [1, 2] } };
    const models = Object.fromEntries(
      Object.entries(given.models).map(([name, tensors], i) => [
        name,
        { ...tensors, unread: { shape: [2], values: [i, 3] } },
      ]),
    );
    const merge = { ...given, base: { ...given.base, ...unread }, models };
    await expectError(tune(merge), 'unbound_graph', 'nothing to learn');
  });

  it('that are cut off, or no ONNX at all', async () => {
    const bytes = encodeModel(modelOf(classifier(weightsOfA())));
    await expectError(tune(withGraph(bytes.subarray(0, bytes.length - 100))), 'invalid_graph', 'a.onnx');
    await expectError(tune(withGraph(Buffer.from('not a model'))), 'invalid_graph', 'a.onnx');
  });

  it('that the runtime refuses: sizes that do not fit, types that do not, operators that are none', async () => {
    const refused = (graph: Graph) => expectError(tune(withGraph(graph)), 'invalid_graph', 'a.onnx');
    const sizes = classifier(weightsOfA());
    await refused(
      insert(sizes, 'MatMul', { inputs: [sizes.constant(tensorOf('narrow', 'F32', [3, 8], floats(1, 24)))] }),
    );
    const types = classifier(weightsOfA());
    await refused(insert(types, 'Add', { inputs: [types.constant(tensorOf('whole', 'I64', [1], [1]))] }));
    await refused(insert(classifier(weightsOfA()), 'NoSuchOperator'));
  });
});

describe('logits', () => {
  it('that are not there', async () => {
    const given = withGraph(classifier(weightsOfA()), { logits: 'scores' });
    await expectError(tune(given), 'invalid_recipe', 'a', 'no output "scores"', '"logits"');
  });

  it('of rank 4, told from the header', async () => {
    const graph = classifier(weightsOfA());
    const shape = graph.constant(tensorOf('shape', 'I64', [4], [-1, 1, 1, 5]));
    graph.addNode({ opType: 'Reshape', inputs: ['logits', shape], outputs: ['wide'] });
    addOutput(graph, 'wide', ['batch', 1, 1, 5]);
    await expectError(tune(withGraph(graph, { logits: 'wide' })), 'invalid_recipe', 'wide', '[batch, classes]');
  });

  it('of rank 4 or for another number of rows, where the header does not say so', async () => {
    const reshaped = (...dims: number[]) => {
      const graph = classifier(weightsOfA());
      const shape = graph.constant(tensorOf('shape', 'I64', [dims.length], dims));
      graph.addNode({ opType: 'Reshape', inputs: ['logits', shape], outputs: ['wide'] });
      graph.addOutput({ name: 'wide', type: { tensorType: { elemType: 1 } } });
      return withGraph(graph, { logits: 'wide' });
    };
    await expectError(
      tune(reshaped(-1, 1, 1, 5)),
      'invalid_graph',
      'a.onnx',
      '"wide" has shape [2, 1, 1, 5] for 2 rows',
    );
    await expectError(tune(reshaped(1, -1)), 'invalid_graph', 'a.onnx', '"wide" has shape [1, 10]', '2 rows');
  });
});

describe('datasets', () => {
  const values = () => Array.from(features(6, 12)['x']!.values);

  it('with NaN or infinity: the file, the tensor and the row', async () => {
    const nan = values();
    nan[2 * 6 + 1] = Number.NaN;
    await expectError(
      tune(withData({ x: { shape: [12, 6], values: nan } })),
      'invalid_dataset',
      'a.data',
      '"x"',
      'NaN in row 2',
    );
    const infinite = values();
    infinite[11 * 6] = Number.POSITIVE_INFINITY;
    await expectError(
      tune(withData({ x: { shape: [12, 6], values: infinite } })),
      'invalid_dataset',
      'infinity in row 11',
    );
  });

  it.each<[string, Tensors, string]>([
    ['without a needed input', { y: { shape: [12, 6], values: floats(1, 72) } }, 'no tensor "x"'],
    ['of another dtype', { x: { dtype: 'F64', shape: [12, 6], values: floats(1, 72) } }, 'is F64'],
    ['of another shape', { x: { shape: [12, 7], values: floats(1, 84) } }, 'dimension 1 is 7, not 6'],
    [
      'with fewer rows than a batch',
      { x: { shape: [3, 6], values: floats(1, 18) } },
      '3 rows, fewer than one batch of 4',
    ],
  ])('%s', async (_, data, part) => {
    await expectError(tune(withData(data)), 'invalid_dataset', 'task "a"', 'a.data.safetensors', part);
  });

  it('with labels of a class that is not there, whether or not the graph says how many there are', async () => {
    const labelled = {
      ...features(6, 12),
      labels: { dtype: 'I64' as const, shape: [12], values: [...new Array(11).fill(0), 5] },
    };
    const silent = classifier(weightsOfA());
    silent.outputs.clear();
    silent.addOutput({ name: 'logits', type: { tensorType: { elemType: 1 } } });
    for (const graph of [classifier(weightsOfA()), silent]) {
      const folder = await workFolder();
      const merge = await smallMerge(folder, {
        ...withGraph(graph, { evaluation: labelled }),
        method: 'linear',
        parameters: {},
      });
      // What is judged does not matter: the base stands for the result.
      const judged = evaluate({ ...merge, plan: { ...merge.plan, merged: [] } }, folder);
      await expectError(judged, 'invalid_dataset', 'a.evaluation', '"labels" has 5 in row 11', '5 classes');
    }
  });

  it('that are judged by are looked through for NaN as well', async () => {
    const nan = values();
    nan[7] = Number.NaN;
    const folder = await workFolder();
    const evaluation = { x: { shape: [12, 6], values: nan } };
    const given = { ...withGraph(classifier(weightsOfA()), { evaluation }), method: 'linear', parameters: {} };
    const merge = await smallMerge(folder, given);
    const judged = evaluate({ ...merge, plan: { ...merge.plan, merged: [] } }, folder);
    await expectError(judged, 'invalid_dataset', 'a.evaluation.safetensors', '"x" has NaN in row 1');
  });
});

describe('models', () => {
  it('that are identical to the base', async () => {
    const given = twoClassifiers();
    const models = { ...given.models, b: { ...given.base, ...headWeights(3, 4) } };
    await expectError(tune({ ...given, models }), 'duplicate_model', 'b.safetensors', 'identical to the base');
  });

  it('with NaN', async () => {
    const given = twoClassifiers();
    const broken = { shape: [8], values: [0, Number.NaN, 0, 0, 0, 0, 0, 0] };
    const models = { ...given.models, b: { ...given.models['b']!, 'layer1.bias': broken } };
    await expectError(tune({ ...given, models }), 'invalid_checkpoint', 'layer1.bias', 'b.safetensors');
  });
});

describe('a tuning that leaves the finite numbers', () => {
  it('at its first step: the logits of the base are beyond float32', async () => {
    const given = twoClassifiers();
    const huge = { shape: [8, 4], values: floats(1, 32, 3e38) };
    const head = { ...headWeights(3, 4), 'head.weight': huge };
    const models = { ...given.models, b: { ...given.models['b']!, ...head } };
    const tasks = given.tasks.map((task) =>
      task.name === 'b' ? { ...task, graph: classifier({ ...given.base, ...head }) } : task,
    );
    await expectError(tune({ ...given, models, tasks }), 'tuning_diverged', 'step 1, task "b": the loss is NaN');
  });

  it('at a later one: a temperature, learned without bounds, runs away', async () => {
    const warm = (temperature: number[]): Tensors => ({ temperature: { shape: [5], values: temperature } });
    const given = twoClassifiers();
    const base = { ...given.base, ...warm([0.1, 0.2, 0.3, 0.4, 0.5]) };
    const graph = classifier({ ...base, ...headWeights(2) });
    graph.outputs.clear();
    graph.addNode({
      opType: 'Mul',
      inputs: ['logits', graph.op('Exp', ['temperature'])],
      outputs: ['sharpened'],
    });
    addOutput(graph, 'sharpened', ['batch', 5]);
    const models = { a: { ...given.models['a']!, ...warm([1.1, 1.2, 1.3, 1.4, 1.5]) } };
    const parameters = { ...given.parameters, clamp: null, learning_rate: 1000 };
    const tasks = [{ name: 'a', graph, data: features(6, 12) }];
    await expectError(
      tune({ base, models, tasks, parameters }),
      'tuning_diverged',
      'step 2, task "a": the loss is NaN',
    );
  });
});

describe('a file that goes away', () => {
  it('is told by name', async () => {
    const folder = await workFolder();
    const merge = await smallMerge(folder, twoClassifiers());
    await writeFile(join(folder, 'a.data.safetensors'), '');
    await expectError(tune(merge), 'checkpoint_changed', 'a.data.safetensors');
  });
});
