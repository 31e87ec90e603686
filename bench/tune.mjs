// npm run bench:tune — seconds and peak memory of a step of layer-wise AdaMerging, beside two baselines from the same run:
// the forward pass alone in onnxruntime, and the same step in PyTorch where $PYTHON has torch and safetensors.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { writeForward } from './tune-graphs.mjs';
import { makeVit } from './vit.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const MODELS = {
  a: {
    title: '(a) the example zoo: 0.19 million parameters, 17 tokens, 6 tasks, batch 16',
    steps: 20,
    make: async () => ({
      dir: here('../examples/zoo/vit6'),
      tasks: ['digits', 'shapes', 'segments', 'location', 'quadpair', 'blobs'],
      heads: 4,
    }),
  },
  b: {
    title: '(b) ViT-B/32-sized, random weights: 87.5 million parameters, 50 tokens, 8 tasks, batch 16',
    steps: 3,
    make: (dir) => makeVit(join(dir, 'vit-b32')),
  },
};
const PYTORCH = {
  kept: 'PyTorch, one backward pass (as published)',
  each: 'PyTorch, a backward pass per task',
  joined: 'PyTorch, encoder once for all tasks',
  forward: 'PyTorch, forward pass alone',
};
/** float32 against float32, in another order of adding. */
const TOLERANCE = 1e-4;

const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const threads = Number(process.env.BENCH_THREADS ?? availableParallelism());
const chosen = (process.env.BENCH_MODELS ?? 'a,b').split(',');
const python = process.env.PYTHON ?? 'python3';
const given = process.env.BENCH_DIR;
const dir = given ?? mkdtempSync(join(tmpdir(), 'amalgam-bench-'));

try {
  const torch = spawnSync(python, ['-c', 'import torch, safetensors; print(torch.__version__)'], { encoding: 'utf8' });
  const version = torch.status === 0 ? torch.stdout.trim() : null;
  const beside = version === null ? 'no PyTorch here' : `PyTorch ${version}`;
  console.log(
    `\n${cpus()[0].model}, ${availableParallelism()} cores, Node ${process.version}, ${beside}; ${threads} threads;`,
  );
  console.log(`${rounds} rounds of processes of their own, the first step of each not counted`);
  for (const key of chosen) await measure(MODELS[key], version !== null);
} finally {
  if (given === undefined) rmSync(dir, { recursive: true, force: true });
}

async function measure({ title, steps: usual, make }, hasTorch) {
  console.error(`making ${title} in ${dir} …`);
  const zoo = await make(dir);
  const graphs = join(dir, 'forward');
  rmSync(graphs, { recursive: true, force: true });
  mkdirSync(graphs, { recursive: true });
  await writeForward(zoo, graphs);

  const job = {
    ...zoo,
    graphs,
    dir: zoo.dir,
    work: join(dir, 'work'),
    steps: 1 + Number(process.env.BENCH_STEPS ?? usual),
    threads,
  };
  const sides = new Map([
    ['tune', { title: 'amalgam, a step', command: nodeOnce('tune', job), runs: [] }],
    ['forward', { title: 'onnxruntime, forward pass alone', command: nodeOnce('forward', job), runs: [] }],
    ...Object.entries(hasTorch ? PYTORCH : {}).map(([variant, name]) => [
      `torch-${variant}`,
      { title: name, command: pythonOnce(variant, job), runs: [] },
    ]),
  ]);
  // Rounds, so that a machine whose speed drifts drifts for all alike.
  for (let round = 0; round < rounds; round++) {
    for (const side of sides.values()) {
      console.error(`round ${round + 1} of ${rounds}: ${side.title} …`);
      side.runs.push(await run(side.command));
      rmSync(job.work, { recursive: true, force: true });
    }
  }
  rmSync(graphs, { recursive: true, force: true });
  checkLosses(sides);
  print(title, sides);
}

function nodeOnce(kind, job) {
  return [process.execPath, [here('tune-once.mjs'), JSON.stringify({ kind, ...job })]];
}

function pythonOnce(variant, { dir: folder, tasks, heads, steps, threads: count }) {
  const options = Object.entries({ heads, variant, steps, threads: count });
  const flags = options.flatMap(([name, value]) => [`--${name}`, `${value}`]);
  return [python, [here('tune_torch.py'), folder, tasks.join(','), ...flags]];
}

/** Reads the lines of one run: a step each, and a last one about the process. */
async function run([command, args]) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  const lines = [];
  for await (const line of createInterface({ input: child.stdout })) lines.push(JSON.parse(line));
  const code = await ended;
  if (code !== 0) throw new Error(`${args[0]} ended with exit status ${code}`);
  return { steps: lines.slice(0, -1), ...lines.at(-1) };
}

/** All sides compute the same thing, or the comparison means nothing. The forward pass learns nothing: only its first step. */
function checkLosses(sides) {
  const expected = sides.get('forward').runs[0].steps[0].loss;
  const second = sides.get('tune').runs[0].steps[1].loss;
  for (const [key, { title, runs }] of sides) {
    for (const { steps } of runs) {
      const pairs = [[steps[0].loss, expected], ...(key.endsWith('forward') ? [] : [[steps[1].loss, second]])];
      for (const [loss, other] of pairs) {
        if (Math.abs(loss - other) > TOLERANCE * Math.abs(other)) {
          throw new Error(`${title}: the loss is ${loss}, elsewhere ${other}`);
        }
      }
    }
  }
}

function print(title, sides) {
  const timed = new Map(
    [...sides].map(([key, { runs }]) => [key, runs.flatMap(({ steps }) => steps.slice(1).map((step) => step.seconds))]),
  );
  const published = ['torch-kept', 'torch-each'].filter((key) => timed.has(key)).map((key) => median(timed.get(key)));
  const baseline = published.length === 0 ? null : Math.min(...published);
  const forward = median(timed.get('forward'));
  const over = (value, by) => (by === null ? '' : `${(value / by).toFixed(2)} ×`);
  const rows = [...sides].map(([key, { title: name, runs }]) => {
    const seconds = timed.get(key);
    const middle = median(seconds);
    return [
      name,
      `${inMs(middle)} (${inMs(Math.min(...seconds))}–${inMs(Math.max(...seconds))})`,
      over(middle, baseline),
      over(middle, forward),
      median(runs.map(({ setup }) => setup)).toFixed(1),
      `${Math.round(Math.max(...runs.map(({ rss }) => rss)) / 1e6)}`,
    ];
  });
  const head = ['what', 'ms', 'of PyTorch', 'of the forward pass', 's before the first step', 'peak RSS MB'];
  const { vectorBytes } = sides.get('tune').runs[0];
  console.log(`\n${title}; file of base and task vectors ${(vectorBytes / 1e6).toFixed(0)} MB\n`);
  console.log(`| ${head.join(' | ')} |\n|${head.map(() => '---').join('|')}|`);
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

function inMs(seconds) {
  return (seconds * 1000).toFixed(seconds < 1 ? 1 : 0);
}
