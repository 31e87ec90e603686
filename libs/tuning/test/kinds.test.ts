import { join } from 'node:path';
import { Graph, intAttribute, intsAttribute, ONNX_DTYPES } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { tuneMerge } from '../src/tune.js';
import { workFolder } from './support/folders.js';
import { mergeAndEvaluate } from './support/judging.js';
import { floats } from './support/numbers.js';
import {
  addInput,
  addOutput,
  addWeights,
  classifier,
  type SmallMerge,
  smallMerge,
  type Tensors,
  twoClassifiers,
} from './support/small-merge.js';
import { apart, openStep, slopesOf } from './support/stepping.js';

async function stepOf(given: SmallMerge, options: Parameters<typeof openStep>[2] = {}) {
  const folder = await workFolder();
  return openStep(await smallMerge(join(folder, 'inputs'), given), folder, options);
}

async function tune(given: SmallMerge) {
  const workDir = await workFolder();
  const merge = await smallMerge(join(workDir, 'inputs'), given);
  const notes: string[] = [];
  const { report } = await tuneMerge(merge.plan, {
    ...merge,
    workDir,
    provider: 'cpu',
    threads: 1,
    onNote: (text) => notes.push(text),
  });
  return { report, notes };
}

/** Numbers that bfloat16 and float16 hold exactly: eighths. */
function eighths(tensors: Tensors): Tensors {
  const rounded = Object.entries(tensors).map(([name, { shape, values }]) => [
    name,
    { shape, values: Array.from(values, (value) => Math.round(8 * value) / 8) },
  ]);
  return Object.fromEntries(rounded) as Tensors;
}

function inDtype(dtype: 'BF16' | 'F16', tensors: Tensors): Tensors {
  return Object.fromEntries(Object.entries(tensors).map(([name, numbers]) => [name, { ...numbers, dtype }]));
}

/** The two classifiers in eighths. */
function coarse(): SmallMerge & { base: Tensors } {
  const { base, models, tasks, ...given } = twoClassifiers();
  const coarseBase = eighths(base);
  const coarseModels = Object.fromEntries(Object.entries(models).map(([name, own]) => [name, eighths(own)]));
  const graphs = tasks.map((task) => ({
    ...task,
    graph: classifier({ ...coarseModels[task.name]!, ...coarseBase }),
  }));
  return { ...given, base: coarseBase, models: coarseModels, tasks: graphs };
}

describe('checkpoints of half precision', () => {
  it.each(['BF16', 'F16'] as const)('%s, with graphs in float32', async (dtype) => {
    const given = coarse();
    const models = Object.fromEntries(Object.entries(given.models).map(([name, own]) => [name, inDtype(dtype, own)]));
    const half = await stepOf({ ...given, base: inDtype(dtype, given.base), models });
    const whole = await stepOf(given);
    const at = whole.table(0.4);
    const [a, b] = [await half.run(at), await whole.run(at)];
    expect(apart([a.losses], [b.losses])).toBeLessThan(1e-6);
    expect(apart(a.gradient, b.gradient)).toBeLessThan(1e-6);
  });
});

describe('graphs of half precision', () => {
  /** The two classifiers with weights, inputs and logits of float16. */
  const halved = (): SmallMerge => {
    const { base, models, tasks, ...given } = coarse();
    const halfBase = inDtype('F16', base);
    const halfModels = Object.fromEntries(Object.entries(models).map(([name, own]) => [name, inDtype('F16', own)]));
    const halfTasks = tasks.map((task) => ({
      ...task,
      graph: classifier({ ...halfModels[task.name]!, ...halfBase }, { dtype: 'F16' }),
      data: inDtype('F16', task.data),
    }));
    return { ...given, base: halfBase, models: halfModels, tasks: halfTasks };
  };

  it('have losses and gradients near those of float32', async () => {
    const [half, whole] = [await stepOf(halved()), await stepOf(coarse())];
    const at = whole.table(0.4);
    const [a, b] = [await half.run(at), await whole.run(at)];
    expect(apart([a.losses], [b.losses])).toBeLessThan(0.01);
    expect(apart(a.gradient, b.gradient)).toBeLessThan(0.02);
  });

  it('are learned from and judged', async () => {
    const [half, whole] = [await tune(halved()), await tune(coarse())];
    expect(half.notes).toEqual([]);
    expect(apart(half.report.losses, whole.report.losses)).toBeLessThan(0.01);
    const folder = await workFolder();
    const merge = await smallMerge(join(folder, 'inputs'), { ...halved(), method: 'linear', parameters: {} });
    const other = await workFolder();
    const exact = await smallMerge(join(other, 'inputs'), { ...coarse(), method: 'linear', parameters: {} });
    const [found, wanted] = [await mergeAndEvaluate(merge, folder), await mergeAndEvaluate(exact, other)];
    for (const [t, { individual }] of wanted.entries()) {
      expect(found[t]!.individual.entropy).toBeCloseTo(individual.entropy!, 2);
    }
  });
});

describe('weights that a graph uses twice', () => {
  /** A tied token model: embedding, and its transpose as the head, which an exporter may write down a second time. */
  const tied = (weights: Tensors, written: 'once' | 'twice'): Graph => {
    const graph = new Graph('tied.onnx');
    graph.setOpset('', 18);
    addInput(graph, 'ids', ['batch', 'positions'], 'I64');
    addWeights(graph, weights);
    const { shape, values } = weights['embedding']!;
    const [rows, columns] = shape as [number, number];
    const embedded = graph.op('Tanh', [graph.op('Gather', ['embedding', 'ids'])]);
    let head: string;
    if (written === 'once') head = graph.op('Transpose', ['embedding'], [intsAttribute('perm', [1, 0])]);
    else {
      head = 'onnx::MatMul_7';
      const turned = Array.from(
        { length: rows * columns },
        (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!,
      );
      addWeights(graph, { [head]: { shape: [columns, rows], values: turned } });
    }
    graph.addNode({ opType: 'MatMul', inputs: [embedded, head], outputs: ['logits'] });
    addOutput(graph, 'logits', ['batch', 'positions', rows]);
    return graph;
  };

  it.each(['once', 'twice'] as const)('have the slope of both uses: written %s', async (written) => {
    const base: Tensors = { embedding: { shape: [7, 5], values: floats(1, 35, 1.5) } };
    const models = {
      a: { embedding: { shape: [7, 5], values: floats(2, 35, 1.5) } },
      b: { embedding: { shape: [7, 5], values: floats(3, 35, 1.5) } },
    };
    const ids = Array.from({ length: 24 }, (_, i) => (5 * i + 3) % 7);
    const step = await stepOf({
      base,
      models,
      tasks: [{ name: 'a', graph: tied(base, written), data: { ids: { dtype: 'I64', shape: [6, 4], values: ids } } }],
      parameters: { batch_size: 6 },
    });
    const at = step.table(0.3);
    const { gradient } = await step.run(at);
    expect(apart(gradient, await slopesOf(step, at))).toBeLessThan(2e-3);
  });
});

describe('inputs of other dtypes, when tasks run alone and wait for each other', () => {
  /** x [batch, 6], of which only what `keep` says is let through. */
  const gated = (weights: Tensors, dtype: 'BOOL' | 'U8' | 'I32' | 'F16'): Graph => {
    const graph = classifier(weights);
    addInput(graph, 'keep', ['batch', 6], dtype);
    const first = graph.nodes().find((node) => node.input[0] === 'x')!;
    const gate = graph.op('Cast', ['keep'], [intAttribute('to', ONNX_DTYPES.F32.code)]);
    graph.setInput(first, 0, graph.op('Mul', ['x', gate]));
    return graph;
  };

  it.each(['BOOL', 'U8', 'I32', 'F16'] as const)('%s', async (dtype) => {
    const { tasks, ...given } = twoClassifiers();
    const keep = { dtype, shape: [12, 6], values: Array.from({ length: 72 }, (_, i) => (i % 5 === 0 ? 0 : 1)) };
    const changed = tasks.map((task) => ({
      ...task,
      graph: gated({ ...given.models[task.name]!, ...given.base }, dtype),
      data: { ...task.data, keep },
    }));
    const [alone, shared] = [
      await stepOf({ ...given, tasks: changed }, { share: false }),
      await stepOf({ ...given, tasks: changed }),
    ];
    const at = shared.table(0.3);
    expect(apart([(await alone.run(at)).losses], [(await shared.run(at)).losses])).toBeLessThan(1e-5);
    expect((await tune({ ...given, tasks: changed })).notes).toEqual([]);
  });
});
