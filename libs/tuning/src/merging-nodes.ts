import { type Graph, intAttribute, ONNX_DTYPES, type TensorProto, tensorOf } from '@amalgam/onnx';
import type { VectorFile } from './jobs.js';
import { floatInfo, mergedValue } from './prepare.js';
import { EXTRA, type Widened } from './wide-layers.js';

/** Input of the step graph: the coefficients that the merge is computed with, float32 [rows, models]. */
export const COEFFICIENTS = 'coefficients';

export interface MergingOptions {
  vectors: VectorFile;
  /** The vector file as the model's folder has it. */
  location: string;
  models: number;
  granularity: 'layer' | 'task';
  /** Which merged tensors the graph reads with zeros behind. */
  widened: Widened;
}

/** Sums and lists grow as trees: WebGPU binds 16 buffers to a shader, one of them the result. */
const MOST_AT_ONCE = 8;

/**
 * Computes the merged tensors `read` (indices into the file's) from the coefficients, θ = θ₀ + λT with λT one matrix product
 * [1, models] × [models, elements], instead of reading them as inputs; and from their gradients that of the coefficients,
 * T·dθ, another one: `gradient`, float32 [rows, models]. Base and task vectors are read from the file, which the runtime maps.
 * Its rows are those of `read`; for granularity task there is one, the sum of all.
 */
export function mergeInGraph(
  graph: Graph,
  read: readonly number[],
  gradients: ReadonlyMap<string, string>,
  { vectors, location, models, granularity, widened }: MergingOptions,
): void {
  const rows = granularity === 'task' ? 1 : vectors.tensors.length;
  graph.addInput(floatInfo(COEFFICIENTS, [rows, models]));
  const shape = (...dims: number[]) => graph.constant(tensorOf('shape', 'I64', [dims.length], dims));

  const parts = read.map((index) => {
    const { name, shape: dims, elements, base, vectors: offset } = vectors.tensors[index]!;
    const value = mergedValue(name);
    graph.inputs.delete(value);
    const stored = externalTensor(`vectors/${name}`, vectors.dtype, [models, elements], location, offset);
    const origin = externalTensor(`base/${name}`, 'F32', dims, location, base);
    graph.setInitializer(stored);
    graph.setInitializer(origin);
    const toFloat = () =>
      vectors.dtype === 'F32'
        ? stored.name!
        : graph.op('Cast', [stored.name!], [intAttribute('to', ONNX_DTYPES.F32.code)]);

    const row = granularity === 'task' ? COEFFICIENTS : rowOf(graph, index);
    const sum = graph.op('MatMul', [row, toFloat()], [], `merge/${name}`);
    const shaped = graph.op('Reshape', [sum, shape(...dims)]);
    const axis = widened.get(value);
    const own = gradients.get(value)!;
    if (axis === undefined) graph.addNode({ opType: 'Add', inputs: [origin.name!, shaped], outputs: [value] });
    else {
      const behind = shape(...dims.map(() => 0), ...dims.map((_, i) => (i === axis ? EXTRA : 0)));
      const narrow = graph.op('Add', [origin.name!, shaped]);
      graph.addNode({ opType: 'Pad', inputs: [narrow, behind], outputs: [value] });
    }
    const gradient = axis === undefined ? own : graph.op('Slice', [own, shape(0), shape(dims[axis]!), shape(axis)]);

    const flat = graph.op('Reshape', [gradient, shape(elements, 1)]);
    // Cast anew, so that the float32 copy does not live from the merge to here.
    return graph.op('Reshape', [graph.op('MatMul', [toFloat(), flat], [], `learn/${name}`), shape(1, models)]);
  });
  const made =
    granularity === 'task'
      ? tree(parts, (some) => graph.op('Sum', some))
      : tree(parts, (some) => graph.op('Concat', some, [intAttribute('axis', 0)]));
  graph.addNode({ opType: 'Identity', inputs: [made], outputs: ['gradient'] });
}

/** Row of the coefficients that a tensor has, [1, models]. */
function rowOf(graph: Graph, index: number): string {
  const at = (value: number) => graph.constant(tensorOf('index', 'I64', [1], [value]));
  return graph.op('Slice', [COEFFICIENTS, at(index), at(index + 1), at(0)]);
}

function tree(values: string[], join: (some: string[]) => string): string {
  let level = values;
  while (level.length > 1) {
    const next: string[] = [];
    for (let i = 0; i < level.length; i += MOST_AT_ONCE) {
      const some = level.slice(i, i + MOST_AT_ONCE);
      next.push(some.length === 1 ? some[0]! : join(some));
    }
    level = next;
  }
  return level[0]!;
}

function externalTensor(
  name: string,
  dtype: VectorFile['dtype'],
  dims: readonly number[],
  location: string,
  offset: number,
): TensorProto {
  const length = dims.reduce((product, size) => product * size, 1) * (dtype === 'F32' ? 4 : 2);
  const entries = Object.entries({ location, offset: String(offset), length: String(length) });
  return {
    name,
    dataType: ONNX_DTYPES[dtype].code,
    dims: [...dims],
    dataLocation: 1,
    externalData: entries.map(([key, value]) => ({ key, value })),
  };
}
