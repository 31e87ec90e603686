import { type FieldError, quote, quoteList, type RecipeTask } from '@amalgam/contracts';
import type { GraphDescription, OnnxDtype, ValueSpec } from '@amalgam/onnx';
import { type DatasetDescription, type DatasetTensor, LABELS } from '@amalgam/tensors';

export interface TaskCheckOptions {
  /** Of the task in the recipe: `/tasks/2`. */
  pointer: string;
  /** Rows that are fed at once; null for evaluation, where any number will do. */
  batch: number | null;
  /** Tuning leaves labels alone; evaluation reads them when they are there. */
  labels: 'unused' | 'optional';
}

/** What is wrong with a task and, when nothing is, how it is run. */
export interface TaskCheck {
  errors: FieldError[];
  /** The output that holds the logits; empty when there is none. */
  logits: string;
  /** The dataset's tensor that leaves positions out. */
  mask: string | null;
  /** The graph's inputs, each a tensor of the dataset. */
  inputs: string[];
  /** The batch size that the graph is fixed to; null when it takes any. */
  fixedBatch: number | null;
  /** Classes, when the graph says how many. */
  classes: number | null;
}

type Task = Pick<RecipeTask, 'name' | 'graph' | 'data' | 'evaluation' | 'logits' | 'mask'>;

/** Dtypes of which a softmax can be taken. */
const LOGITS_DTYPES: readonly OnnxDtype[] = ['F32', 'F16', 'BF16', 'F64'];

/**
 * Whether a graph can be fed from a dataset and has logits to learn from or judge by, told from their headers. Every
 * input of the graph is a tensor of the dataset, with the same dtype (nothing is cast) and the same shape but for free
 * dimensions; a free dimension of one name has one size. The first dimension is the batch. Other tensors of the dataset
 * are ignored. Whether labels are in range is for `checkLabels`, which reads them.
 *
 * Nothing is thrown: `errors` point to the task's `graph`, `data`, `evaluation`, `logits` or `mask` in the recipe.
 */
export function checkTask(
  task: Task,
  graph: GraphDescription,
  dataset: DatasetDescription,
  options: TaskCheckOptions,
): TaskCheck {
  const check = new Checker(task, graph, dataset, options);
  const fixedBatch = check.batch();
  check.inputs();
  const logits = check.logits();
  const mask = task.mask === undefined ? null : check.mask(task.mask, logits);
  if (options.labels === 'optional' && dataset.labelled) check.labels(logits);
  return {
    errors: check.errors,
    logits: logits?.name ?? '',
    mask,
    inputs: graph.inputs.map(({ name }) => name),
    fixedBatch,
    classes: sizeAt(logits, -1),
  };
}

class Checker {
  readonly errors: FieldError[] = [];
  readonly #task: Task;
  readonly #graph: GraphDescription;
  readonly #dataset: DatasetDescription;
  readonly #options: TaskCheckOptions;
  readonly #tensors: ReadonlyMap<string, DatasetTensor>;

  constructor(task: Task, graph: GraphDescription, dataset: DatasetDescription, options: TaskCheckOptions) {
    this.#task = task;
    this.#graph = graph;
    this.#dataset = dataset;
    this.#options = options;
    this.#tensors = new Map(dataset.tensors.map((tensor) => [tensor.name, tensor]));
  }

  /** The batch that the graph is fixed to, checked against the one that is wanted and the dataset's rows. */
  batch(): number | null {
    const { batch } = this.#options;
    const { rows } = this.#dataset;
    const fixed = this.#graph.inputs.find((input) => sizeAt(input, 0) !== null);
    const size = sizeAt(fixed, 0);
    if (fixed !== undefined && size !== null) {
      const shown = `input ${quote(fixed.name)} has shape ${showShape(fixed.shape)}`;
      const other = this.#graph.inputs.find((input) => (sizeAt(input, 0) ?? size) !== size);
      if (other !== undefined) {
        this.#refuse('graph', `${shown}, input ${quote(other.name)} ${showShape(other.shape)}: the batch size differs`);
      } else if (size === 0) {
        this.#refuse('graph', `${shown}: a batch of no rows`);
      } else if (batch !== null && size !== batch) {
        this.#refuse(
          'graph',
          `${shown}: it takes ${size} rows at once, but batch_size is ${batch}; export it with a free batch dimension, or set batch_size`,
        );
      }
    }
    const needed = batch ?? size ?? 1;
    if (rows < needed) {
      this.#refuse(this.#dataField, `has ${rows} rows, fewer than one batch of ${needed}`);
    }
    return size;
  }

  inputs(): void {
    if (this.#graph.inputs.length === 0) this.#refuse('graph', 'has no inputs');
    const named = new Map<string, { tensor: string; size: number }>();
    for (const input of this.#graph.inputs) {
      const tensor = this.#tensors.get(input.name);
      if (tensor === undefined) {
        const names = [...this.#tensors.keys()];
        const needs = `has no tensor ${quote(input.name)}, which the graph needs as ${describe(input)}`;
        this.#refuse(this.#dataField, `${needs}; it has ${quoteList(names)}`);
      } else this.#matchInput(input, tensor, named);
    }
  }

  #matchInput(input: ValueSpec, tensor: DatasetTensor, named: Map<string, { tensor: string; size: number }>): void {
    const both = `tensor ${quote(tensor.name)} is ${describe(tensor)}, but the graph’s input is ${describe(input)}`;
    if (input.dtype !== tensor.dtype) {
      this.#refuse(this.#dataField, `${both}: the dtypes must be the same, nothing is converted`);
      return;
    }
    if (input.shape === null) return;
    if (input.shape.length === 0) {
      this.#refuse('graph', `input ${quote(input.name)} has no dimensions, so none for the batch`);
      return;
    }
    if (input.shape.length !== tensor.shape.length) {
      this.#refuse(this.#dataField, `${both}: the number of dimensions differs`);
      return;
    }
    for (const [i, wanted] of input.shape.entries()) {
      // The first is the batch, of which the dataset has many.
      if (i === 0 || wanted === null) continue;
      const size = tensor.shape[i] ?? 0;
      if (typeof wanted === 'number') {
        if (size === wanted) continue;
        this.#refuse(this.#dataField, `${both}: dimension ${i} is ${size}, not ${wanted}`);
        return;
      }
      const known = named.get(wanted);
      if (known === undefined) named.set(wanted, { tensor: tensor.name, size });
      else if (known.size !== size) {
        const rule = `dimension ${quote(wanted)} is ${size} here and ${known.size} in tensor ${quote(known.tensor)}`;
        this.#refuse(this.#dataField, `${both}: ${rule}`);
        return;
      }
    }
  }

  logits(): ValueSpec | undefined {
    const { outputs } = this.#graph;
    const names = outputs.map(({ name }) => name);
    const { logits } = this.#task;
    const only = outputs.length === 1 ? outputs[0] : undefined;
    const output =
      logits === undefined
        ? (only ?? outputs.find(({ name }) => name === 'logits'))
        : outputs.find(({ name }) => name === logits);
    if (output === undefined) {
      const has = `the outputs are ${quoteList(names)}`;
      if (logits === undefined) this.#refuse('graph', `${has} and none is named "logits": say which with \`logits\``);
      else this.#refuse('logits', `the graph has no output ${quote(logits)}; ${has}`);
      return undefined;
    }
    const field = logits === undefined ? 'graph' : 'logits';
    const is = `output ${quote(output.name)} is ${describe(output)}`;
    if (!LOGITS_DTYPES.includes(output.dtype)) {
      this.#refuse(field, `${is}; logits must be floating-point numbers`);
    }
    const rank = output.shape?.length;
    if (rank !== undefined && rank !== 2 && rank !== 3) {
      this.#refuse(field, `${is}; logits must be [batch, classes] or [batch, positions, classes]`);
    } else if ((sizeAt(output, -1) ?? 2) < 2) {
      this.#refuse(field, `${is}; there must be at least two classes to choose from`);
    }
    return output;
  }

  mask(name: string, logits: ValueSpec | undefined): string | null {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) {
      // An input that the dataset lacks has been reported as one.
      if (this.#graph.inputs.some((input) => input.name === name)) return null;
      const names = [...this.#tensors.keys()];
      this.#refuse('mask', `there is no tensor ${quote(name)} in the dataset; it has ${quoteList(names)}`);
      return null;
    }
    const is = `tensor ${quote(name)} is ${describe(tensor)}`;
    if (logits?.shape?.length === 2) {
      this.#refuse('mask', `the logits ${quote(logits.name)} are ${describe(logits)}: without positions to leave out`);
    } else if (tensor.shape.length !== 2) {
      this.#refuse('mask', `${is}; a mask must be [rows, positions]`);
    } else this.#matchPositions('mask', is, tensor, logits);
    return name;
  }

  labels(logits: ValueSpec | undefined): void {
    const tensor = this.#tensors.get(LABELS);
    const rank = logits?.shape?.length;
    if (tensor === undefined || logits === undefined || (rank !== 2 && rank !== 3)) return;
    const is = `tensor ${quote(LABELS)} is ${describe(tensor)}`;
    const wanted = rank === 2 ? '[rows]' : '[rows, positions]';
    if (tensor.shape.length !== rank - 1) {
      this.#refuse(this.#dataField, `${is}; with logits ${showShape(logits.shape)} labels must be ${wanted}`);
    } else if (rank === 3) this.#matchPositions(this.#dataField, is, tensor, logits);
  }

  #matchPositions(field: TaskField, is: string, tensor: DatasetTensor, logits: ValueSpec | undefined): void {
    const positions = logits?.shape?.length === 3 ? sizeAt(logits, 1) : null;
    if (positions === null || tensor.shape[1] === positions) return;
    this.#refuse(field, `${is}, but the logits have ${positions} positions`);
  }

  /** The field of the recipe that names the dataset. */
  get #dataField(): TaskField {
    return this.#options.labels === 'optional' && this.#task.evaluation !== undefined ? 'evaluation' : 'data';
  }

  #refuse(field: TaskField, problem: string): void {
    const task = `task ${quote(this.#task.name)}`;
    const where =
      field === 'graph'
        ? `${task}, graph ${quote(this.#task.graph)}`
        : field === 'data' || field === 'evaluation'
          ? `${task}, dataset ${quote(this.#dataset.file)}`
          : task;
    this.errors.push({ pointer: `${this.#options.pointer}/${field}`, detail: `${where}: ${problem}` });
  }
}

type TaskField = 'graph' | 'data' | 'evaluation' | 'logits' | 'mask';

/** A dimension's size, counted from the end when negative; null when it is free or not there. */
function sizeAt(value: ValueSpec | undefined, index: number): number | null {
  const size = value?.shape?.at(index);
  return typeof size === 'number' ? size : null;
}

function describe({ dtype, shape }: Pick<ValueSpec, 'dtype'> & { shape: readonly (number | string | null)[] | null }) {
  return `${dtype} ${showShape(shape)}`;
}

/** Names come from a file and may have any length. */
function showShape(shape: readonly (number | string | null)[] | null): string {
  if (shape === null) return 'of unknown rank';
  const sizes = shape.slice(0, 16).map((size) => (typeof size === 'string' ? quote(size).slice(1, -1) : (size ?? '?')));
  return `[${sizes.join(', ')}${shape.length > 16 ? ', …' : ''}]`;
}
