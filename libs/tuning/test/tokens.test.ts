import { Graph, intAttribute, ONNX_DTYPES } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { tuneMerge } from '../src/tune.js';
import { workFolder } from './support/folders.js';
import { judge, logitsOf, mergeAndEvaluate } from './support/judging.js';
import { floats, numbersFrom } from './support/numbers.js';
import {
  addInput,
  addOutput,
  addWeights,
  type Numbers,
  type SmallMerge,
  type SmallTask,
  smallMerge,
  type Tensors,
} from './support/small-merge.js';
import { apart, openStep, slopesOf } from './support/stepping.js';

const [VOCABULARY, WIDTH, CLASSES, ROWS, POSITIONS] = [7, 6, 4, 8, 5];

/**
 * A model of tokens: input_ids, int64 [batch, positions] → embedding → + mean over the positions that the attention mask lets
 * in → logits [batch, positions, classes]. What a masked position holds has no influence on the others.
 */
function tokenModel(weights: Tensors): Graph {
  const graph = new Graph('tokens.onnx');
  graph.setOpset('', 18);
  addInput(graph, 'input_ids', ['batch', 'positions'], 'I64');
  addInput(graph, 'attention_mask', ['batch', 'positions'], 'I64');
  addWeights(graph, weights);
  addWeights(graph, {
    last: { dtype: 'I64', shape: [1], values: [-1] },
    positions: { dtype: 'I64', shape: [1], values: [1] },
  });
  const embedded = graph.op('Gather', ['embedding.weight', 'input_ids']);
  const mask = graph.op('Cast', ['attention_mask'], [intAttribute('to', ONNX_DTYPES.F32.code)]);
  const wide = graph.op('Unsqueeze', [mask, 'last']);
  const total = graph.op('ReduceSum', [graph.op('Mul', [embedded, wide]), 'positions']);
  const mean = graph.op('Div', [total, graph.op('ReduceSum', [wide, 'positions'])]);
  const mixed = graph.op('Tanh', [graph.op('MatMul', [graph.op('Add', [embedded, mean]), 'mixer.weight'])]);
  graph.addNode({ opType: 'MatMul', inputs: [mixed, 'head.weight'], outputs: ['logits'] });
  addOutput(graph, 'logits', ['batch', 'positions', CLASSES]);
  return graph;
}

function weights(seed: number, around?: Tensors): Tensors {
  const near = (name: string, shape: number[], at: number): Numbers => {
    const values = floats(10 * seed + at, shape[0]! * shape[1]!, around === undefined ? 2 : 0.8);
    return { shape, values: values.map((value, i) => value + (around?.[name]?.values[i] ?? 0)) };
  };
  return {
    'embedding.weight': near('embedding.weight', [VOCABULARY, WIDTH], 1),
    'mixer.weight': near('mixer.weight', [WIDTH, WIDTH], 2),
  };
}

const next = numbersFrom(7);
const IDS = Array.from({ length: ROWS * POSITIONS }, () => Math.floor(((next() + 1) / 2) * VOCABULARY) % VOCABULARY);
/** Rows of one to five tokens. */
const MASK = IDS.map((_, i) => (i % POSITIONS <= Math.floor(i / POSITIONS) % POSITIONS ? 1 : 0));
const LABELS = IDS.map((id, i) => (MASK[i] === 0 || i === 0 ? -100 : id % CLASSES));

function tokenMerge(): SmallMerge {
  const base = weights(1);
  const head = { 'head.weight': { shape: [WIDTH, CLASSES], values: floats(5, WIDTH * CLASSES, 2) } };
  const data: Tensors = {
    input_ids: { dtype: 'I64', shape: [ROWS, POSITIONS], values: IDS },
    attention_mask: { dtype: 'I64', shape: [ROWS, POSITIONS], values: MASK },
  };
  const labels: Numbers = { dtype: 'I64', shape: [ROWS, POSITIONS], values: LABELS };
  return {
    base,
    models: { tagger: { ...weights(2, base), ...head }, other: weights(3, base) },
    tasks: [
      {
        name: 'tagger',
        graph: tokenModel({ ...base, ...head }),
        data,
        evaluation: { ...data, labels },
        mask: 'attention_mask',
      },
    ],
    parameters: { batch_size: 4, steps: 4, learning_rate: 0.05, sampling: 'sequential' },
  };
}

describe('a token model', () => {
  it('learns from the positions that its mask lets count', async () => {
    const folder = await workFolder();
    const merge = await smallMerge(`${folder}/inputs`, tokenMerge());
    const { report, coefficients } = await tuneMerge(merge.plan, {
      ...merge,
      workDir: folder,
      provider: 'cpu',
      threads: 1,
    });
    expect(report.loss).toHaveLength(4);
    // The same batch, two steps later.
    expect(report.loss[2]!).toBeLessThan(report.loss[0]!);
    expect(coefficients.tensors).toEqual(['embedding.weight', 'mixer.weight']);
    expect(report.tuning.insensitive).toEqual([]);
  });

  it('has the slope of its losses as gradient, whatever masked positions hold', async () => {
    const folder = await workFolder();
    const step = await openStep(await smallMerge(`${folder}/inputs`, tokenMerge()), folder);
    const at = step.table(0.3);
    const { losses, gradient } = await step.run(at);
    expect(apart(gradient, await slopesOf(step, at))).toBeLessThan(3e-3);

    const given = tokenMerge();
    const [task] = given.tasks;
    const scrambled = IDS.map((id, i) => (MASK[i] === 0 ? (id + 1) % VOCABULARY : id));
    const data = { ...task!.data, input_ids: { ...task!.data['input_ids']!, values: scrambled } };
    const other = await smallMerge(`${folder}/scrambled`, { ...given, tasks: [{ ...task!, data }] });
    const same = await (await openStep(other, folder)).run(at);
    expect(same.losses[0]).toBeCloseTo(losses[0]!, 6);
    expect(apart(same.gradient, gradient)).toBeLessThan(1e-5);
  });

  it('is judged on the positions that count, and for accuracy on those of them that have a label', async () => {
    const folder = await workFolder();
    const given = tokenMerge();
    const coefficients = { tensors: ['*'], values: [[0, 0]] };
    const [scores] = await mergeAndEvaluate(await smallMerge(`${folder}/inputs`, given), folder, coefficients);

    const [{ data }] = given.tasks as [SmallTask];
    const tagger = given.models['tagger']!;
    const score = async (weights: Tensors) =>
      judge(await logitsOf(tokenModel(weights), data), CLASSES, LABELS, (i) => MASK[i] === 1);
    const base = await score({ ...given.base, 'head.weight': tagger['head.weight']! });
    const individual = await score(tagger);
    expect(scores).toMatchObject({ name: 'tagger', model: 'tagger', rows: ROWS });
    for (const [found, wanted] of [
      [scores!.individual, individual],
      [scores!.base!, base],
      [scores!, base],
    ] as const) {
      expect(found.entropy).toBeCloseTo(wanted.entropy, 5);
      expect(found.accuracy).toBe(wanted.accuracy);
    }
    expect(individual.entropy).not.toBeCloseTo(base.entropy, 2);
  });
});
