import { basename, dirname, join } from 'node:path';
import { writeTaskVectors } from '@amalgam/engine';
import { writeModel } from '@amalgam/onnx';
import { type DatasetReader, openDataset } from '@amalgam/tensors';
import type { Tensor } from 'onnxruntime-node';
import { onTestFinished } from 'vitest';
import type { Table } from '../../src/adam.js';
import { gatherRows } from '../../src/feeds.js';
import type { TaskJob, TuneJob, VectorFile } from '../../src/jobs.js';
import { COEFFICIENTS } from '../../src/merging-nodes.js';
import { openMergedTensors, prepareTask } from '../../src/prepare.js';
import { Stepper, type StepResult } from '../../src/run-tuning.js';
import { Sampler } from '../../src/sampling.js';
import { floatsOf, floatTensor, openSession, probe } from '../../src/session.js';
import { buildStepGraph, type StepGraph, type StepOptions } from '../../src/step-graph.js';
import { storedInputs } from '../../src/stored-plan.js';
import type { Merge } from './zoo.js';

export interface Step {
  graph: StepGraph;
  vectors: VectorFile;
  tensors: string[];
  run(coefficients: Table, step?: number): Promise<StepResult>;
  /** By task: the logits of the first batch, [rows × classes]. */
  logits(coefficients: Table): Promise<Float32Array[]>;
  /** Coefficients that are all the same. */
  table(value: number): Table;
}

/** What the process that tunes a merge is told; its task vectors are written to `workDir`. */
export async function tuneJobOf({ plan, tasks, pathOf }: Merge, workDir: string): Promise<TuneJob> {
  const { settings } = plan.tuning!;
  const dtype = ({ float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const)[settings.taskVectorDtype];
  const vectors = await writeTaskVectors(plan, { pathOf, path: join(workDir, 'task-vectors.bin'), dtype });
  const { base, models } = storedInputs(plan, pathOf);
  const merged = plan.merged.map(({ name, shape }) => ({ name, shape }));
  const place = { provider: 'cpu', threads: 1 } as const;
  return { kind: 'tune', ...place, base: base!, models, merged, tasks, vectors, settings, resume: null };
}

/** A merge's step graph in this process, for coefficients of one's choice. */
export async function openStep(merge: Merge, workDir: string, options: Partial<StepOptions> = {}): Promise<Step> {
  const job = await tuneJobOf(merge, workDir);
  const { tasks, vectors, models, settings } = job;
  const prepared = await Promise.all(tasks.map(({ data }, i) => prepareTask(job, i, data!, settings.batchSize)));
  const readers = await Promise.all(tasks.map(({ data }) => openDataset(data!.path, data!.description)));
  onTestFinished(async () => {
    for (const reader of readers) await reader.close();
  });
  for (const task of prepared) await openMergedTensors(task, job);
  const graph = await buildStepGraph(prepared, {
    vectors,
    location: basename(vectors.path),
    models: models.length,
    granularity: settings.granularity,
    loss: settings.loss,
    batchSize: settings.batchSize,
    batchesPerStep: settings.batchesPerStep,
    activationBytes: 1e9,
    portable: false,
    probe,
    share: true,
    wide: true,
    ...options,
  });
  const path = join(dirname(vectors.path), 'step.onnx');
  await writeModel(graph.model, path);
  const samplers = tasks.map(({ name }, t) => new Sampler(settings, name, readers[t]!.description.rows));
  const stepper = new Stepper(await openSession(path, job), graph, readers, samplers, job);
  onTestFinished(() => stepper.release());
  const tensors = settings.granularity === 'task' ? ['*'] : vectors.tensors.map(({ name }) => name);
  return {
    graph,
    vectors,
    tensors,
    logits: (coefficients) => logitsIn(graph, path, tasks, readers, coefficients, settings.batchSize),
    run: (coefficients, step = 0) => stepper.step(coefficients, step),
    table: (value) => tensors.map(() => models.map(() => value)),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Runs the step graph once more, with the values that are the tasks' logits as its outputs. */
async function logitsIn(
  { model, inputs }: StepGraph,
  path: string,
  tasks: readonly TaskJob[],
  readers: readonly DatasetReader[],
  coefficients: Table,
  batchSize: number,
): Promise<Float32Array[]> {
  const nodes = model.graph!.node;
  const output = nodes.flatMap((node) => node.output.filter((value) => value.endsWith('/logits')));
  if (output.length !== tasks.length) throw new Error(`${output.length} values look like logits: ${output.join(', ')}`);
  await writeModel({ ...model, graph: { ...model.graph!, output: output.map((name) => ({ name })) } }, path);
  const session = await openSession(path, { provider: 'cpu', threads: 1 });
  const rows = Array.from({ length: batchSize }, (_, row) => row);
  const feeds: Record<string, Tensor> = {
    [COEFFICIENTS]: floatTensor(Float32Array.from(coefficients.flat()), [coefficients.length, coefficients[0]!.length]),
  };
  for (const { name, tensor, feeds: own } of inputs) {
    feeds[name] = await gatherRows(
      own.map(({ task }) => ({ reader: readers[task]!, rows })),
      tensor,
    );
  }
  const results = await session.run(feeds);
  const logits = output.sort().map((name) => Float32Array.from(floatsOf(results[name]!)));
  await session.release();
  return logits;
}

/** Largest difference of two tables, relative to the second one's largest entry. */
export function apart(one: Table, other: Table): number {
  const scale = Math.max(...other.flat().map(Math.abs));
  return Math.max(...one.flatMap((row, r) => row.map((value, k) => Math.abs(value - other[r]![k]!)))) / scale;
}

/** The slope of the losses' sum along every coefficient, from losses alone. Those in float32 allow for three digits. */
export async function slopesOf(step: Step, at: Table): Promise<Table> {
  const slopes = at.map((row) => row.map(() => 0));
  for (const [r, row] of at.entries()) {
    for (const k of row.keys()) slopes[r]![k] = await slopeOf(step, at, r, k);
  }
  return slopes;
}

/** The same along one: five points, so that curvature does not count. */
export async function slopeOf(step: Step, at: Table, row: number, model: number): Promise<number> {
  const h = 0.02;
  const loss = async (by: number) => {
    const moved = at.map((values) => [...values]);
    moved[row]![model]! += by;
    return sum((await step.run(moved)).losses);
  };
  const [near, far] = [(await loss(h)) - (await loss(-h)), (await loss(2 * h)) - (await loss(-2 * h))];
  return (8 * near - far) / (12 * h);
}
