import { join } from 'node:path';
import { Graph, intAttribute, tensorOf } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { tuneMerge } from '../src/tune.js';
import { workFolder } from './support/folders.js';
import { evaluate } from './support/judging.js';
import { floats } from './support/numbers.js';
import {
  addInput,
  addOutput,
  addWeights,
  classifier,
  features,
  headWeights,
  type SmallMerge,
  type SmallTask,
  smallMerge,
  type Tensors,
  twoClassifiers,
} from './support/small-merge.js';

async function tune(given: SmallMerge): Promise<unknown> {
  const workDir = await workFolder();
  const merge = await smallMerge(join(workDir, 'inputs'), given);
  return tuneMerge(merge.plan, { ...merge, workDir, provider: 'cpu', threads: 1 });
}

/** What does not matter here: the base stands for the result. */
async function judge(given: SmallMerge): Promise<unknown> {
  const folder = await workFolder();
  const merge = await smallMerge(folder, { ...given, method: 'linear', parameters: {} });
  return evaluate({ ...merge, plan: { ...merge.plan, merged: [] } }, folder);
}

async function refusal(work: Promise<unknown>): Promise<{ code: string; detail: string }> {
  return work.then(
    () => expect.unreachable('nothing was refused'),
    (thrown: { code: string; detail: string }) => thrown,
  );
}

/** The two classifiers, whose graph for the task a is another one and does not say what shape its logits have. */
function silent(change: Partial<SmallTask>, classes = 5): SmallMerge {
  const { tasks, ...given } = twoClassifiers();
  const graph = classifier({ ...given.base, ...headWeights(2, classes) });
  graph.outputs.clear();
  graph.addOutput({ name: 'logits', type: { tensorType: { elemType: 1 } } });
  return { ...given, tasks: tasks.map((task) => (task.name === 'a' ? { ...task, graph, ...change } : task)) };
}

describe('a graph that does not say what shape its logits have', () => {
  const integers = (...shape: number[]): Tensors[string] => {
    return { dtype: 'I64', shape, values: new Array(shape.reduce((product, size) => product * size)).fill(1) };
  };

  it('is not judged by labels of positions that it does not have', async () => {
    const error = await refusal(judge(silent({ evaluation: { ...features(6, 12), labels: integers(12, 2) } })));
    expect(error).toMatchObject({ code: 'invalid_dataset' });
    expect(error.detail).toContain('a.evaluation.safetensors: tensor "labels" has shape [12, 2]');
    expect(error.detail).toContain('[12, 5]');
  });

  it('does not learn, and is not judged, with a mask of positions that it does not have', async () => {
    const masked = silent({ data: { ...features(6, 12), mask: integers(12, 3) }, mask: 'mask' });
    for (const error of [await refusal(tune(masked)), await refusal(judge(masked))]) {
      expect(error).toMatchObject({ code: 'invalid_dataset' });
      expect(error.detail).toContain('a.data.safetensors: tensor "mask" has shape [12, 3]');
    }
  });
});

/** Looks up a row of an embedding for each token: what is no token is refused by the runtime alone. */
function lookup(ids: number[]): SmallMerge {
  const embedding = (seed: number): Tensors => ({ 'embedding.weight': { shape: [7, 5], values: floats(seed, 35, 2) } });
  const graph = new Graph('lookup');
  graph.setOpset('', 18);
  addInput(graph, 'id', ['batch'], 'I64');
  addWeights(graph, embedding(1));
  graph.addNode({ opType: 'Gather', inputs: ['embedding.weight', 'id'], outputs: ['logits'], name: 'the-node' });
  addOutput(graph, 'logits', ['batch', 5]);
  return {
    base: embedding(1),
    models: { a: embedding(2) },
    tasks: [{ name: 'a', graph, data: { id: { dtype: 'I64', shape: [ids.length], values: ids } } }],
    parameters: { batch_size: 2, steps: 4, sampling: 'sequential' },
  };
}

describe('what the runtime refuses', () => {
  it('names the graph, and no folder of this machine', async () => {
    const { tasks, ...given } = twoClassifiers();
    const graph = classifier({ ...given.base, ...headWeights(2) });
    const head = graph.nodes().find((node) => node.input.includes('head.weight'))!;
    const made = graph.addNode({ opType: 'NoSuchOperator', inputs: [head.input[0]!], name: 'the-node' });
    graph.setInput(head, 0, made.output[0]!);
    const error = await refusal(tune({ ...given, tasks: [{ ...tasks[0]!, graph }, tasks[1]!] }));
    expect(error).toMatchObject({ code: 'invalid_graph' });
    expect(error.detail).toContain('a.onnx');
    expect(error.detail).toContain('NoSuchOperator');
    expect(error.detail).not.toMatch(/\/tmp|\/inputs|ONNXRuntimeError/);
  });

  it('in a later step is the data’s mistake, and named with the step', async () => {
    const error = await refusal(tune(lookup([0, 1, 2, 3, 4, 700, 6, 0])));
    expect(error).toMatchObject({ code: 'invalid_dataset' });
    expect(error.detail).toContain('step 3');
    expect(error.detail).toContain('idx=700');
  });

  it('of the rows that a result is judged by names the graph', async () => {
    const error = await refusal(judge(lookup([0, 1, 2, 3, 4, 700, 6, 0])));
    expect(error).toMatchObject({ code: 'invalid_graph' });
    expect(error.detail).toContain('a.onnx');
    expect(error.detail).toContain('idx=700');
  });

  it('for want of memory is nobody’s mistake: dimensions beyond every machine’s', async () => {
    const { tasks, ...given } = twoClassifiers();
    const graph = classifier({ ...given.base, ...headWeights(2) });
    const huge = graph.op('ConstantOfShape', [graph.constant(tensorOf('huge', 'I64', [1], [2 ** 46]))]);
    const sum = graph.op('ReduceSum', [huge], [intAttribute('keepdims', 0)]);
    graph.addNode({ opType: 'Add', inputs: ['logits', sum], outputs: ['late'] });
    addOutput(graph, 'late', ['batch', 5]);
    const large = { ...given, tasks: [{ ...tasks[0]!, graph, logits: 'late' }, tasks[1]!] };
    for (const error of [await refusal(tune(large)), await refusal(judge(large))]) {
      expect(error).toMatchObject({ code: 'unavailable' });
      expect(error.detail).toContain('memory');
    }
  });
});
