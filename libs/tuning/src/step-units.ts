import {
  extract,
  type Graph,
  type ModelProto,
  mergeGraphs,
  probeModel,
  shapesFrom,
  tensorOf,
  type ValueMetadata,
} from '@amalgam/onnx';
import { floatInfo, isMergedValue, type PreparedTask } from './prepare.js';
import { type Common, commonPart } from './sharing.js';

/** Asks the runtime for the types of a model's outputs. */
export type Probe = (model: ModelProto) => Promise<readonly ValueMetadata[]>;

export interface UnitOptions {
  batchSize: number;
  batchesPerStep: number;
  /** Bytes that activations of tasks that run together may take; tasks beyond it wait for those before to be done. */
  activationBytes: number;
  probe: Probe;
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

/** A graph with the tasks whose batches run through it. */
export interface Unit {
  graph: Graph;
  inputs: StepInput[];
  /** By task: its logits here, of the batches that `feeds` names. */
  logits: { feed: Feed; value: string; mask: string | null }[];
}

/** Every batch of every task in a graph of its own. */
export function separateUnits(tasks: readonly PreparedTask[], { batchSize, batchesPerStep }: UnitOptions): Unit[] {
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
export async function sharedUnits(tasks: readonly PreparedTask[], options: UnitOptions): Promise<Unit[]> {
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
      // Graphs that have much in common two by two may have little in common all together.
      const common = part.length === 1 ? null : await commonOf(part);
      if (common !== null) units.push(await sharedUnit(part, own, common, batchSize));
      else units.push(...part.map((task, i) => wholeUnit(task, own[i]!, batchSize)));
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
      if ((await commonOf([first, task])) === null) continue;
      group.push(t);
      found = true;
      break;
    }
    if (!found) groups.push([t]);
  }
  return groups;
}

function commonOf(tasks: readonly PreparedTask[]): Promise<Common | null> {
  return commonPart(
    tasks.map(({ graph }) => graph),
    tasks.map(({ logits }) => logits),
  );
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
async function tasksAtOnce(members: readonly PreparedTask[], options: UnitOptions): Promise<number> {
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
async function sharedUnit(
  members: readonly PreparedTask[],
  feeds: Feed[],
  common: Common,
  batchSize: number,
): Promise<Unit> {
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
