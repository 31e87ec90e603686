import { AmalgamError, quote } from '@amalgam/contracts';
import { type Graph, modelOf, removeDead } from '@amalgam/onnx';
import { type DatasetReader, readLabels, toFloat32 } from '@amalgam/tensors';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { storedValues, transpose } from './bind-contents.js';
import type { Binding } from './bind-types.js';
import { gatherMask, gatherRows } from './feeds.js';
import { requireJudgeable } from './positions.js';
import { openAllTensors, type PreparedTask } from './prepare.js';
import { addScores, EMPTY_TALLY, type Tally } from './scoring.js';
import { asGraphErrors, floatsOf, floatTensor, openSession, type Place } from './session.js';
import type { StoredTensor } from './stored.js';

/** Rows of a forward pass where the graph takes any number. */
const ROWS_AT_ONCE = 64;

/** Which stored tensor stands for a binding's. */
export type Weights = (binding: Binding) => StoredTensor;
/** What is fed for a binding, in its initializer's order. */
export type BoundValues = (binding: Binding) => Promise<Float32Array>;

/** Values of stored tensors in memory, each once. */
export class WeightCache {
  readonly #values = new Map<string, Promise<Float32Array>>();

  /** In the initializer's order. */
  async get(stored: StoredTensor, transposed: boolean): Promise<Float32Array> {
    const key = `${stored.path} ${stored.begin} ${transposed}`;
    let values = this.#values.get(key);
    if (values === undefined) {
      values = storedValues(stored).then((own) =>
        transposed ? transpose(own, stored.shape[0]!, stored.shape[1]!) : own,
      );
      this.#values.set(key, values);
    }
    return values;
  }

  clear(): void {
    this.#values.clear();
  }
}

/** The forward pass of a task's graph with weights of one's choice. */
export class Forward {
  readonly #task: PreparedTask;
  readonly #session: InferenceSession;

  private constructor(task: PreparedTask, session: InferenceSession) {
    this.#task = task;
    this.#session = session;
  }

  /** Opens `graph`, which is the task's bound graph or a copy of it, and is changed. */
  static async open(task: PreparedTask, graph: Graph, place: Place): Promise<Forward> {
    for (const name of [...graph.outputs.keys()]) if (name !== task.logits) graph.outputs.delete(name);
    await openAllTensors({ graph, bindings: task.bindings });
    removeDead(graph);
    const model = modelOf(graph);
    // What exporters state of intermediate values may be for other shapes.
    const plain = { ...model, graph: { ...model.graph!, valueInfo: [] } };
    return new Forward(task, await asGraphErrors(task.job.graph, () => openSession(plain, place)));
  }

  /** Logits of some rows: [rows, classes] or [rows, positions, classes]. Errors: `invalid_graph` when they are not. */
  async logits(feeds: Record<string, Tensor>, values: BoundValues): Promise<Tensor> {
    const all = { ...feeds };
    for (const binding of this.#task.bindings) {
      all[binding.initializer] = floatTensor(await values(binding), binding.dims);
    }
    const names = new Set(this.#session.inputNames);
    const needed = Object.fromEntries(Object.entries(all).filter(([name]) => names.has(name)));
    const { logits, job } = this.#task;
    const results = await asGraphErrors(job.graph, () => this.#session.run(needed, [logits]));
    const { dims } = results[logits]!;
    const rows = Object.values(feeds)[0]?.dims[0];
    if ((dims.length !== 2 && dims.length !== 3) || dims[0] !== rows) {
      throw new AmalgamError(
        'invalid_graph',
        `${job.graph.name}: the output ${quote(logits)} has shape [${dims.join(', ')}] for ${rows} rows; logits are [batch, classes] or [batch, positions, classes]`,
      );
    }
    return results[logits]!;
  }

  /** Entropy, and accuracy where there are labels, over a whole dataset. Errors: `invalid_dataset` for labels or a mask that do not fit. */
  async score(
    reader: DatasetReader,
    weights: Weights,
    cache: WeightCache,
    onBatch: () => void = () => {},
  ): Promise<Tally> {
    const { fixedBatch, mask } = this.#task;
    const { rows, labelled } = reader.description;
    const size = fixedBatch ?? Math.min(rows, ROWS_AT_ONCE);
    let tally = EMPTY_TALLY;
    for (let begin = 0; begin < rows; begin += size) {
      const count = Math.min(size, rows - begin);
      // A graph that takes so many rows and no fewer gets the last one again; what it says of them is left out.
      const fed = Array.from({ length: fixedBatch ?? count }, (_, i) => Math.min(begin + i, rows - 1));
      const wanted = fed.slice(0, count);
      const values: BoundValues = (binding) => cache.get(weights(binding), binding.transposed);
      const tensor = await this.logits(await feedsOf(this.#task, reader, fed), values);
      const { dims } = tensor;
      const classes = dims.at(-1)!;
      if (begin === 0) await requireJudgeable(reader, mask, dims);
      const positions = dims.length === 3 ? dims[1]! : 1;
      const part = { reader, rows: wanted };
      tally = addScores(tally, {
        logits: toFloats(tensor).subarray(0, count * positions * classes),
        classes,
        mask: mask === null ? null : floatsOf(await gatherMask([part], mask)),
        labels: labelled ? await readLabels(reader, wanted) : null,
      });
      onBatch();
    }
    return tally;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

/** The graph's inputs for some rows. */
export async function feedsOf(
  { inputs }: PreparedTask,
  reader: DatasetReader,
  rows: readonly number[],
): Promise<Record<string, Tensor>> {
  const fed: [string, Tensor][] = [];
  for (const { name } of inputs) fed.push([name, await gatherRows([{ reader, rows }], name)]);
  return Object.fromEntries(fed);
}

/** Logits of any float dtype that the runtime gives out, in float32. */
export function toFloats(tensor: Tensor): Float32Array {
  const { data, type } = tensor;
  if (data instanceof Float32Array) return data;
  if (data instanceof Float64Array) return Float32Array.from(data);
  // As bits, or in newer versions of Node as numbers of that size.
  if (type === 'float16' && ArrayBuffer.isView(data)) {
    return toFloat32('F16', new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  throw new AmalgamError('unsupported_graph', `logits of type ${type} cannot be read`);
}
