import { availableParallelism } from 'node:os';
import { OUT_DTYPES, type Report, type TaskReport } from '@amalgam/contracts';
import { type EffectiveCoefficients, type MergePlan, writeTaskVectors } from '@amalgam/engine';
import { clampTable } from './adam.js';
import { type JobOptions, runEvaluateJob, runTuneJob } from './fork-job.js';
import type { Job, TaskJob, TuneJob, TuningState } from './jobs.js';
import type { Evaluated, Tuned } from './messages.js';
import type { Provider } from './providers.js';
import { storedInputs, storedResult } from './stored-plan.js';

export interface TuneOptions extends JobOptions {
  tasks: TaskJob[];
  /** Local path of an input's file. */
  pathOf(input: number, file: string): string;
  /** An existing folder for the file that is mapped, and the step's graph. What it leaves there may be removed. */
  workDir: string;
  provider: Provider;
  /** Threads of the CPU. Default: every core. */
  threads?: number | undefined;
  /** What `onState` last told of an interrupted tuning. */
  resume?: TuningState | null;
  /** While the task vectors are written. */
  onProgress?(bytesDone: number, bytesTotal: number): void;
}

export interface TunedMerge {
  /** What the engine merges with. */
  coefficients: EffectiveCoefficients;
  /** What report.json says of it. */
  report: Required<Pick<Report, 'coefficients' | 'loss' | 'losses' | 'tuning'>>;
}

/**
 * Learns the coefficients of a planned merge: writes its task vectors to a file, and minimises the loss on the tasks' data in
 * a process of its own.
 *
 * @throws AmalgamError what `writeTaskVectors`, binding, differentiation and datasets say; `tuning_diverged`, `canceled`
 */
export async function tuneMerge(plan: MergePlan, options: TuneOptions): Promise<TunedMerge> {
  const { pathOf, signal } = options;
  const { settings } = plan.tuning!;
  const vectors = await writeTaskVectors(plan, {
    pathOf,
    path: `${options.workDir}/task-vectors.bin`,
    dtype: OUT_DTYPES[settings.taskVectorDtype] as TuneJob['vectors']['dtype'],
    ...(signal !== undefined && { signal }),
    ...(options.onProgress !== undefined && { onProgress: options.onProgress }),
  });
  const { base, models } = storedInputs(plan, pathOf);
  const job: TuneJob = {
    kind: 'tune',
    ...jobOf(plan, { ...options, threads: options.resume?.threads ?? options.threads }),
    base: base!,
    models,
    vectors,
    settings,
    resume: options.resume ?? null,
  };
  const tuned = await runTuneJob(job, options);
  return describeTuned(plan, job, tuned);
}

export interface EvaluateOptions extends JobOptions {
  tasks: TaskJob[];
  pathOf(input: number, file: string): string;
  /** Local path of a file of the result. */
  resultPathOf(file: string): string;
  provider: Provider;
  /** Threads of the CPU. Default: every core. */
  threads?: number | undefined;
}

/**
 * How well the merged model, each task's own model and the base do the tasks. The result's tensors are read from its files, so
 * rounding to the output dtype counts.
 */
export async function evaluateMerge(plan: MergePlan, options: EvaluateOptions): Promise<TaskReport[]> {
  const { base, models } = storedInputs(plan, options.pathOf);
  const result = storedResult(plan, options.resultPathOf);
  const job = { kind: 'evaluate' as const, ...jobOf(plan, options), base, models, result };
  const { tasks } = await runEvaluateJob(job, options);
  return tasks.map((task, i) => toReport(task, plan, options.tasks[i]!));
}

function jobOf(
  plan: MergePlan,
  { provider, threads = availableParallelism(), tasks }: Pick<TuneOptions, 'provider' | 'threads' | 'tasks'>,
): Pick<Job, 'provider' | 'threads' | 'tasks' | 'merged'> {
  return { provider, threads, tasks, merged: plan.merged.map(({ name, shape }) => ({ name, shape })) };
}

function toReport(task: Evaluated['tasks'][number], plan: MergePlan, { model }: TaskJob): TaskReport {
  const { name, rows, merged, individual, base } = task;
  const input = plan.inputs[model + (plan.hasBase ? 1 : 0)]!;
  return { name, model: input.name, rows, ...merged, individual, base };
}

function describeTuned(plan: MergePlan, job: TuneJob, { state, bindings, peakRssBytes }: Tuned): TunedMerge {
  const { settings, vectors } = job;
  const tensors = settings.granularity === 'task' ? ['*'] : vectors.tensors.map(({ name }) => name);
  const { clamp } = settings;
  const first = plan.hasBase ? 1 : 0;
  const read = new Set(bindings.flatMap(({ bound }) => bound.map(({ tensor }) => tensor)));
  const insensitive = settings.granularity === 'task' ? [] : state.insensitive.map((row) => tensors[row]!);
  return {
    coefficients: { tensors, values: clampTable(state.coefficients, clamp) },
    report: {
      coefficients: {
        tensors,
        models: plan.inputs.slice(first).map(({ name }) => name),
        values: state.coefficients,
        clamp,
      },
      loss: state.losses.map((losses) => losses.reduce((sum, loss) => sum + loss, 0)),
      losses: state.losses,
      tuning: {
        provider: job.provider,
        threads: job.threads,
        steps: state.step,
        resumed_at: state.resumedAt,
        seconds_per_step: median(state.seconds),
        peak_rss_bytes: peakRssBytes,
        task_vector_bytes: vectors.bytes,
        insensitive: insensitive.filter((tensor) => read.has(tensor)),
        bindings,
      },
    },
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
