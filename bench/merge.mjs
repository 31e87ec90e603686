// npm run bench:merge -- [options] — seconds and peak memory of the merging methods on Llama-shaped checkpoints, beside baselines from
// the same run: reading the same files and copying one of them, and mergekit where PYTHON has it. See docs/benchmarks.md.
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { LLAMA, makeLlamas } from './llama.mjs';
import { mergeCases, mergekitConfig } from './merge-cases.mjs';

const { values: given } = parseArgs({
  options: {
    methods: { type: 'string' }, // of the registry, with commas; default: all that learn nothing
    models: { type: 'string', default: '2' }, // numbers of models, as in 2,4,8
    dtypes: { type: 'string', default: 'bf16' }, // bf16, f32
    cache: { type: 'string', default: 'warm' }, // warm, cold
    threads: { type: 'string', default: [...new Set([1, availableParallelism()])].join(',') },
    layers: { type: 'string', default: String(LLAMA.layers) }, // 16: 0.7 billion parameters
    hidden: { type: 'string', default: String(LLAMA.hidden) }, // the MLP is four times as wide
    runs: { type: 'string', default: process.env.BENCH_RUNS ?? '5' },
    mergekit: { type: 'string', default: 'all' }, // methods to run by mergekit as well, all or none; two models, warm, one run
    json: { type: 'string' }, // a file for the numbers of every run
  },
});
const list = (text) => text.split(',').filter((item) => item !== '');
const RUNS = Number(given.runs);
const threadCounts = list(given.threads).map(Number);
const counts = list(given.models).map(Number);
const hidden = Number(given.hidden);
const shape = { ...LLAMA, layers: Number(given.layers), hidden, mlp: 4 * hidden };
const dir = process.env.BENCH_DIR ?? join(tmpdir(), 'amalgam-bench');
const out = join(dir, 'out');
const python = process.env.PYTHON ?? 'python3';
const once = fileURLToPath(new URL('merge-once.mjs', import.meta.url));
const DTYPES = { bf16: ['BF16', 'bfloat16'], f32: ['F32', 'float32'] };

const methods = given.methods === undefined ? null : list(given.methods);
const cases = mergeCases(methods, counts);
const most = Math.max(...cases.map(({ count }) => count));
const names = ['base', ...Array.from({ length: most }, (_, i) => `m${i + 1}`)];
const collected = [];

console.log(`${cpus()[0].model}, ${availableParallelism()} cores, Node ${process.version}`);
for (const dtype of list(given.dtypes)) {
  const folder = join(dir, `${dtype}-${hidden}-${shape.layers}`);
  console.error(`making checkpoints in ${folder} …`);
  const folders = makeLlamas(folder, names, { shape, dtype: DTYPES[dtype][0] });
  const bytes = statSync(join(folders[0], 'model.safetensors')).size;
  for (const cache of list(given.cache)) {
    if (cache === 'cold' && !dropPages(folders)) {
      console.log('\ncold: left out, dd of GNU coreutils is not here to drop pages from the cache.');
      continue;
    }
    const results = measure(dtype, cache, folders);
    if (cache === 'warm') results.push(...runMergekits(dtype, folders, results));
    print(dtype, cache, bytes, results);
    collected.push({ dtype, cache, bytes, results });
  }
}
rmSync(out, { recursive: true, force: true });
if (given.json !== undefined) writeFileSync(given.json, `${JSON.stringify({ shape, collected }, null, 2)}\n`);

/** The rows of one table. Rounds, so that a machine whose speed drifts drifts for all alike; the first is not counted. */
function measure(dtype, cache, folders) {
  const copies = new Map();
  const rows = [];
  for (const { method, parameters, count, hasBase } of cases) {
    const own = hasBase ? folders.slice(0, count + 1) : folders.slice(1, count + 1);
    const files = own.length;
    if (!copies.has(files)) {
      copies.set(files, { title: `read ${files}, copy one`, kind: 'copy', folders: own, runs: [] });
      rows.push(copies.get(files));
    }
    for (const threads of threadCounts) {
      const shown = Object.values(parameters).join(', ');
      const title = `${method}${shown && ` (${shown})`}`;
      const job = { kind: 'merge', method, parameters, hasBase, threads, folders: own };
      rows.push({ title, count, ...job, baseline: copies.get(files), runs: [] });
    }
  }
  const warmUp = cache === 'warm' ? 1 : 0;
  for (let round = 0; round < RUNS + warmUp; round++) {
    for (const { runs, kind, method, parameters, hasBase, threads, folders: own, title } of rows) {
      if (cache === 'cold') dropPages(own);
      rmSync(out, { recursive: true, force: true });
      takeMemory(statSync(join(own[0], 'model.safetensors')).size);
      console.error(`${dtype} ${cache} round ${round}: ${title}`);
      const job = { kind, folders: own, out, hasBase, method, parameters, threads };
      const started = performance.now();
      const line = execFileSync(process.execPath, [once, JSON.stringify(job)], { encoding: 'utf8' });
      if (round >= warmUp) runs.push({ ...JSON.parse(line), process: secondsSince(started) });
    }
  }
  return rows.map(({ folders: _, ...row }) => row);
}

/** Asks the system to forget the files' pages; false where that cannot be asked. */
function dropPages(folders) {
  return folders.every((folder) => {
    const file = join(folder, 'model.safetensors');
    // Pages that are not on disk yet cannot be dropped.
    spawnSync('sync', [file], { stdio: 'ignore' });
    return spawnSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' }).status === 0;
  });
}

/**
 * Writes and removes as many bytes as a run will write. A virtual machine whose host takes free memory back gets it page by page, which
 * takes a copy four times as long as one that follows another; so every run finds the memory at hand.
 */
function takeMemory(bytes) {
  const file = join(dir, 'memory');
  const zeros = Buffer.alloc(8 << 20);
  const to = openSync(file, 'w');
  for (let left = bytes; left > 0; left -= zeros.length) writeSync(to, zeros);
  closeSync(to);
  rmSync(file);
}

function secondsSince(started) {
  return (performance.now() - started) / 1000;
}

function print(dtype, cache, bytes, results) {
  const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
  const secondsOf = ({ runs }) => runs.map((run) => run.seconds);
  console.log(
    `\n${dtype}, ${cache} cache; each model ${(bytes / 1e9).toFixed(2)} GB; medians of ${RUNS} (fastest–slowest)\n`,
  );
  const head = [
    'what',
    'models',
    'threads',
    'seconds',
    'of the copy',
    'output GB/s',
    'process s',
    'CPU s',
    'peak RSS MB',
  ];
  console.log(`| ${head.join(' | ')} |\n|${head.map(() => '---').join('|')}|`);
  for (const { title, count = '', threads = '', baseline, runs } of results) {
    const seconds = secondsOf({ runs });
    const m = median(seconds);
    const cells = [
      title,
      count,
      threads,
      `${m.toFixed(2)} (${Math.min(...seconds).toFixed(2)}–${Math.max(...seconds).toFixed(2)})`,
      baseline === undefined ? '1' : `${(m / median(secondsOf(baseline))).toFixed(2)} ×`,
      (bytes / 1e9 / m).toFixed(2),
      median(runs.map((run) => run.process)).toFixed(1),
      median(runs.map((run) => run.cpu)).toFixed(1),
      Math.round(Math.max(...runs.map((run) => run.rss)) / 1e6),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
}

/** mergekit's own rows, over the same files. */
function runMergekits(dtype, folders, results) {
  const wanted = given.mergekit === 'none' ? [] : given.mergekit === 'all' ? null : list(given.mergekit);
  if (wanted?.length === 0) return [];
  if (spawnSync(python, ['-c', 'import mergekit'], { stdio: 'ignore' }).status !== 0) {
    console.log(`\nmergekit is not installed for ${python} and is left out.`);
    return [];
  }
  const unique = [...new Map(cases.map((item) => [item.method, item])).values()];
  return unique.flatMap(({ method, count, hasBase }) => {
    if (wanted !== null && !wanted.includes(method)) return [];
    const own = hasBase ? folders.slice(0, count + 1) : folders.slice(1, count + 1);
    const config = mergekitConfig(method, own, hasBase, DTYPES[dtype][1]);
    if (config === null) return [];
    console.error(`mergekit ${method}`);
    const run = runMergekit(method, config, statSync(join(own[0], 'model.safetensors')).size);
    const { baseline } = results.find((row) => row.method === method);
    return run === null ? [] : [{ title: `mergekit ${method}`, count, method, baseline, runs: [run] }];
  });
}

function runMergekit(method, config, bytes) {
  const file = join(dir, 'mergekit.json');
  mkdirSync(dir, { recursive: true });
  writeFileSync(file, JSON.stringify(config));
  rmSync(out, { recursive: true, force: true });
  takeMemory(bytes);
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
    'usage = resource.getrusage(resource.RUSAGE_SELF)',
    'print(json.dumps({"seconds": time.perf_counter() - start, "rss": usage.ru_maxrss * 1024, "cpu": usage.ru_utime + usage.ru_stime}))',
  ].join('\n');
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(python, ['-c', script, file, out], { encoding: 'utf8' });
  if (status !== 0) {
    console.error(`mergekit ${method} failed: ${stderr.trim().split('\n').at(-1)}`);
    return null;
  }
  return { ...JSON.parse(stdout.trim().split('\n').at(-1)), process: secondsSince(started) };
}
