import type { GivenType } from '@amalgam/autodiff';
import { AmalgamError } from '@amalgam/contracts';
import {
  extract,
  type Graph,
  intAttribute,
  type ModelProto,
  mergeGraphs,
  modelOf,
  ONNX_DTYPES,
  probeModel,
  removeDead,
  shapesFrom,
  tensorOf,
  type ValueInfoProto,
  type ValueMetadata,
} from '@amalgam/onnx';
import type { VectorFile } from './jobs.js';
import { LOSSES } from './losses.js';
import { mergeInGraph } from './merging-nodes.js';
import { floatInfo, mergedValue, type PreparedTask } from './prepare.js';
import { commonPart } from './sharing.js';
import { gradientsInTurn } from './turns.js';

/** What the step graph gives: float32 [tasks], and [rows, models]. */
export const LOSSES_OUTPUT = 'losses';
export const GRADIENT_OUTPUT = 'gradient';

/** Asks the runtime for the types of a model's outputs. */
export type Probe = (model: ModelProto) => Promise<readonly ValueMetadata[]>;

export interface StepOptions {
  vectors: VectorFile;
  /** The vector file as the model's folder has it. */
  location: string;
  models: number;
  granularity: 'layer' | 'task';
  loss: keyof typeof LOSSES;
  batchSize: number;
  batchesPerStep: number;
  /** Bytes that activations of tasks that run together may take; tasks beyond it wait for those before to be done. */
  activationBytes: number;
  portable: boolean;
  probe: Probe;
  /** False: every batch of every task runs through a graph of its own. */
  share: boolean;
}

/** Rows of a task that go in together with those of others. */
export interface Feed {
  /** Index of the task. */
  task: number;
  /** Of its step's batches, from (inclusive) to (exclusive). */
  from: number;
  to: number;
}

/** An input of the step graph: these tasks' rows of a dataset's tensor, one after the other. */
export interface StepInput {
  name: string;
  /** Of the dataset. */
  tensor: string;
  feeds: Feed[];
  dims: readonly number[];
  /** A mask is fed as float32 ones and zeros, whatever the dataset has. */
  mask: boolean;
}

export interface StepGraph {
  model: ModelProto;
  inputs: StepInput[];
  /** Indices of the merged tensors that have a row in the gradient; for granularity task, of all that are read. */
  rows: number[];
  /** How many encoders run in a step, and how many tasks share one at most. */
  shape: { encoders: number; largest: number };
}

/** A graph with the tasks whose batches run through it. */
interface Unit {
  graph: Graph;
  inputs: StepInput[];
  /** By task: its logits here, of the batches that `feeds` names. */
  logits: { feed: Feed; value: string; mask: string | null }[];
}

/**
 * One graph for a whole step of all tasks: the merge from the coefficients, the tasks' forward passes, their losses, and the
 * gradient of the losses' sum with respect to the coefficients. The merge and the gradient of the coefficients are computed once.
 * Tasks whose graphs begin alike share that part: their batches run through it as one.
 *
 * Errors: those of differentiation, naming operator, node and opset.
 */
export async function buildStepGraph(tasks: readonly PreparedTask[], options: StepOptions): Promise<StepGraph> {
  const units = options.share ? await sharedUnits(tasks, options) : separateUnits(tasks, options);
  const merged = await mergeGraphs(
    units.map(({ graph }, i) => ({ graph, prefix: `unit${i}/` })),
    'step',
    [...new Set(units.flatMap(({ graph }) => [...graph.inputs.keys()].filter(isMergedValue)))],
  );
  const { graph } = merged;
  const rename = (unit: number, value: string) => merged.names[unit]!.get(value)!;
  const inputs = units.flatMap((unit, i) =>
    unit.inputs.map((input) => ({ ...input, unit: i, name: rename(i, input.name) })),
  );
  const logits = units.flatMap((unit, i) =>
    unit.logits.map(({ feed, value, mask }) => ({
      unit: i,
      feed,
      value: rename(i, value),
      mask: mask === null ? null : rename(i, mask),
    })),
  );
  for (const name of [...graph.outputs.keys()]) graph.outputs.delete(name);

  const sizes = Object.fromEntries(inputs.map(({ name, dims }) => [name, dims]));
  for (const { value } of logits) graph.addOutput({ name: value });
  removeDead(graph);
  const forward = shapesFrom(graph, await options.probe(probeModel(graph, sizes)));
  for (const name of [...graph.outputs.keys()]) graph.outputs.delete(name);

  const parts = logits.map(({ unit, feed, value, mask }) => {
    const loss = addLoss(graph, tasks[feed.task]!, forward.get(value)!, { feed, value, mask }, options);
    return { unit, task: feed.task, loss };
  });
  const sum = (some: typeof parts) => some.map(({ loss }) => loss).reduce((all, loss) => graph.op('Add', [all, loss]));
  graph.addNode({
    opType: 'Concat',
    inputs: tasks.map((_, t) => sum(parts.filter(({ task }) => task === t))),
    outputs: [LOSSES_OUTPUT],
    attributes: [intAttribute('axis', 0)],
  });
  graph.addOutput({ name: LOSSES_OUTPUT });
  const totals = units.map((_, u) => sum(parts.filter(({ unit }) => unit === u)));
  for (const total of totals) graph.addOutput({ name: total });
  const shapes = shapesFrom(graph, await options.probe(probeModel(graph, sizes))) as Map<string, GivenType>;
  for (const total of totals) graph.outputs.delete(total);

  const read = options.vectors.tensors.flatMap((tensor, i) => (graph.inputs.has(mergedValue(tensor.name)) ? [i] : []));
  const wrt = read.map((i) => mergedValue(options.vectors.tensors[i]!.name));
  if (wrt.length === 0)
    throw new AmalgamError('unbound_graph', 'no graph reads a merged tensor: there is nothing to learn');
  const named = gradientsInTurn(graph, {
    totals,
    wrt,
    shapes,
    inputs: units.map((_, u) => inputs.filter(({ unit }) => unit === u).map(({ name }) => name)),
    portable: options.portable,
  });
  const { rows } = mergeInGraph(graph, read, named, options);
  graph.addOutput({ name: GRADIENT_OUTPUT });
  removeDead(graph);
  for (const name of [...graph.inputs.keys()]) if (!graph.isUsed(name)) graph.inputs.delete(name);
  const model = modelOf(graph);
  // Sizes as they are fed: the runtime then plans with fixed shapes.
  const fixed = model.graph!.input.map((info) => {
    const dims = sizes[info.name ?? ''];
    return dims === undefined ? info : withDims(info, dims);
  });
  return {
    model: { ...model, graph: { ...model.graph!, input: fixed, valueInfo: [] } },
    inputs: inputs.filter(({ name }) => graph.inputs.has(name)).map(({ unit: _, ...input }) => input),
    rows,
    shape: {
      encoders: units.length,
      largest: Math.max(...units.map((unit) => new Set(unit.logits.map(({ feed }) => feed.task)).size)),
    },
  };
}

function addLoss(
  graph: Graph,
  task: PreparedTask,
  type: GivenType,
  { feed, value, mask }: { feed: Feed; value: string; mask: string | null },
  { loss, portable }: StepOptions,
): string {
  const dims = type.dims as readonly number[];
  if (dims.length !== 2 && dims.length !== 3) {
    throw new AmalgamError(
      'invalid_graph',
      `${task.job.graph.name}: the output "${task.logits}" has shape [${dims.join(', ')}]; logits are [batch, classes] or [batch, positions, classes]`,
    );
  }
  const logits =
    type.type === 'float32' ? value : graph.op('Cast', [value], [intAttribute('to', ONNX_DTYPES.F32.code)]);
  return LOSSES[loss]({ graph, logits, dims, mask, batches: feed.to - feed.from, portable });
}

/** Every batch of every task in a graph of its own. */
function separateUnits(tasks: readonly PreparedTask[], { batchSize, batchesPerStep }: StepOptions): Unit[] {
  return tasks.flatMap((task, t) =>
    Array.from({ length: batchesPerStep }, (_, b) => wholeUnit(task, { task: t, from: b, to: b + 1 }, batchSize)),
  );
}

function wholeUnit(task: PreparedTask, feed: Feed, batchSize: number): Unit {
  const graph = extract(task.graph, [...task.graph.inputs.keys()], [task.logits]);
  const inputs = inputsOf(task, [feed], batchSize);
  const mask = maskOf(graph, task, inputs, [feed], batchSize);
  return { graph, inputs, logits: [{ feed, value: task.logits, mask }] };
}

function inputsOf(task: PreparedTask, feeds: Feed[], batchSize: number): StepInput[] {
  const rows = countRows(feeds, batchSize);
  const { tensors } = task.job.data!.description;
  return task.inputs.map(({ name }) => {
    const { shape } = tensors.find((tensor) => tensor.name === name)!;
    return { name, tensor: name, feeds, dims: [rows, ...shape.slice(1)], mask: false };
  });
}

/** The mask as an input of its own: a graph's input may be of another dtype. */
function maskOf(
  graph: Graph,
  task: PreparedTask,
  inputs: StepInput[],
  feeds: Feed[],
  batchSize: number,
): string | null {
  if (task.mask === null) return null;
  const { shape } = task.job.data!.description.tensors.find(({ name }) => name === task.mask)!;
  const dims = [countRows(feeds, batchSize), ...shape.slice(1)];
  const name = graph.addInput(floatInfo(graph.freshName(`mask/${task.job.name}`), dims));
  inputs.push({ name, tensor: task.mask, feeds, dims, mask: true });
  return name;
}

function countRows(feeds: readonly Feed[], batchSize: number): number {
  return feeds.reduce((sum, { from, to }) => sum + (to - from) * batchSize, 0);
}

/** Tasks whose graphs begin alike run through one beginning; a batch that a graph is fixed to stays what it is. */
async function sharedUnits(tasks: readonly PreparedTask[], options: StepOptions): Promise<Unit[]> {
  const { batchSize, batchesPerStep } = options;
  const units: Unit[] = [];
  for (const group of await groupAlike(tasks)) {
    const feeds = group.map((task) => ({ task, from: 0, to: batchesPerStep }));
    const members = group.map((t) => tasks[t]!);
    if (members.some(({ fixedBatch }) => fixedBatch !== null) || group.length * batchesPerStep === 1) {
      for (const feed of feeds) {
        for (let b = feed.from; b < feed.to; b++) {
          units.push(wholeUnit(tasks[feed.task]!, { task: feed.task, from: b, to: b + 1 }, batchSize));
        }
      }
      continue;
    }
    const most = await tasksAtOnce(members, options);
    for (let at = 0; at < group.length; at += most) {
      const [part, own] = [members.slice(at, at + most), feeds.slice(at, at + most)];
      units.push(part.length === 1 ? wholeUnit(part[0]!, own[0]!, batchSize) : await sharedUnit(part, own, options));
    }
  }
  return units;
}

/** Indices of tasks, those with a common part together. */
async function groupAlike(tasks: readonly PreparedTask[]): Promise<number[][]> {
  const groups: number[][] = [];
  for (const [t, task] of tasks.entries()) {
    let found = false;
    for (const group of groups) {
      const first = tasks[group[0]!]!;
      if (!sameInputs(first, task)) continue;
      if ((await commonPart([first.graph, task.graph], [first.logits, task.logits])) === null) continue;
      group.push(t);
      found = true;
      break;
    }
    if (!found) groups.push([t]);
  }
  return groups;
}

/** Fed with tensors of the same sizes. */
function sameInputs(a: PreparedTask, b: PreparedTask): boolean {
  const key = ({ inputs, job }: PreparedTask) =>
    JSON.stringify(
      inputs.map(({ name, dtype }) => [
        name,
        dtype,
        job.data!.description.tensors.find((tensor) => tensor.name === name)?.shape.slice(1),
      ]),
    );
  return key(a) === key(b);
}

/** How many tasks may run together within the bound on activations. */
async function tasksAtOnce(members: readonly PreparedTask[], options: StepOptions): Promise<number> {
  const [first] = members;
  const unit = wholeUnit(first!, { task: 0, from: 0, to: options.batchesPerStep }, options.batchSize);
  const sizes = Object.fromEntries(unit.inputs.map(({ name, dims }) => [name, dims]));
  const known = shapesFrom(unit.graph, await options.probe(probeModel(unit.graph, sizes)));
  let bytes = 0;
  for (const { type, dims } of known.values()) {
    if (type.startsWith('float')) bytes += 4 * dims.reduce((product, size) => product * size, 1);
  }
  return Math.max(1, Math.min(members.length, Math.floor(options.activationBytes / Math.max(1, bytes))));
}

/** One beginning for several tasks, and their own endings on slices of what it gives. */
async function sharedUnit(members: readonly PreparedTask[], feeds: Feed[], options: StepOptions): Promise<Unit> {
  const { batchSize } = options;
  const common = (await commonPart(
    members.map(({ graph }) => graph),
    members.map(({ logits }) => logits),
  ))!;
  const [leader] = members;
  const frontier = common.frontiers[0]!;
  const computed = frontier.filter((value) => !leader!.graph.inputs.has(value));
  const encoder = extract(leader!.graph, [...leader!.graph.inputs.keys()], computed);
  const endings = members.map(({ graph, logits }, i) => {
    const own = common.frontiers[i]!.filter((value) => !isMergedValue(value));
    const weights = [...graph.inputs.keys()].filter(isMergedValue);
    return extract(graph, [...own, ...weights], [logits]);
  });
  const sharedNames = [...new Set(members.flatMap(({ graph }) => [...graph.inputs.keys()].filter(isMergedValue)))];
  const parts = [encoder, ...endings].map((graph, i) => ({ graph, prefix: i === 0 ? '' : `ending${i - 1}/` }));
  const { graph, names } = await mergeGraphs(parts, leader!.graph.name, sharedNames);
  for (const value of computed) graph.outputs.delete(names[0]!.get(value)!);

  const inputs = inputsOf(leader!, feeds, batchSize);
  let begin = 0;
  const logits = members.map((member, i) => {
    const rows = countRows([feeds[i]!], batchSize);
    for (const [f, value] of common.frontiers[i]!.entries()) {
      if (isMergedValue(value)) continue;
      const name = names[i + 1]!.get(value)!;
      graph.inputs.delete(name);
      slice(graph, names[0]!.get(frontier[f]!)!, name, begin, begin + rows);
    }
    begin += rows;
    const feed = feeds[i]!;
    const value = names[i + 1]!.get(member.logits)!;
    return { feed, value, mask: maskOf(graph, member, inputs, [feed], batchSize) };
  });
  return { graph, inputs, logits };
}

/** Rows [begin, end) of a value, as `name`. */
function slice(graph: Graph, value: string, name: string, begin: number, end: number): void {
  const at = (index: number) => graph.constant(tensorOf('index', 'I64', [1], [index]));
  graph.addNode({ opType: 'Slice', inputs: [value, at(begin), at(end), at(0)], outputs: [name] });
}

function isMergedValue(value: string): boolean {
  return value.startsWith(mergedValue(''));
}

function withDims(info: ValueInfoProto, dims: readonly number[]): ValueInfoProto {
  const tensor = info.type?.tensorType;
  return {
    ...info,
    type: { ...info.type, tensorType: { ...tensor, shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
  };
}
