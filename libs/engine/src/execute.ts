import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type AmalgamError, fromPlain, isNoSpace, type Report, toPlain } from '@amalgam/contracts';
import { createPool, type ThreadPool } from '@amalgam/kernels';
import { getMethod } from '@amalgam/methods';
import type { Job, Result, SpanStatistics, Task } from './job.js';
import { buildReport, type MergeStatistics, newStatistics, type TensorStatistics } from './report.js';
import { toTasks } from './spans.js';
import { type Cuts, findCuts } from './trim.js';
import type { MergePlan, WrittenFile } from './types.js';

/** Elements that a merging task covers: some tens of milliseconds. */
const TASK_ELEMENTS = 2 ** 21;
/** Tensors that a merging task covers: what it tells and reports of each must fit into a thread's heap. */
const TASK_SPANS = 2 ** 12;
const COPY_TASK_BYTES = 64 * 2 ** 20;
const PROGRESS_MS = 200;

export interface ExecuteOptions {
  /** Local path of an input's file. */
  pathOf(input: number, file: string): string;
  /** An existing folder that nobody reads yet; the result's files appear in it one after the other. */
  outDir: string;
  /** Compute the SHA-256 of each file; default true. */
  digests?: boolean;
  /** Input files to compute the SHA-256 of as well, while they are still in the system's cache. */
  digestInputs?: { input: number; file: string }[];
  /** Stops between chunks; the promise then rejects with `canceled`. */
  signal?: AbortSignal;
  onProgress?(bytesDone: number, bytesTotal: number): void;
  /** Called when a file of the result is complete; the next one is written meanwhile. */
  onFile?(file: WrittenFile, statistics: TensorStatistics[]): Promise<void>;
  /** Files that an earlier attempt has finished, with the statistics of their tensors. They are not written again. */
  finished?: Map<string, { file: WrittenFile; statistics: TensorStatistics[] }>;
}

export interface ExecuteResult {
  files: WrittenFile[];
  report: Report;
  /** In the order of `digestInputs`. */
  inputDigests: string[];
}

/**
 * Runs a planned merge: streams tensors chunk by chunk through a pool of threads, each with its own kernels. The bytes written
 * depend on the plan's recipe and inputs only, not on threads, chunks or timing.
 *
 * @throws AmalgamError `canceled`, `storage_full`, `checkpoint_changed` (an input is shorter than its header said)
 */
export async function executeMerge(plan: MergePlan, options: ExecuteOptions): Promise<ExecuteResult> {
  const started = performance.now();
  const statistics = newStatistics();
  const { job, inputIndex } = toJob(plan, options);
  const pool = createPool<Task, Result<unknown>>({
    filename: new URL('../dist/thread-entry.cjs', import.meta.url),
    threads: plan.threads,
    shared: job,
  });
  const stop = new Int32Array(job.stop);
  const cancel = () => Atomics.store(stop, 0, 1);
  options.signal?.addEventListener('abort', cancel);
  if (options.signal?.aborted) cancel();
  const progress = new BigUint64Array(job.progress);
  const total = plan.bytesRead + plan.bytesWritten;
  const report = () => options.onProgress?.(Math.min(Number(Atomics.load(progress, 0)), total), total);
  const timer = setInterval(report, PROGRESS_MS);

  const run = runner(pool, cancel);
  const lap = stopwatch(statistics);
  let handover = Promise.resolve();
  try {
    const cuts = await lap('trimming', () => findAllCuts(plan, job, run));
    statistics.thresholds = cuts?.thresholds ?? null;
    const files: WrittenFile[] = [];
    for (const [index, file] of plan.files.entries()) {
      const done = options.finished?.get(file.path);
      if (done !== undefined) {
        statistics.add(done.statistics);
        files.push(done.file);
        continue;
      }
      const path = join(options.outDir, file.path);
      const own = await lap('merging', () => writeFile(plan, index, path, job, inputIndex, cuts, run));
      statistics.add(own);
      const sha256 =
        options.digests === false ? null : await lap('digests', () => run<string>({ kind: 'digest', path }));
      const written = { path: file.path, bytes: file.bytes, sha256 };
      files.push(written);
      await handover;
      handover = options.onFile?.(written, own) ?? handover;
      // Waited for below; until then a failure is not "unhandled".
      handover.catch(() => {});
    }
    await handover;
    const inputDigests = await lap('digests', () =>
      Promise.all(
        (options.digestInputs ?? []).map(({ input, file }) =>
          run<string>({ kind: 'digest', path: options.pathOf(input, file) }),
        ),
      ),
    );
    report();
    statistics.seconds['total'] = (performance.now() - started) / 1000;
    return { files, report: buildReport(plan, statistics), inputDigests };
  } catch (error) {
    cancel();
    // Whoever cleans up after the failure must not meet a hand-over that still goes on.
    await handover.catch(() => {});
    throw isNoSpace(error) ? fromPlain(toPlain(error)) : error;
  } finally {
    clearInterval(timer);
    options.signal?.removeEventListener('abort', cancel);
    await pool.close();
  }
}

/**
 * Runs tasks in the pool. A failure comes back as the error it was in the thread; the tasks in flight then stop at their next
 * chunk instead of finishing for nobody, and report the same error.
 */
function runner(pool: ThreadPool<Task, Result<unknown>>, stopAll: () => void) {
  let failure: AmalgamError | undefined;
  return async <T>(task: Task): Promise<T> => {
    if (failure !== undefined) throw failure;
    // The pool itself fails when a thread dies, of too little memory say.
    const result = await pool.run(task).catch((error: unknown) => ({ ok: false as const, error: toPlain(error) }));
    if (result.ok) return result.value as T;
    failure ??= fromPlain(result.error);
    stopAll();
    throw failure;
  };
}

function stopwatch(statistics: MergeStatistics) {
  return async <T>(stage: string, work: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const value = await work();
    statistics.seconds[stage] = (statistics.seconds[stage] ?? 0) + (performance.now() - start) / 1000;
    return value;
  };
}

async function findAllCuts(plan: MergePlan, job: Job, run: <T>(task: Task) => Promise<T>): Promise<Cuts | null> {
  const trim = getMethod(job.method).trim?.(plan.settings);
  return trim === undefined ? null : findCuts(job, trim, run);
}

async function writeFile(
  plan: MergePlan,
  index: number,
  path: string,
  job: Job,
  inputIndex: (input: number, file: string) => number,
  cuts: Cuts | null,
  run: <T>(task: Task) => Promise<T>,
): Promise<TensorStatistics[]> {
  const file = plan.files[index]!;
  await mkdir(dirname(path), { recursive: true });
  const handle = await open(path, 'wx');
  try {
    await handle.writeFile(file.header);
    await handle.truncate(file.bytes);
  } finally {
    await handle.close();
  }

  const mine = plan.merged.flatMap((tensor, i) =>
    tensor.file === index ? [{ index: i, elements: tensor.elements }] : [],
  );
  const gathered = new Map<number, SpanStatistics[]>();
  const merging = toTasks(mine, plan.chunkElements, TASK_ELEMENTS, TASK_SPANS).map(async (spans) => {
    const spanCuts = cuts === null ? null : spans.map((span) => cuts.byTensor[span.tensor]!);
    const parts = await run<SpanStatistics[]>({ kind: 'merge', output: path, spans, cuts: spanCuts });
    return { spans, parts };
  });
  const copies = [...plan.copied, ...plan.heads].filter((tensor) => tensor.file === index && tensor.bytes > 0);
  const copying = toCopyTasks(copies, path, inputIndex).map((task) => run(task));

  const settled = await Promise.allSettled([...merging, ...copying]);
  const failed = settled.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  for (const outcome of await Promise.all(merging)) {
    outcome.spans.forEach((span, i) => {
      const list = gathered.get(span.tensor) ?? [];
      list.push(outcome.parts[i]!);
      gathered.set(span.tensor, list);
    });
  }
  return mine.map(({ index: tensor, elements }) => {
    const parts = gathered.get(tensor) ?? [];
    const models = job.tensors[tensor]!.models.length;
    return {
      name: job.tensors[tensor]!.name,
      elements,
      squares: Array.from({ length: models }, (_, m) =>
        parts.flatMap((part) => part.squares.map((chunk) => chunk[m]!)),
      ),
      kept: cuts === null ? null : Array.from({ length: models }, (_, m) => sum(parts.map((part) => part.kept[m]!))),
      conflicts: sum(parts.map((part) => part.conflicts)),
    };
  });
}

function toCopyTasks(
  copies: MergePlan['copied'],
  output: string,
  inputIndex: (input: number, file: string) => number,
): Task[] {
  const tasks: Extract<Task, { kind: 'copy' }>[] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const tensor of copies) {
    if (size + tensor.bytes > COPY_TASK_BYTES) {
      tasks.push({ kind: 'copy', output, pieces: [] });
      size = 0;
    }
    const input = inputIndex(tensor.from.input, tensor.from.file);
    tasks.at(-1)!.pieces.push({ input, from: tensor.from.begin, to: tensor.begin, bytes: tensor.bytes });
    size += tensor.bytes;
  }
  return tasks;
}

function toJob(plan: MergePlan, options: ExecuteOptions) {
  const inputs: string[] = [];
  const indices = new Map<string, number>();
  const inputIndex = (input: number, file: string): number => {
    const key = `${input}/${file}`;
    let index = indices.get(key);
    if (index === undefined) {
      index = inputs.push(options.pathOf(input, file)) - 1;
      indices.set(key, index);
    }
    return index;
  };
  const source = ({ input, file, begin, dtype }: MergePlan['copied'][number]['from']) => ({
    input: inputIndex(input, file),
    begin,
    dtype,
  });
  const tensors = plan.merged.map(({ name, elements, base, models, dtype, begin }) => ({
    name,
    elements,
    base: base === null ? null : source(base),
    models: models.map(source),
    dtype,
    begin,
  }));
  for (const { from } of [...plan.copied, ...plan.heads]) inputIndex(from.input, from.file);
  const job: Job = {
    inputs,
    tensors,
    method: plan.recipe.method,
    settings: plan.settings,
    chunkElements: plan.chunkElements,
    models: plan.settings.models.length,
    progress: new SharedArrayBuffer(8),
    stop: new SharedArrayBuffer(4),
  };
  return { job, inputIndex };
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, x) => total + x, 0);
}
