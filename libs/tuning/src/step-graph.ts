import type { GivenType } from '@amalgam/autodiff';
import { AmalgamError } from '@amalgam/contracts';
import {
  type Graph,
  intAttribute,
  type ModelProto,
  mergeGraphs,
  modelOf,
  ONNX_DTYPES,
  probeModel,
  removeDead,
  shapesFrom,
  type ValueInfoProto,
} from '@amalgam/onnx';
import type { VectorFile } from './jobs.js';
import { LOSSES } from './losses.js';
import { mergeInGraph } from './merging-nodes.js';
import { isMergedValue, mergedValue, type PreparedTask } from './prepare.js';
import { type Feed, type StepInput, separateUnits, sharedUnits, type Unit, type UnitOptions } from './step-units.js';
import { gradientsInTurn } from './turns.js';
import { type Widened, widenLayers } from './wide-layers.js';

/** What the step graph gives: float32 [tasks], and [rows, models]. */
export const LOSSES_OUTPUT = 'losses';
export const GRADIENT_OUTPUT = 'gradient';

export interface StepOptions extends UnitOptions {
  vectors: VectorFile;
  /** The vector file as the model's folder has it. */
  location: string;
  models: number;
  granularity: 'layer' | 'task';
  loss: keyof typeof LOSSES;
  portable: boolean;
  /** False: every batch of every task runs through a graph of its own. */
  share: boolean;
  /** Whether layers may be made wider, for a CPU's cache. */
  wide: boolean;
}

export interface StepGraph {
  model: ModelProto;
  inputs: StepInput[];
  /** Indices of the merged tensors that have a row in the gradient; for granularity task, of all that are read. */
  rows: number[];
  /** How many graphs run in a step, one after the other, and how many tasks share one at most. */
  shape: { encoders: number; largest: number };
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
  const { graph, inputs, logits } = await joinUnits(units);
  const widened = options.wide ? widenLayers(graph) : (new Map() satisfies Widened);
  const sizes = Object.fromEntries(inputs.map(({ name, dims }) => [name, dims]));
  const typesWith = async (outputs: readonly string[]) => {
    for (const name of outputs) graph.addOutput({ name });
    const types = shapesFrom(graph, await options.probe(probeModel(graph, sizes)));
    for (const name of outputs) graph.outputs.delete(name);
    return types;
  };
  const forward = await typesWith(logits.map(({ value }) => value));
  const totals = addLosses(graph, tasks, logits, forward, options);
  const shapes = await typesWith(totals);

  const { tensors } = options.vectors;
  const read = tensors.flatMap(({ name }, i) => (graph.inputs.has(mergedValue(name)) ? [i] : []));
  if (read.length === 0) {
    throw new AmalgamError('unbound_graph', 'no graph reads a merged tensor: there is nothing to learn');
  }
  const named = gradientsInTurn(graph, {
    totals,
    wrt: read.map((i) => mergedValue(tensors[i]!.name)),
    shapes,
    inputs: units.map((_, u) => inputs.filter(({ unit }) => unit === u).map(({ name }) => name)),
    portable: options.portable,
  });
  mergeInGraph(graph, read, named, { ...options, widened });
  graph.addOutput({ name: LOSSES_OUTPUT });
  graph.addOutput({ name: GRADIENT_OUTPUT });
  removeDead(graph);
  for (const name of [...graph.inputs.keys()]) if (!graph.isUsed(name)) graph.inputs.delete(name);
  return {
    model: withSizes(modelOf(graph), sizes),
    inputs: inputs.filter(({ name }) => graph.inputs.has(name)),
    rows: read,
    shape: {
      encoders: units.length,
      largest: Math.max(...units.map(({ logits: own }) => new Set(own.map(({ feed }) => feed.task)).size)),
    },
  };
}

type UnitLogits = Unit['logits'][number] & { unit: number };

/** All units in one graph, without outputs; they share the merged tensors. */
async function joinUnits(units: readonly Unit[]) {
  const weights = new Set(units.flatMap(({ graph }) => [...graph.inputs.keys()].filter(isMergedValue)));
  const parts = units.map(({ graph }, i) => ({ graph, prefix: `unit${i}/` }));
  const { graph, names } = await mergeGraphs(parts, 'step', [...weights]);
  for (const name of [...graph.outputs.keys()]) graph.outputs.delete(name);
  const inputs = units.flatMap((own, unit) =>
    own.inputs.map((input): StepInput & { unit: number } => ({ ...input, unit, name: names[unit]!.get(input.name)! })),
  );
  const logits = units.flatMap((own, unit) =>
    own.logits.map(({ feed, value, mask }): UnitLogits => {
      const renamed = names[unit]!;
      return { unit, feed, value: renamed.get(value)!, mask: mask === null ? null : renamed.get(mask)! };
    }),
  );
  return { graph, inputs, logits };
}

/** Adds every task's loss, [tasks], and returns the sum of each unit's, [1]. */
function addLosses(
  graph: Graph,
  tasks: readonly PreparedTask[],
  logits: readonly UnitLogits[],
  types: ReadonlyMap<string, GivenType>,
  options: StepOptions,
): string[] {
  const parts = logits.map((own) => {
    const task = tasks[own.feed.task]!;
    return { unit: own.unit, task: own.feed.task, loss: addLoss(graph, task, types.get(own.value)!, own, options) };
  });
  const sum = (some: typeof parts) => some.map(({ loss }) => loss).reduce((all, loss) => graph.op('Add', [all, loss]));
  graph.addNode({
    opType: 'Concat',
    inputs: tasks.map((_, t) => sum(parts.filter(({ task }) => task === t))),
    outputs: [LOSSES_OUTPUT],
    attributes: [intAttribute('axis', 0)],
  });
  const units = [...new Set(parts.map(({ unit }) => unit))];
  return units.map((unit) => sum(parts.filter((part) => part.unit === unit)));
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

/** With inputs of the sizes that they are fed in, so that the runtime plans with fixed shapes. */
function withSizes(model: ModelProto, sizes: Readonly<Record<string, readonly number[]>>): ModelProto {
  const input = model.graph!.input.map((info) => {
    const dims = sizes[info.name ?? ''];
    return dims === undefined ? info : withDims(info, dims);
  });
  return { ...model, graph: { ...model.graph!, input, valueInfo: [] } };
}

function withDims(info: ValueInfoProto, dims: readonly number[]): ValueInfoProto {
  const tensor = info.type?.tensorType;
  return {
    ...info,
    type: { ...info.type, tensorType: { ...tensor, shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
  };
}
