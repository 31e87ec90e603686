import { join } from 'node:path';
import { type Graph, tensorOf } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { tuneMerge } from '../src/tune.js';
import { workFolder } from './support/folders.js';
import { classifier, headWeights, type SmallMerge, smallMerge, twoClassifiers } from './support/small-merge.js';

/** Tunes, and gives the losses with what was noted on the way. */
async function tune(given: SmallMerge) {
  const workDir = await workFolder();
  const merge = await smallMerge(join(workDir, 'inputs'), given);
  const notes: [string, Record<string, unknown>][] = [];
  const onNote = (...note: [string, Record<string, unknown>]) => notes.push(note);
  const { report } = await tuneMerge(merge.plan, { ...merge, workDir, provider: 'cpu', threads: 1, onNote });
  return { report, notes };
}

/** The two classifiers, whose graphs do something to what comes in first. */
function preceded(parameters: Record<string, unknown>, change: (graph: Graph, x: string) => string): SmallMerge {
  const { base, tasks, ...given } = twoClassifiers();
  const heads = { a: headWeights(2), b: headWeights(3, 4) } as const;
  const changed = tasks.map((task) => {
    const graph = classifier({ ...base, ...heads[task.name as 'a' | 'b'] });
    const first = graph.nodes().find((node) => node.input[0] === 'x')!;
    graph.setInput(first, 0, change(graph, 'x'));
    return { ...task, graph };
  });
  return { ...given, base, tasks: changed, parameters: { ...given.parameters, ...parameters } };
}

const centred = (graph: Graph, x: string) => {
  const axis = graph.constant(tensorOf('axis', 'I64', [1], [0]));
  return graph.op('Sub', [x, graph.op('ReduceMean', [x, axis])]);
};

/** What an exporter makes of a batch size that the model's code takes for a number. */
const reshaped = (graph: Graph, x: string) =>
  graph.op('Reshape', [x, graph.constant(tensorOf('shape', 'I64', [2], [4, 6]))]);

describe('graphs that cannot run together run alone', () => {
  it('because rows of a batch influence one another', async () => {
    const { notes } = await tune(preceded({}, centred));
    expect(notes).toHaveLength(1);
    expect(notes[0]![0]).toContain('each runs alone');
    expect(notes[0]![1]['detail']).toContain('task "a": the step graph gives a loss of');
  });

  it('because the batch size is written into them, and give the numbers of those in which it is not', async () => {
    const parameters = { batches_per_step: 2 };
    const { report, notes } = await tune(preceded(parameters, reshaped));
    expect(notes.map(([text]) => text)).toEqual(['the tasks’ graphs do not run together: each runs alone']);
    const free = await tune(preceded(parameters, (_, x) => x));
    expect(free.notes).toEqual([]);
    for (const [step, loss] of report.loss.entries()) expect(loss).toBeCloseTo(free.report.loss[step]!, 5);
  });

  it('and a batch size that is another one than was asked for is refused', async () => {
    await expect(tune(preceded({ batch_size: 3 }, reshaped))).rejects.toMatchObject({
      code: 'invalid_graph',
      detail: expect.stringContaining('a.onnx: the runtime refuses it'),
    });
  });
});
