import { basename, dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { AmalgamError, quote, quoteList, toPlain } from '@amalgam/contracts';
import { writeModel } from '@amalgam/onnx';
import { checkFinite, type DatasetReader, openDataset } from '@amalgam/tensors';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { adamStep, clampGradient, clampTable, type Table } from './adam.js';
import { Digests } from './bind-contents.js';
import { requireDifferentiable } from './differentiable.js';
import { gatherMask, gatherRows } from './feeds.js';
import { WeightCache } from './forward.js';
import type { TuneJob, TuningState } from './jobs.js';
import { MergedValues } from './merged-values.js';
import { COEFFICIENTS } from './merging-nodes.js';
import type { Message, Tuned } from './messages.js';
import { requireJudgeable } from './positions.js';
import { openMergedTensors, type PreparedTask, prepareTask } from './prepare.js';
import { Sampler } from './sampling.js';
import { checkLosses, ownLoss, verifyBinding } from './self-check.js';
import { asErrors, floatsOf, floatTensor, openSession, probe } from './session.js';
import { buildStepGraph, GRADIENT_OUTPUT, LOSSES_OUTPUT, type StepGraph } from './step-graph.js';

/** How often the state is told, for another process to go on from it. */
const STATE_EVERY_MS = 3_000;
/** And at most so that the time between two is this many times what telling one takes: with the steps, it grows. */
const STATE_RARELY = 50;
/** Bytes that activations of one encoder may take. */
const ACTIVATION_BYTES = 1.2e9;
/**
 * A row whose gradient at the first step is below this share of the largest is rounding noise, which Adam would turn into
 * steps: attention key biases are such, because the softmax ignores them. It stays as it is.
 */
const INSENSITIVE = 1e-6;

/** What one step gives. */
export interface StepResult {
  /** By task. */
  losses: number[];
  /** [rows, models]; rows that no graph reads are zero. */
  gradient: Table;
}

/**
 * Runs in the forked process: learns the coefficients. Everything that a step depends on is in the job and the state, so an
 * interrupted tuning that goes on from a state ends with the same numbers.
 *
 * Errors: those of binding, of datasets and of differentiation; `tuning_diverged` naming step and task.
 */
export async function runTuning(job: TuneJob, tell: (message: Message) => void): Promise<Tuned> {
  const { settings } = job;
  const tasks: PreparedTask[] = [];
  const known = new Digests();
  for (const [index, { data }] of job.tasks.entries()) {
    tasks.push(await prepareTask(job, index, data!, settings.batchSize, known));
  }
  const readers = await Promise.all(tasks.map(({ job: { data } }) => openDataset(data!.path, data!.description)));
  let stepper: Stepper | undefined;
  try {
    for (const [t, task] of tasks.entries()) {
      for (const { name } of task.inputs) await checkFinite(readers[t]!, name);
    }
    const bindings = tasks.map(describeBinding);
    const state = job.resume === null ? freshState(job) : { ...job.resume };
    if (job.resume !== null) state.resumedAt = [...state.resumedAt, state.step];
    const opened = await openStepper(job, tasks, readers, state, tell);
    stepper = opened.stepper;
    if (state.step < settings.steps) await learn(job, opened, state, tell);
    return { state, bindings, peakRssBytes: process.resourceUsage().maxRSS * 1024, encoders: stepper.encoders };
  } finally {
    for (const reader of readers) await reader.close();
    await stepper?.release();
  }
}

/** What would fail after hours of learning is found before; `logits` is the shape of a batch's. */
async function checkEvaluation(
  { job: { data, evaluation }, inputs, mask }: PreparedTask,
  logits: readonly number[],
): Promise<void> {
  const { path, description } = (evaluation ?? data)!;
  const reader = await openDataset(path, description);
  try {
    for (const { name } of inputs) await checkFinite(reader, name);
    await requireJudgeable(reader, mask, logits);
  } finally {
    await reader.close();
  }
}

async function learn(
  job: TuneJob,
  { stepper, first }: Opened,
  state: TuningState,
  tell: (message: Message) => void,
): Promise<void> {
  const { settings } = job;
  const names = job.tasks.map(({ name }) => name);
  let nextStateAt = performance.now() + STATE_EVERY_MS;
  let done: Opened['first'] | null = first;
  while (state.step < settings.steps) {
    const started = performance.now() - (done?.milliseconds ?? 0);
    const at = `step ${state.step + 1}`;
    // The graph ran with the rows of the first step: what it refuses now is in the rows, an index out of bounds say.
    const refused = `${at}: the runtime refuses the rows of one of the tasks ${quoteList(names)}`;
    const { losses, gradient } =
      done ??
      (await asErrors('invalid_dataset', refused, () =>
        stepper.step(clampTable(state.coefficients, settings.clamp), state.step),
      ));
    done = null;
    requireFinite(losses, gradient, at, names);
    if (state.step === 0) state.insensitive = insensitiveRows(gradient);
    for (const row of state.insensitive) gradient[row]!.fill(0);
    state.step++;
    state.losses.push(losses);
    const moments = { first: state.first, second: state.second };
    const own = clampGradient(gradient, state.coefficients, settings.clamp);
    adamStep(state.coefficients, own, moments, state.step, { learningRate: settings.learningRate });
    state.seconds.push((performance.now() - started) / 1000);
    tell({ kind: 'step', step: state.step, losses });
    if (state.step === settings.steps || performance.now() >= nextStateAt) {
      const began = performance.now();
      tell({ kind: 'state', state });
      const took = performance.now() - began;
      nextStateAt = began + Math.max(STATE_EVERY_MS, STATE_RARELY * took);
    }
    // A parent that is gone is noticed here.
    await setImmediate();
  }
}

function freshState({ settings, vectors, models, threads }: TuneJob): TuningState {
  const rows = settings.granularity === 'task' ? 1 : vectors.tensors.length;
  const table = (value: number): Table => Array.from({ length: rows }, () => models.map(() => value));
  return {
    step: 0,
    coefficients: table(settings.init),
    first: table(0),
    second: table(0),
    losses: [],
    insensitive: [],
    threads,
    seconds: [],
    resumedAt: [],
  };
}

function insensitiveRows(gradient: Table): number[] {
  const sizes = gradient.map((row) => Math.max(...row.map(Math.abs)));
  const largest = Math.max(...sizes);
  return sizes.flatMap((size, row) => (size <= INSENSITIVE * largest ? [row] : []));
}

function requireFinite(losses: readonly number[], gradient: Table, at: string, names: readonly string[]): void {
  const bad = losses.findIndex((loss) => !Number.isFinite(loss));
  if (bad >= 0) {
    throw new AmalgamError('tuning_diverged', `${at}, task ${quote(names[bad]!)}: the loss is ${losses[bad]}`);
  }
  if (gradient.every((row) => row.every(Number.isFinite))) return;
  const tasks = names.map((name) => quote(name)).join(', ');
  throw new AmalgamError('tuning_diverged', `${at}: the gradient is not finite, though the losses of ${tasks} are`);
}

/** The session of a step graph, with what it is fed. */
export class Stepper {
  readonly #session: InferenceSession;
  readonly #graph: StepGraph;
  readonly #readers: readonly DatasetReader[];
  readonly #samplers: readonly Sampler[];
  readonly #job: TuneJob;

  constructor(
    session: InferenceSession,
    graph: StepGraph,
    readers: readonly DatasetReader[],
    samplers: readonly Sampler[],
    job: TuneJob,
  ) {
    this.#session = session;
    this.#graph = graph;
    this.#readers = readers;
    this.#samplers = samplers;
    this.#job = job;
  }

  get encoders(): number {
    return this.#graph.shape.encoders;
  }

  /** `coefficients` are clamped; `step` counts from 0. */
  async step(coefficients: Table, step: number): Promise<StepResult> {
    const rows = coefficients.length;
    const models = this.#job.models.length;
    const feeds: Record<string, Tensor> = {
      [COEFFICIENTS]: floatTensor(Float32Array.from(coefficients.flat()), [rows, models]),
    };
    for (const input of this.#graph.inputs) feeds[input.name] = await this.#feed(input, step);
    const results = await this.#session.run(feeds, [LOSSES_OUTPUT, GRADIENT_OUTPUT]);
    const flat = floatsOf(results[GRADIENT_OUTPUT]!);
    const gradient: Table = coefficients.map((row) => row.map(() => 0));
    const read = this.#job.settings.granularity === 'task' ? [0] : this.#graph.rows;
    for (const [r, row] of read.entries()) {
      gradient[row] = Array.from(flat.subarray(r * models, (r + 1) * models));
    }
    return { losses: Array.from(floatsOf(results[LOSSES_OUTPUT]!)), gradient };
  }

  async #feed({ tensor, feeds, mask }: StepGraph['inputs'][number], step: number): Promise<Tensor> {
    const { batchSize } = this.#job.settings;
    const parts = feeds.map(({ task, from, to }) => ({
      reader: this.#readers[task]!,
      rows: this.#samplers[task]!.rows(step).slice(from * batchSize, to * batchSize),
    }));
    return mask ? gatherMask(parts, tensor) : gatherRows(parts, tensor);
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

/** A step graph that is loaded, and what it gave for the step that comes next. */
interface Opened {
  stepper: Stepper;
  first: StepResult & { milliseconds: number };
}

/**
 * Builds the step graph, loads it, and holds its first step against the tasks' own graphs. Graphs that cannot run with other
 * rows than one batch, or give other numbers then, run alone.
 */
async function openStepper(
  job: TuneJob,
  tasks: readonly PreparedTask[],
  readers: readonly DatasetReader[],
  state: TuningState,
  tell: (message: Message) => void,
): Promise<Opened> {
  const { settings } = job;
  const samplers = tasks.map(({ job: { name } }, t) => new Sampler(settings, name, readers[t]!.description.rows));
  const coefficients = clampTable(state.coefficients, settings.clamp);
  const expected = await ownLosses(job, tasks, readers, coefficients, (t) => samplers[t]!.rows(state.step));
  for (const task of tasks) await openMergedTensors(task, job);
  const { batchSize, batchesPerStep, granularity, loss } = settings;
  const portable = job.provider === 'webgpu';
  const open = async (share: boolean): Promise<Opened> => {
    const graph = await buildStepGraph(tasks, {
      vectors: job.vectors,
      location: basename(job.vectors.path),
      models: job.models.length,
      granularity,
      loss,
      batchSize,
      batchesPerStep,
      activationBytes: ACTIVATION_BYTES,
      portable,
      probe,
      share,
      wide: job.provider === 'cpu',
    });
    const path = join(dirname(job.vectors.path), 'step.onnx');
    await writeModel(graph.model, path);
    const stepper = new Stepper(await openSession(path, job), graph, readers, samplers, job);
    try {
      const started = performance.now();
      const result = await stepper.step(coefficients, state.step);
      checkLosses(result.losses, expected, job);
      return { stepper, first: { ...result, milliseconds: performance.now() - started } };
    } catch (error) {
      await stepper.release();
      throw error;
    }
  };
  try {
    return await open(true);
  } catch (error) {
    for (const task of tasks) await requireDifferentiable(task, { batchSize, portable, probe });
    const { detail } = toPlain(error);
    tell({ kind: 'note', text: 'the tasks’ graphs do not run together: each runs alone', fields: { detail } });
  }
  return open(false);
}

/** The losses of the next step as the tasks' own graphs have them, once it is clear that their weights are the checkpoints'. */
async function ownLosses(
  job: TuneJob,
  tasks: readonly PreparedTask[],
  readers: readonly DatasetReader[],
  coefficients: Table,
  rowsOf: (task: number) => number[],
): Promise<number[]> {
  // Mostly the base's, which all graphs have.
  const cache = new WeightCache();
  for (const [t, task] of tasks.entries()) {
    await verifyBinding(job, task, readers[t]!, rowsOf(t).slice(0, job.settings.batchSize), cache);
  }
  cache.clear();
  const merged = new MergedValues(job.vectors, coefficients);
  const losses: number[] = [];
  for (const [t, task] of tasks.entries()) {
    const { loss, logits } = await ownLoss(job, task, readers[t]!, rowsOf(t), { merged, cache });
    await checkEvaluation(task, logits);
    losses.push(loss);
  }
  return losses;
}

function describeBinding({ job, bindings, constants, unused }: PreparedTask): Tuned['bindings'][number] {
  const bound = bindings.map(({ initializer, tensor, by, transposed }) => ({ initializer, tensor, by, transposed }));
  return { task: job.name, bound, constants, unused };
}
