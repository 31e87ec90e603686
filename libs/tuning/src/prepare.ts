import { AmalgamError, quote } from '@amalgam/contracts';
import {
  describeGraph,
  type Graph,
  graphOf,
  intAttribute,
  intsAttribute,
  isExternal,
  loadTensor,
  ONNX_DTYPES,
  rawTensor,
  readModel,
  tensorOf,
  type ValueInfoProto,
  type ValueSpec,
} from '@amalgam/onnx';
import { bindGraph } from './bind.js';
import { Digests } from './bind-contents.js';
import { referenceTensor } from './bind-reference.js';
import type { Binding } from './bind-types.js';
import { checkTask } from './check-task.js';
import { refuseTask } from './check-task-data.js';
import type { DatasetJob, Job, TaskJob } from './jobs.js';
import type { StoredCheckpoint, StoredTensor } from './stored.js';

/** A task whose graph is understood. */
export interface PreparedTask {
  job: TaskJob;
  /** Bound: each initializer that is a tensor of the checkpoints has its own name and numbers. */
  graph: Graph;
  bindings: Binding[];
  constants: string[];
  /** Merged tensors that the graph does not read. */
  unused: string[];
  inputs: ValueSpec[];
  /** The output with the logits. */
  logits: string;
  /** The dataset's tensor that leaves positions out. */
  mask: string | null;
  /** Rows that the graph is fixed to. */
  fixedBatch: number | null;
}

/** Reads and binds the graph of a task. Errors: those of `readModel`, `bindGraph` and `checkTask`. */
export async function prepareTask(
  job: Job,
  index: number,
  data: DatasetJob,
  batch: number | null,
  known: Digests = new Digests(),
): Promise<PreparedTask> {
  const task = job.tasks[index]!;
  const model = await readModel(task.graph.path);
  const description = describeGraph(model, task.graph.name);
  const { name, logits: output, mask: leaveOut } = task;
  const named = {
    name,
    graph: task.graph.name,
    data: data.name,
    ...(output !== undefined && { logits: output }),
    ...(leaveOut !== undefined && { mask: leaveOut }),
  };
  const options = { pointer: `/tasks/${index}`, batch, labels: 'unused' } as const;
  const check = checkTask(named, description, data.description, options);
  if (check.errors.length > 0) throw refuseTask(check.errors);
  const own = job.models[task.model]!;
  const merged = new Set(job.merged.map(({ name }) => name));
  const bound = await bindGraph(graphOf(model, task.graph.name), job.base ?? own, own, merged, known);
  const { logits, mask, fixedBatch } = check;
  return { job: task, ...bound, inputs: description.inputs, logits, mask, fixedBatch };
}

/** Prefix of the values that stand for merged tensors. */
const MERGED = 'merged/';

export function mergedValue(tensor: string): string {
  return `${MERGED}${tensor}`;
}

export function isMergedValue(value: string): boolean {
  return value.startsWith(MERGED);
}

/**
 * Lets the graph read each merged tensor from an input, float32 in the tensor's own shape and order, named by `mergedValue`;
 * all other tensors hold the task's own numbers. Returns the merged tensors that it reads. Changes the task's graph.
 */
export async function openMergedTensors(task: PreparedTask, job: Job): Promise<string[]> {
  const { graph } = task;
  const shapes = new Map(job.merged.map(({ name, shape }) => [name, shape]));
  const read = new Set<string>();
  for (const binding of task.bindings) {
    const { tensor, reference } = binding;
    const shape = shapes.get(tensor);
    if (shape === undefined) {
      const own = ownTensor(job, task.job.model, tensor);
      if (own !== reference) graph.setInitializer(await referenceTensor({ ...binding, reference: own }));
      continue;
    }
    const value = mergedValue(tensor);
    if (!read.has(tensor)) graph.addInput(floatInfo(value, shape));
    read.add(tensor);
    replaceInitializer(graph, binding, value, shape);
  }
  await inlineInitializers(graph);
  return [...read];
}

/**
 * Lets the graph read every bound tensor from an input of the initializer's name, float32 with the elements in the
 * initializer's order. Changes the task's graph.
 */
export async function openAllTensors({ graph, bindings }: Pick<PreparedTask, 'graph' | 'bindings'>): Promise<void> {
  for (const { initializer, dtype, dims } of bindings) {
    const value = graph.freshName(`weight/${initializer}`);
    graph.replaceUses(initializer, value);
    graph.removeInitializer(initializer);
    if (dtype === 'F32') {
      graph.addInput(floatInfo(value, dims));
      graph.rename(value, initializer);
    } else {
      graph.addInput(floatInfo(initializer, dims));
      const to = intAttribute('to', ONNX_DTYPES[dtype].code);
      graph.addNode({ opType: 'Cast', inputs: [initializer], outputs: [value], attributes: [to] });
    }
  }
  await inlineInitializers(graph);
}

/** What is left of external data is small, and comes along. */
async function inlineInitializers(graph: Graph): Promise<void> {
  for (const [name, tensor] of graph.initializers) {
    if (!isExternal(tensor) || !graph.isUsed(name)) continue;
    const { dtype, dims, bytes } = await loadTensor(tensor);
    graph.setInitializer(rawTensor(name, dtype, dims, bytes));
  }
}

/** A tensor that is not merged is the task's model's own; what that lacks is the base's. */
export function ownTensor(job: Job, model: number, tensor: string): StoredTensor {
  const found = tensorOfFirst([job.models[model]!, job.base], tensor);
  if (found === null) throw new AmalgamError('internal', `tensor ${quote(tensor)} is in no checkpoint`);
  return found;
}

export function tensorOfFirst(checkpoints: readonly (StoredCheckpoint | null)[], tensor: string): StoredTensor | null {
  for (const checkpoint of checkpoints) {
    if (checkpoint !== null && Object.hasOwn(checkpoint.tensors, tensor)) return checkpoint.tensors[tensor]!;
  }
  return null;
}

export function floatInfo(name: string, dims: readonly number[]): ValueInfoProto {
  const shape = { dim: dims.map((dimValue) => ({ dimValue })) };
  return { name, type: { tensorType: { elemType: ONNX_DTYPES.F32.code, shape } } };
}

function replaceInitializer(graph: Graph, binding: Binding, value: string, shape: readonly number[]): void {
  const { initializer, transposed, dtype, dims } = binding;
  graph.removeInitializer(initializer);
  let made = value;
  if (transposed) made = graph.op('Transpose', [made], [intsAttribute('perm', [1, 0])]);
  const sizes = transposed ? [...shape].reverse() : shape;
  if (sizes.length !== dims.length || sizes.some((size, i) => size !== dims[i])) {
    made = graph.op('Reshape', [made, graph.constant(tensorOf('shape', 'I64', [dims.length], dims))]);
  }
  if (dtype !== 'F32') made = graph.op('Cast', [made], [intAttribute('to', ONNX_DTYPES[dtype].code)]);
  graph.replaceUses(initializer, made);
}
