import { fork } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { TuningState } from '../src/jobs.js';
import { evaluateMerge, type TuneOptions, tuneMerge } from '../src/tune.js';
import { workFolder } from './support/folders.js';
import { smallMerge, twoClassifiers } from './support/small-merge.js';
import { tuneJobOf } from './support/stepping.js';
import { type Merge, zooMerge } from './support/zoo.js';

/** So many that no test sees the end. */
const ENDLESS = 100_000;

async function small(parameters: Record<string, unknown> = {}): Promise<Merge> {
  const given = twoClassifiers();
  const settings = { ...given.parameters, sampling: 'shuffle', learning_rate: 0.02, ...parameters };
  return smallMerge(join(await workFolder(), 'inputs'), { ...given, parameters: settings });
}

/** Tunes, and gives the last state that was told with the report. */
async function tune(merge: Merge, options: Partial<TuneOptions> = {}) {
  const states: TuningState[] = [];
  const tuned = await tuneMerge(merge.plan, {
    ...merge,
    workDir: await workFolder(),
    provider: 'cpu',
    threads: 1,
    onState: (state) => states.push(state),
    ...options,
  });
  return { ...tuned, states };
}

/** What must be equal to the last bit. */
function numbersOf({
  coefficients,
  report: { coefficients: raw, losses, loss, tuning },
}: Awaited<ReturnType<typeof tune>>) {
  return JSON.stringify({ coefficients, raw, losses, loss, insensitive: tuning.insensitive });
}

/** The processes that `parent` has started for jobs, and that have not ended. */
async function jobProcesses(parent = process.pid): Promise<number[]> {
  const running: number[] = [];
  for (const entry of await readdir('/proc')) {
    const read = (file: string) => readFile(`/proc/${entry}/${file}`, 'utf8').catch(() => '');
    if (!/^\d+$/.test(entry) || !(await read('cmdline')).includes('job-entry.js')) continue;
    const status = await read('status');
    if (Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) === parent && isAlive(status)) running.push(Number(entry));
  }
  return running;
}

/** Not one that has ended and that nobody has asked how. */
function isAlive(status: string): boolean {
  return status !== '' && !/^State:\s+Z/m.test(status);
}

async function until(condition: () => Promise<boolean>, milliseconds: number): Promise<boolean> {
  const deadline = performance.now() + milliseconds;
  while (performance.now() < deadline) {
    if (await condition()) return true;
    await setTimeout(20);
  }
  return condition();
}

describe('the same tuning again', () => {
  it('gives the same bytes, on a small merge and on the zoo', async () => {
    const merges = [
      await small({ steps: 20 }),
      await zooMerge('adamerging', { steps: 3 }, { names: ['digits', 'location'] }),
    ];
    for (const merge of merges) expect(numbersOf(await tune(merge))).toBe(numbersOf(await tune(merge)));
  });

  it('gives other numbers for another seed', async () => {
    const [one, other] = [await tune(await small()), await tune(await small({ seed: 1 }))];
    expect(numbersOf(one)).not.toBe(numbersOf(other));
  });
});

describe('a tuning that goes on from a state', () => {
  it('ends with the numbers of an undisturbed one, whichever step it was at', async () => {
    const whole = await tune(await small({ steps: 7 }));
    // Batches of 4 of 12 rows: steps 3 and 6 begin other orders.
    for (const steps of [1, 3, 4, 6]) {
      const { states } = await tune(await small({ steps }));
      const resume = JSON.parse(JSON.stringify(states.at(-1))) as TuningState;
      expect(resume.step).toBe(steps);
      const resumed = await tune(await small({ steps: 7 }), { resume });
      expect(numbersOf(resumed)).toBe(numbersOf(whole));
      expect(resumed.report.tuning.resumed_at).toEqual([steps]);
    }
    expect(whole.report.tuning.resumed_at).toEqual([]);
  });

  it('keeps the insensitive rows that its first step found', async () => {
    const names = ['digits', 'location'];
    const zoo = (steps: number) => zooMerge('adamerging', { steps }, { names });
    const { states } = await tune(await zoo(2));
    const [resumed, whole] = [await tune(await zoo(3), { resume: states.at(-1)! }), await tune(await zoo(3))];
    expect(numbersOf(resumed)).toBe(numbersOf(whole));
    // The softmax ignores the biases of keys; from batch to batch a few other rows may be as small.
    expect(whole.report.tuning.insensitive).toContain('encoder.blocks.0.k.bias');
  });

  it('has nothing left to do when all steps were done', async () => {
    const whole = await tune(await small());
    const steps: number[] = [];
    const again = await tune(await small(), { resume: whole.states.at(-1)!, onStep: (step) => steps.push(step) });
    expect(steps).toEqual([]);
    expect(numbersOf(again)).toBe(numbersOf(whole));
  });

  it('was killed after the state was told in the middle of its work, and twice', async () => {
    const interrupted = async (resume: TuningState | null): Promise<TuningState> => {
      const stop = new AbortController();
      const merge = await small({ steps: ENDLESS });
      let told: TuningState | undefined;
      const onState = (state: TuningState) => {
        told = state;
        stop.abort();
      };
      await expect(tune(merge, { resume, signal: stop.signal, onState })).rejects.toMatchObject({ code: 'canceled' });
      return told!;
    };
    const first = await interrupted(null);
    const second = await interrupted(first);
    expect(second.step).toBeGreaterThan(first.step);
    const steps = second.step + 5;
    const resumed = await tune(await small({ steps }), { resume: second });
    expect(numbersOf(resumed)).toBe(numbersOf(await tune(await small({ steps }))));
    expect(resumed.report.tuning.resumed_at).toEqual([first.step, second.step]);
  });
});

describe('what is told on the way', () => {
  it('is every step with the losses by task, and the state at the end', async () => {
    const steps: [number, number[]][] = [];
    const { report, states } = await tune(await small(), { onStep: (...told) => steps.push(told) });
    expect(steps.map(([step]) => step)).toEqual([1, 2, 3]);
    expect(steps.map(([, losses]) => losses)).toEqual(report.losses);
    expect(report.loss).toEqual(report.losses.map(([a, b]) => a! + b!));
    expect(states.at(-1)).toMatchObject({ step: 3, losses: report.losses, coefficients: report.coefficients.values });
  });

  it('has in the report what ran, on what, and how the graphs were bound', async () => {
    const { report } = await tune(await small());
    expect(report.coefficients).toMatchObject({ models: ['a', 'b'], clamp: [0, 1] });
    expect(report.tuning).toMatchObject({ provider: 'cpu', threads: 1, steps: 3, insensitive: [] });
    expect(report.tuning.seconds_per_step).toBeGreaterThan(0);
    expect(report.tuning.peak_rss_bytes).toBeGreaterThan(2 ** 20);
    expect(report.tuning.bindings.map(({ task, bound }) => [task, bound.length])).toEqual([
      ['a', 6],
      ['b', 6],
    ]);
  });
});

describe('a tuning that is canceled', () => {
  it.each(['before it begins', 'while it prepares', 'in the middle of its steps'])(
    '%s ends within a second, and leaves no process',
    async (when) => {
      const merge = await zooMerge('adamerging', { steps: ENDLESS }, { names: ['digits', 'location'] });
      const stop = new AbortController();
      let canceledAt = performance.now();
      const cancel = () => {
        canceledAt = performance.now();
        stop.abort();
      };
      if (when === 'before it begins') cancel();
      const running = tune(merge, { signal: stop.signal, onStep: (step) => step === 2 && cancel() });
      const rejected = expect(running).rejects.toMatchObject({ code: 'canceled' });
      if (when === 'while it prepares') {
        expect(await until(async () => (await jobProcesses()).length === 1, 20_000)).toBe(true);
        cancel();
      }
      await rejected;
      expect(performance.now() - canceledAt).toBeLessThan(1000);
      expect(await jobProcesses()).toEqual([]);
    },
  );

  it('as an evaluation is', async () => {
    const merge = await zooMerge('adamerging', {}, { names: ['digits', 'location'] });
    const stop = new AbortController();
    const resultPathOf = () => merge.pathOf(0);
    const options = { ...merge, resultPathOf, provider: 'cpu', threads: 1, signal: stop.signal } as const;
    const rejected = expect(evaluateMerge(merge.plan, options)).rejects.toMatchObject({ code: 'canceled' });
    expect(await until(async () => (await jobProcesses()).length === 1, 20_000)).toBe(true);
    stop.abort();
    await rejected;
    expect(await jobProcesses()).toEqual([]);
  });
});

describe('a process that ends before its job', () => {
  it('because it was killed: the attempt is lost, another one may fare better', async () => {
    const merge = await small({ steps: ENDLESS });
    const notes: [string, Record<string, unknown>][] = [];
    const running = tune(merge, {
      onStep: (step) => {
        if (step === 3) void jobProcesses().then(([pid]) => process.kill(pid!, 'SIGKILL'));
      },
      onNote: (...note) => notes.push(note),
    });
    await expect(running).rejects.toMatchObject({ code: 'unavailable', detail: expect.stringContaining('SIGKILL') });
    expect(notes).toContainEqual(['the forked process died', { how: 'ended with SIGKILL', stuck: false, output: '' }]);
  });

  it('because the one that started it was killed: it does not go on alone', async () => {
    const job = await tuneJobOf(await small({ steps: ENDLESS }), await workFolder());
    const parent = fork(fileURLToPath(new URL('support/parent.mjs', import.meta.url)), [], { execArgv: [] });
    onTestFinished(() => void parent.kill('SIGKILL'));
    const stepped = new Promise((resolve) => parent.once('message', resolve));
    parent.send(job);
    expect(await stepped).toBe(1);
    const [child] = await jobProcesses(parent.pid);
    parent.kill('SIGKILL');
    const gone = async () => !isAlive(await readFile(`/proc/${child}/status`, 'utf8').catch(() => ''));
    expect(await until(gone, 10_000)).toBe(true);
  });
});
