import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Recipe, Report } from '@amalgam/contracts';
import { writeSafetensors } from '@amalgam/tensors';
import { afterAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const EXAMPLES = fileURLToPath(new URL('../../../examples/', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'amalgam-cli-tasks-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface ZooReference {
  tasks: string[];
  accuracy: { individual: number[] };
  reference: Record<string, { loss: number[] }>;
}
const zoo = JSON.parse(readFileSync(join(EXAMPLES, 'zoo/vit6/reference.json'), 'utf8')) as ZooReference;

function amalgam(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((done) => {
    execFile(process.execPath, [MAIN, ...args], { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      done({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

/** A file of the zoo as recipe.json has it. */
function digestOf(path: string): { path: string; bytes: number; sha256: string } {
  const bytes = readFileSync(join(EXAMPLES, 'zoo/vit6', path));
  return { path, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

type Change = (recipe: Recipe) => void;

/** One of examples/recipes, changed, in an empty folder of its own. */
function example(name: string, change: Change): { file: string; folder: string; out: string } {
  const path = join(EXAMPLES, 'recipes', name);
  const recipe = parse(readFileSync(path, 'utf8')) as Recipe;
  const absolute = (reference: string) => resolve(dirname(path), reference);
  recipe.base = absolute(recipe.base!);
  for (const model of recipe.models) model.model = absolute(model.model);
  for (const task of recipe.tasks ?? []) {
    Object.assign(task, { model: absolute(task.model), graph: absolute(task.graph) });
    Object.assign(task, { data: absolute(task.data!), evaluation: absolute(task.evaluation!) });
  }
  change(recipe);
  const folder = mkdtempSync(join(dir, 'recipe-'));
  writeFileSync(join(folder, 'recipe.json'), JSON.stringify(recipe));
  return { file: join(folder, 'recipe.json'), folder, out: join(folder, 'out') };
}

const steps = (count: number): Change => {
  return ({ parameters }) => Object.assign(parameters!, { steps: count });
};

/** The first models only, each with its task. */
const few = (count: number): Change => {
  return (recipe) => {
    recipe.models = recipe.models.slice(0, count);
    recipe.tasks = recipe.tasks!.slice(0, count);
  };
};

/** TIES on the models and tasks of the examples. */
const ties: Change = (recipe) => Object.assign(recipe, { method: 'ties', parameters: { lambda: 0.3, combine: 'sum' } });

const both =
  (...changes: Change[]): Change =>
  (recipe) => {
    for (const change of changes) change(recipe);
  };

interface Line {
  event: string;
  stage?: string;
  tuning?: { step: number; steps: number; loss: number; losses: number[] };
  bytes_done?: number;
  bytes_total?: number;
  done?: number;
  total?: number;
  report?: Report;
}
const lines = (stdout: string) =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

describe('amalgam merge with tasks', () => {
  test('adamerging tunes, merges and evaluates; progress and report tell all of it', { timeout: 180_000 }, async () => {
    const { file, folder, out } = example('adamerging.yaml', steps(3));
    const ran = await amalgam('merge', file, '--out', out, '--device', 'cpu', '--json');
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    expect(readdirSync(folder).sort()).toEqual(['out', 'recipe.json']);

    const told = lines(ran.stdout);
    const stages = told.flatMap(({ event, stage }) => (event === 'progress' ? [stage] : []));
    expect(stages.filter((stage, i) => stage !== stages[i - 1])).toEqual(['tuning', 'merging', 'evaluating']);
    expect(told.flatMap(({ tuning }) => tuning?.step ?? [])).toEqual([1, 2, 3]);
    expect(told.find(({ event }) => event === 'device')).toMatchObject({ provider: 'cpu', device: 'cpu' });
    expect(told.findLast(({ stage }) => stage === 'evaluating')).toMatchObject({ done: 18, total: 18 });

    const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')) as Report;
    expect(told.at(-1)).toMatchObject({ event: 'done', report });
    expect(report.coefficients!.models).toEqual(zoo.tasks);
    expect([report.coefficients!.tensors.length, report.losses!.length]).toEqual([86, 3]);
    for (const [step, loss] of zoo.reference['adamerging_layer']!.loss.slice(0, 3).entries()) {
      expect(Math.abs(report.loss![step]! - loss) / loss).toBeLessThan(1e-4);
    }
    expect(report.tuning).toMatchObject({ provider: 'cpu', steps: 3, resumed_at: [] });
    expect(report.tasks!.map(({ name }) => name)).toEqual(zoo.tasks);
    for (const [i, { individual, base, accuracy, entropy }] of report.tasks!.entries()) {
      expect(Math.abs(individual.accuracy! - zoo.accuracy.individual[i]!)).toBeLessThan(0.005);
      expect(base!.accuracy).toBeLessThan(individual.accuracy!);
      expect([typeof accuracy, typeof entropy]).toEqual(['number', 'number']);
    }
    const { tuning, merging, evaluating, total } = report.seconds;
    expect(total).toBeGreaterThanOrEqual(tuning! + merging! + evaluating!);
    const { tasks } = JSON.parse(readFileSync(join(out, 'recipe.json'), 'utf8')) as { tasks: unknown[] };
    expect(tasks[0]).toEqual({
      task: 'digits',
      graph: [digestOf('digits.onnx')],
      data: [digestOf('digits.unlabeled.safetensors')],
    });
    expect(tasks).toHaveLength(zoo.tasks.length);
    expect(readFileSync(join(out, 'README.md'), 'utf8')).toMatch(/## Coefficients.*Learned in 3 steps.*## Tasks/s);
  });

  test('AdaMerging++ begins at the loss of the reference; without evaluation there are no scores', async () => {
    const { file, out } = example('adamerging-pp.yaml', steps(2));
    const ran = await amalgam('merge', file, '--out', out, '--device', 'cpu', '--no-evaluation', '--json');
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    const { report } = lines(ran.stdout).at(-1)!;
    for (const [step, loss] of zoo.reference['adamerging_pp_layer']!.loss.slice(0, 2).entries()) {
      expect(Math.abs(report!.loss![step]! - loss) / loss).toBeLessThan(1e-4);
    }
    expect(report!.inputs[1]!.trimmed).toBeCloseTo(0.8, 3);
    expect(report).not.toHaveProperty('tasks');
    expect(report!.seconds).not.toHaveProperty('evaluating');
  });

  test('other methods are evaluated, and people get tables', async () => {
    const { file, out } = example('adamerging.yaml', both(few(2), ties));
    const ran = await amalgam('merge', file, '--out', out, '--device', 'cpu');
    expect(ran.code).toBe(0);
    expect(ran.stderr).toContain('device      cpu');
    const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')) as Report;
    for (const field of ['coefficients', 'loss', 'losses', 'tuning']) expect(report).not.toHaveProperty(field);
    const [accuracy, entropy] = ran.stdout
      .split('\n\n')
      .slice(1, 3)
      .map((table) => table.split('\n'));
    expect(accuracy![0]).toMatch(/^accuracy +individual +base +merged$/);
    expect(entropy![0]).toMatch(/^entropy +individual +base +merged$/);
    for (const [i, { name, individual, base, ...merged }] of report.tasks!.entries()) {
      const shown = (pick: (score: { accuracy: number | null; entropy: number | null }) => string) =>
        [name, ...[individual, base!, merged].map(pick)].join(' ');
      const plain = (line: string) => line.replaceAll(/ +/g, ' ');
      expect(plain(accuracy![2 + i]!)).toBe(shown((score) => `${(100 * score.accuracy!).toFixed(1)} %`));
      expect(plain(entropy![2 + i]!)).toBe(shown((score) => score.entropy!.toFixed(4)));
    }
    expect(accuracy!.at(-1)).toMatch(/^mean /);
    // Merged from one's own task vector and another's: worse than alone, better than chance.
    expect(report.tasks![0]!.accuracy).toBeGreaterThan(0.3);
  });

  test('without evaluation nothing is run on other methods’ tasks', async () => {
    const { file, out } = example('adamerging.yaml', both(few(2), ties));
    const ran = await amalgam('merge', file, '--out', out, '--no-evaluation', '--json');
    expect(ran.code).toBe(0);
    const told = lines(ran.stdout);
    expect(told.filter(({ event, stage }) => event === 'device' || stage === 'evaluating')).toEqual([]);
    expect(told.at(-1)!.report).not.toHaveProperty('tasks');
  });

  test('plan shows what is learned, and from what', async () => {
    const { file } = example('adamerging.yaml', few(2));
    const shown = await amalgam('plan', file);
    expect(shown.stdout).toMatch(
      /^tuning +400 steps, 172 coefficients, task vectors in a temporary file of [\d.]+ MB$/m,
    );
    expect(shown.stdout).toMatch(/^task +digits: .*digits\.onnx, learns from .*unlabeled.*, evaluated on .*labeled/m);
    const plan = JSON.parse((await amalgam('plan', file, '--json')).stdout) as Record<string, unknown>;
    expect(plan['tuning']).toMatchObject({ steps: 400, coefficients: 172 });
  });
});

describe('what is wrong with tasks', () => {
  const merge = ({ file, out }: ReturnType<typeof example>, ...more: string[]) =>
    amalgam('merge', file, '--out', out, '--device', 'cpu', ...more);

  test('a task whose model is not among the models', async () => {
    const made = example('adamerging.yaml', (recipe) => {
      recipe.models = recipe.models.slice(0, 2);
      recipe.tasks = recipe.tasks!.slice(1, 3);
    });
    for (const ran of [await amalgam('plan', made.file), await merge(made)]) {
      expect(ran.stderr).toMatch(/\/tasks\/1\/model: .*segments\.safetensors" is none of the recipe’s models/);
      expect([ran.code, ran.stdout]).toEqual([2, '']);
    }
  });

  test('a dataset that does not fit the graph is found from its header, before anything runs', async () => {
    const made = example('adamerging.yaml', few(2));
    const recipe = JSON.parse(readFileSync(made.file, 'utf8')) as Recipe;
    recipe.tasks![1]!.data = 'small.safetensors';
    writeFileSync(made.file, JSON.stringify(recipe));
    const data = new Uint8Array(20 * 8 * 8 * 4);
    await writeSafetensors(join(made.folder, 'small.safetensors'), [
      { name: 'pixel_values', dtype: 'F32', shape: [20, 1, 8, 8], data },
    ]);
    for (const ran of [await amalgam('plan', made.file), await merge(made)]) {
      expect(ran.stderr).toMatch(/"shapes".*"small\.safetensors".*pixel_values/);
      expect([ran.code, ran.stdout]).toEqual([2, '']);
    }
    expect(readdirSync(made.folder).sort()).toEqual(['recipe.json', 'small.safetensors']);
  });

  test('NaN in a dataset is named with its place, and nothing is left', async () => {
    const made = example('adamerging.yaml', few(2));
    const recipe = JSON.parse(readFileSync(made.file, 'utf8')) as Recipe;
    recipe.tasks![0]!.data = 'nan.safetensors';
    writeFileSync(made.file, JSON.stringify(recipe));
    const values = new Float32Array(32 * 32 * 32).fill(0.5);
    values[5 * 1024] = Number.NaN;
    const data = new Uint8Array(values.buffer);
    await writeSafetensors(join(made.folder, 'nan.safetensors'), [
      { name: 'pixel_values', dtype: 'F32', shape: [32, 1, 32, 32], data },
    ]);
    const ran = await merge(made, '--json');
    expect(ran.code).toBe(2);
    const { code, detail } = JSON.parse(ran.stderr) as { code: string; detail: string };
    expect([code, detail]).toEqual([
      'invalid_dataset',
      expect.stringMatching(/^nan\.safetensors: .*pixel_values.* NaN in row 5/),
    ]);
    expect(readdirSync(made.folder).sort()).toEqual(['nan.safetensors', 'recipe.json']);
  });

  test('a device that is unknown, and a result in the place of a task’s files', async () => {
    const made = example('adamerging.yaml', few(2));
    const unknown = await amalgam('merge', made.file, '--out', made.out, '--device', 'tpu');
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('auto, cuda, webgpu, cpu')]);
    const over = await amalgam('merge', made.file, '--out', join(EXAMPLES, 'zoo/vit6'), '--force');
    expect([over.code, over.stderr]).toEqual([2, expect.stringContaining('which the merge reads')]);
  });
});

describe('an interrupt', () => {
  // Ctrl-C reaches every process of the terminal's group; SIGTERM comes to the one process that somebody has started.
  test.each([
    ['Ctrl-C while it tunes', 'tuning', (pid: number): boolean => process.kill(-pid, 'SIGINT')],
    ['SIGTERM while it evaluates', 'evaluating', (pid: number): boolean => process.kill(pid, 'SIGTERM')],
  ] as const)('%s ends it at once; no file and no process is left', async (_, stage, interrupt) => {
    const tunes = stage === 'tuning';
    const { file, folder, out } = example('adamerging.yaml', tunes ? steps(100_000) : steps(1));
    const args = [MAIN, 'merge', file, '--out', out, '--device', 'cpu', '--json'];
    const child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const exit = once(child, 'exit');
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    for await (const line of createInterface({ input: child.stdout })) {
      const { stage: at, tuning } = JSON.parse(line) as Line;
      if (at === stage && (!tunes || tuning !== undefined)) break;
    }
    const pid = child.pid!;
    const interrupted = performance.now();
    interrupt(pid);
    expect((await exit)[0]).toBe(1);
    // A second is what is promised, on a machine that is not busy with other suites.
    expect(performance.now() - interrupted).toBeLessThan(2000);
    expect(JSON.parse(stderr)).toMatchObject({ code: 'canceled' });
    expect(readdirSync(folder)).toEqual(['recipe.json']);
    await sleep(100);
    expect(() => process.kill(-pid, 0)).toThrow('ESRCH');
  });
});
