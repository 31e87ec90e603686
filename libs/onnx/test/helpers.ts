import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import {
  codeOfDtype,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type OnnxDtype,
  tensorOf,
  type ValueInfoProto,
} from '../src/index.js';

const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/', import.meta.url));
const TASKS = ['blobs', 'digits', 'location', 'quadpair', 'segments', 'shapes'];

/** The twelve models of the example zoo, of PyTorch's two exporters. */
export const ZOO_MODELS = ['', 'legacy/'].flatMap((folder) => TASKS.map((task) => `${folder}${task}.onnx`));

export function zooPath(file: string): string {
  return join(ZOO, file);
}

/** A type of a tensor value; names are symbolic dimensions. */
export function info(name: string, dims: readonly (number | string)[], dtype: OnnxDtype = 'F32'): ValueInfoProto {
  const dim = dims.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d }));
  return { name, type: { tensorType: { elemType: codeOfDtype(dtype), shape: { dim } } } };
}

export function node(opType: string, input: string[], output: string[], more: Partial<NodeProto> = {}): NodeProto {
  return { input, output, name: `${opType}-${output[0]}`, opType, attribute: [], ...more };
}

/** y = relu(x · w + b) for x of [batch, 2]. */
export function smallModel(change: Partial<GraphProto> = {}, opset = 17): ModelProto {
  return {
    irVersion: 8,
    producerName: 'test',
    opsetImport: [{ domain: '', version: opset }],
    graph: {
      name: 'small',
      node: [node('MatMul', ['x', 'w'], ['xw']), node('Add', ['xw', 'b'], ['a']), node('Relu', ['a'], ['y'])],
      initializer: [tensorOf('w', 'F32', [2, 3], [1, -2, 3, 4, 5, -6]), tensorOf('b', 'F32', [3], [0.5, 0, -0.5])],
      input: [info('x', ['batch', 2])],
      output: [info('y', ['batch', 3])],
      valueInfo: [info('xw', ['batch', 3]), info('a', ['batch', 3])],
      ...change,
    },
  };
}

/** Numbers between -1 and 1, the same every time. */
export function numbers(count: number, seed = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

const OPTIONS = { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 } as const;

export async function session(model: string | Uint8Array, level: 'disabled' | 'basic' = 'disabled') {
  const options = { ...OPTIONS, graphOptimizationLevel: level } as const;
  return typeof model === 'string' ? InferenceSession.create(model, options) : InferenceSession.create(model, options);
}

/** Runs a model in onnxruntime on float32 inputs; every output as its bytes, or the values of one. */
export async function run(
  model: string | Uint8Array,
  feeds: Record<string, { dims: number[]; data: Float32Array }>,
): Promise<Record<string, { dims: number[]; data: Float32Array }>> {
  const loaded = await session(model);
  try {
    const given = Object.entries(feeds).map(([name, { dims, data }]) => [name, new Tensor('float32', data, dims)]);
    const results = await loaded.run(Object.fromEntries(given));
    const entries = Object.entries(results).map(([name, { dims, data }]) => [
      name,
      { dims: [...dims], data: Float32Array.from(data as Float32Array) },
    ]);
    return Object.fromEntries(entries);
  } finally {
    await loaded.release();
  }
}
