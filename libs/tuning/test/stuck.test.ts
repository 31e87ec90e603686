import { fork } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type GraphProto, graphAttribute, ONNX_DTYPES, tensorOf, type ValueInfoProto } from '@amalgam/onnx';
import { describe, expect, it, onTestFinished } from 'vitest';
import { evaluateMerge } from '../src/tune.js';
import { workFolder } from './support/folders.js';
import { classifier, headWeights, type SmallMerge, smallMerge, twoClassifiers } from './support/small-merge.js';
import { tuneJobOf } from './support/stepping.js';

function scalar(name: string, dtype: 'I64' | 'BOOL'): ValueInfoProto {
  return { name, type: { tensorType: { elemType: ONNX_DTYPES[dtype].code, shape: { dim: [] } } } };
}

/** Two classifiers, of which one adds what a loop gives that does not end. */
function endless(): SmallMerge {
  const { tasks, ...given } = twoClassifiers();
  const graph = classifier({ ...given.base, ...headWeights(2) });
  const body: GraphProto = {
    name: 'body',
    node: [
      { opType: 'Identity', input: ['before'], output: ['after'], attribute: [] },
      { opType: 'Identity', input: ['kept'], output: ['still'], attribute: [] },
    ],
    initializer: [],
    input: [scalar('count', 'I64'), scalar('before', 'BOOL'), scalar('kept', 'I64')],
    output: [scalar('after', 'BOOL'), scalar('still', 'I64')],
    valueInfo: [],
  };
  const start = graph.constant(tensorOf('start', 'I64', [], [0]));
  const go = graph.constant(tensorOf('go', 'BOOL', [], [1]));
  const loop = graph.addNode({ opType: 'Loop', inputs: ['', go, start], attributes: [graphAttribute('body', body)] });
  const shape = graph.op('Add', [graph.op('Shape', ['logits']), loop.output[0]!]);
  graph.addNode({ opType: 'Reshape', inputs: ['logits', shape], outputs: ['late'] });
  graph.addOutput({ name: 'late', type: { tensorType: { elemType: ONNX_DTYPES.F32.code } } });
  return { ...given, tasks: [{ ...tasks[0]!, graph, logits: 'late' }, tasks[1]!] };
}

/** The processes that a process has started for jobs. */
async function jobProcesses(parent: number | undefined): Promise<number[]> {
  const running: number[] = [];
  for (const entry of await readdir('/proc')) {
    const read = (file: string) => readFile(`/proc/${entry}/${file}`, 'utf8').catch(() => '');
    if (!/^\d+$/.test(entry) || !(await read('cmdline')).includes('job-entry.js')) continue;
    if (Number(/^PPid:\s+(\d+)/m.exec(await read('status'))?.[1]) === parent) running.push(Number(entry));
  }
  return running;
}

/** Milliseconds of the CPU that a process has used, in 10 ms; null when it has ended. */
async function busyFor(pid: number): Promise<number | null> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')).split(') ')[1]?.split(' ');
  return fields === undefined || fields[0] === 'Z' ? null : Number(fields[11]) * 10;
}

describe('a graph with a loop that does not end', () => {
  it('is given up when nothing was heard for too long', async () => {
    const folder = await workFolder();
    const merge = await smallMerge(folder, { ...endless(), method: 'linear', parameters: {} });
    const notes: unknown[] = [];
    const judged = evaluateMerge(
      { ...merge.plan, merged: [] },
      {
        ...merge,
        resultPathOf: (file) => file,
        provider: 'cpu',
        threads: 1,
        silenceMs: 3_000,
        onNote: (...note) => notes.push(note),
      },
    );
    await expect(judged).rejects.toMatchObject({
      code: 'unavailable',
      detail: expect.stringContaining('nothing was heard of the process that ran the models for 3 s'),
    });
    expect(notes).toMatchObject([['the forked process died', { stuck: true }]]);
  });

  it('ends with the process that began it, though its own does not come to look', async () => {
    const job = await tuneJobOf(await smallMerge(await workFolder(), endless()), await workFolder());
    const parent = fork(fileURLToPath(new URL('support/parent.mjs', import.meta.url)), [], { execArgv: [] });
    onTestFinished(() => void parent.kill('SIGKILL'));
    parent.send(job);
    const until = async (condition: () => Promise<boolean>) => {
      for (let tries = 0; tries < 400 && !(await condition()); tries++) await setTimeout(50);
      return condition();
    };
    let child = 0;
    expect(
      await until(async () => {
        [child = 0] = await jobProcesses(parent.pid);
        return child > 0;
      }),
    ).toBe(true);
    onTestFinished(async () => {
      if ((await busyFor(child)) !== null) process.kill(child, 'SIGKILL');
    });
    // Long after everything that comes before the loop.
    expect(await until(async () => ((await busyFor(child)) ?? 0) > 4_000)).toBe(true);
    parent.kill('SIGKILL');
    expect(await until(async () => (await busyFor(child)) === null)).toBe(true);
  });
});
