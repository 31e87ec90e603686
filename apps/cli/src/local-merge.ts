import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TaskReport } from '@amalgam/contracts';
import { type ExecuteResult, executeMerge, type LearnedFrom, type MergePlan } from '@amalgam/engine';
import {
  chooseProvider,
  completeReport,
  digestLearned,
  evaluateMerge,
  type Provider,
  type TaskJob,
  type TunedMerge,
  tuneMerge,
} from '@amalgam/tuning';
import type { LocalDataset, LocalInput, LocalTask } from './local-input.js';
import type { MergeProgress } from './merge-progress.js';

export interface LocalMergeOptions {
  /** An existing folder that nobody reads yet, for the result's files. */
  outDir: string;
  /** A folder on a disk with room for the task vectors. It is made when it is needed, and removed. */
  workDir: string;
  /** What learns and evaluates, when the recipe has tasks. */
  device: 'auto' | Provider;
  /** Threads of a tuning and of evaluations on the CPU. Default: one per core. */
  threads: number | undefined;
  /** Whether the result is judged by the recipe's tasks. */
  evaluation: boolean;
  /** SHA-256 of inputs and outputs. */
  digests: boolean;
  signal: AbortSignal;
  progress: MergeProgress;
}

export interface LocalMerge {
  result: ExecuteResult;
  /** What coefficients were learned from; absent without a tuning, and without digests. */
  learned?: LearnedFrom[];
  /** Of an input's file; null without digests. */
  digestOf(input: number, file: string): string | null;
}

interface Stages {
  plan: MergePlan;
  tasks: TaskJob[];
  pathOf(input: number, file: string): string;
  options: LocalMergeOptions;
}

/**
 * A planned merge on this machine: learns the coefficients of methods that do so, merges, and evaluates the result on the
 * recipe's tasks. `inputs` as the plan has them.
 *
 * @throws AmalgamError what `tuneMerge`, `executeMerge` and `evaluateMerge` say; `device_unavailable`, `canceled`
 */
export async function mergeLocally(
  plan: MergePlan,
  inputs: { all: LocalInput[]; tasks: LocalTask[] },
  options: LocalMergeOptions,
): Promise<LocalMerge> {
  const stages: Stages = {
    plan,
    tasks: inputs.tasks.map((task) => toTaskJob(plan, task)),
    pathOf: (input, file) => inputs.all[input]!.pathOf(file),
    options,
  };
  const evaluates = options.evaluation && stages.tasks.length > 0;
  const provider = plan.tuning !== null || evaluates ? await findProvider(options) : null;

  const seconds: { tuning?: number; evaluating?: number } = {};
  let tuned: TunedMerge | null = null;
  if (provider !== null && plan.tuning !== null) {
    [tuned, seconds.tuning] = await timed(() => tune(stages, provider));
  }
  const merged = await merge(stages, tuned);
  let tasks: TaskReport[] | null = null;
  if (provider !== null && evaluates) {
    [tasks, seconds.evaluating] = await timed(() => evaluate(stages, provider));
  }
  if (tuned !== null && options.digests) merged.learned = await digestLearned(stages.tasks, options.signal);
  merged.result.report = completeReport(merged.result.report, { tuned, tasks, seconds });
  return merged;
}

async function findProvider({ device, threads, signal, progress }: LocalMergeOptions): Promise<Provider> {
  const chosen = await chooseProvider(device, { info: () => {} }, { threads, signal });
  progress.device(chosen);
  return chosen.provider;
}

async function tune({ plan, tasks, pathOf, options }: Stages, provider: Provider): Promise<TunedMerge> {
  const { workDir, threads, signal, progress } = options;
  const { steps } = plan.tuning!.settings;
  await mkdir(workDir);
  try {
    return await tuneMerge(plan, {
      tasks,
      pathOf,
      workDir,
      provider,
      threads,
      signal,
      onProgress: (done, total) => progress.bytes('tuning', done, total),
      onStep: (step, losses) => {
        const loss = losses.reduce((sum, value) => sum + value, 0);
        progress.step({ step, steps, loss, losses });
      },
      onNote: progress.note,
    });
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

async function merge({ plan, pathOf, options }: Stages, tuned: TunedMerge | null): Promise<LocalMerge> {
  const { outDir, digests, signal, progress } = options;
  const digestInputs = digests
    ? plan.inputs.flatMap(({ checkpoint }, input) => checkpoint.weightFiles.map((file) => ({ input, file })))
    : [];
  const result = await executeMerge(plan, {
    pathOf,
    outDir,
    digests,
    digestInputs,
    ...(tuned !== null && { coefficients: tuned.coefficients }),
    signal,
    onProgress: (done, total) => progress.bytes('merging', done, total),
  });
  const found = new Map(digestInputs.map(({ input, file }, i) => [`${input}/${file}`, result.inputDigests[i]!]));
  return { result, digestOf: (input, file) => found.get(`${input}/${file}`) ?? null };
}

function evaluate({ plan, tasks, pathOf, options }: Stages, provider: Provider): Promise<TaskReport[]> {
  const { outDir, threads, signal, progress } = options;
  return evaluateMerge(plan, {
    tasks,
    pathOf,
    resultPathOf: (file) => join(outDir, file),
    provider,
    threads,
    signal,
    onEvaluated: progress.evaluated,
    onNote: progress.note,
  });
}

function toTaskJob({ recipe }: MergePlan, { task, graph, data, evaluation }: LocalTask): TaskJob {
  const dataset = (found: LocalDataset | null) =>
    found === null ? null : { name: found.reference, path: found.path, description: found.description };
  return {
    name: task.name,
    model: recipe.models.findIndex(({ model }) => model === task.model),
    graph: { name: graph.reference, path: graph.path },
    data: dataset(data),
    evaluation: dataset(evaluation),
    logits: task.logits,
    mask: task.mask,
  };
}

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const started = performance.now();
  const value = await work();
  return [value, (performance.now() - started) / 1000];
}
