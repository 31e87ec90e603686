// npm run bench:merge — seconds and peak memory of the merging methods on three 0.7-billion-parameter checkpoints, beside
// two baselines from the same run: reading the three files and copying one of them, and mergekit where it is installed.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeLlamas } from './llama.mjs';

const RUNS = Number(process.env.BENCH_RUNS ?? 5);
const dir = process.env.BENCH_DIR ?? join(tmpdir(), 'amalgam-bench');
const out = join(dir, 'out');
const python = process.env.PYTHON ?? 'python3';
const once = fileURLToPath(new URL('merge-once.mjs', import.meta.url));

console.error(`making checkpoints in ${dir} …`);
const folders = makeLlamas(dir);
const bytes = statSync(join(folders[0], 'model.safetensors')).size;

const cases = [
  { title: 'read three, copy one', kind: 'copy' },
  ...[1, availableParallelism()].flatMap((threads) => [
    { title: `linear, ${threads} thread`, kind: 'merge', method: 'linear', threads },
    { title: `task_arithmetic, ${threads} thread`, kind: 'merge', method: 'task_arithmetic', threads },
    { title: `ties (model), ${threads} thread`, kind: 'merge', method: 'ties', threads },
    {
      title: `ties (tensor), ${threads} thread`,
      kind: 'merge',
      method: 'ties',
      parameters: { scope: 'tensor' },
      threads,
    },
  ]),
];
const mergekit = mergekitCases();
const results = cases.map((c) => ({ ...c, runs: [] }));
// Rounds, so that a machine whose speed drifts drifts for all alike. The first round warms the page cache and is not counted.
for (let round = 0; round <= RUNS; round++) {
  for (const result of results) {
    const { title, runs, ...job } = result;
    const line = execFileSync(process.execPath, [once, JSON.stringify({ ...job, folders, out })], { encoding: 'utf8' });
    if (round > 0) runs.push(JSON.parse(line));
  }
}
for (const { title, method } of mergekit) {
  const run = runMergekit(method);
  if (run !== null) results.push({ title, runs: [run] });
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const base = median(results[0].runs.map((run) => run.seconds));
console.log(
  `\n${cpus()[0].model}, ${availableParallelism()} cores, Node ${process.version}; three inputs and one output of ${(bytes / 1e9).toFixed(2)} GB, bfloat16;`,
);
console.log(`files read again in every round, ${RUNS} runs in rounds, medians (fastest–slowest)\n`);
const rows = results.map(({ title, runs }) => {
  const seconds = runs.map((run) => run.seconds);
  const m = median(seconds);
  return [
    title,
    `${m.toFixed(2)} (${Math.min(...seconds).toFixed(2)}–${Math.max(...seconds).toFixed(2)})`,
    `${(m / base).toFixed(2)} ×`,
    `${(bytes / 1e9 / m).toFixed(2)}`,
    `${Math.round(Math.max(...runs.map((run) => run.rss)) / 1e6)}`,
  ];
});
const head = ['what', 'seconds', 'of the copy', 'output GB/s', 'peak RSS MB'];
console.log(`| ${head.join(' | ')} |\n|${head.map(() => '---').join('|')}|`);
for (const row of rows) console.log(`| ${row.join(' | ')} |`);
if (mergekit.length === 0) console.log('\nmergekit is not installed here and is left out.');
rmSync(out, { recursive: true, force: true });

/** mergekit's own rows, when `python3 -c "import mergekit"` works. */
function mergekitCases() {
  const found = spawnSync(python, ['-c', 'import mergekit'], { stdio: 'ignore' }).status === 0;
  return found ? ['linear', 'task_arithmetic', 'ties'].map((method) => ({ title: `mergekit ${method}`, method })) : [];
}

function runMergekit(method) {
  const [baseModel, ...models] = folders;
  const needsBase = method !== 'linear';
  const config = {
    merge_method: method,
    ...(needsBase ? { base_model: baseModel } : {}),
    dtype: 'bfloat16',
    models: models.map((model) => ({ model, parameters: { weight: 1, density: 0.2 } })),
  };
  const file = join(dir, 'mergekit.json');
  mkdirSync(dir, { recursive: true });
  writeFileSync(file, JSON.stringify(config));
  rmSync(out, { recursive: true, force: true });
  const script = [
    'import json, resource, sys, time, yaml',
    'from mergekit.config import MergeConfiguration',
    'from mergekit.merge import MergeOptions, run_merge',
    // mergekit 0.1.4 leaves two of its classes undefined until torch is in their module.
    'import torch, mergekit.architecture.base as base',
    'base.torch = torch',
    'base.ConfiguredModuleArchitecture.model_rebuild(force=True)',
    'base.ConfiguredModelArchitecture.model_rebuild(force=True)',
    'start = time.perf_counter()',
    'config = MergeConfiguration.model_validate(yaml.safe_load(open(sys.argv[1])))',
    'run_merge(config, sys.argv[2], options=MergeOptions(write_model_card=False, copy_tokenizer=False))',
    'print(json.dumps({"seconds": time.perf_counter() - start, "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))',
  ].join('\n');
  const { status, stdout, stderr } = spawnSync(python, ['-c', script, file, out], { encoding: 'utf8' });
  if (status !== 0) {
    console.error(`mergekit ${method} failed: ${stderr.trim().split('\n').at(-1)}`);
    return null;
  }
  return JSON.parse(stdout.trim().split('\n').at(-1));
}
