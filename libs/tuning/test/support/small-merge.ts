import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Recipe } from '@amalgam/contracts';
import {
  encodeModel,
  Graph,
  type ModelProto,
  modelOf,
  ONNX_DTYPES,
  type OnnxDtype,
  rawTensor,
  tensorOf,
} from '@amalgam/onnx';
import { fromFloat32, writeSafetensors } from '@amalgam/tensors';
import { floats } from './numbers.js';
import { type Merge, openMerge } from './zoo.js';

export interface Numbers {
  dtype?: 'F32' | 'F64' | 'F16' | 'BF16' | 'I64' | 'I32' | 'U8' | 'BOOL';
  shape: number[];
  values: ArrayLike<number>;
}

export type Tensors = Readonly<Record<string, Numbers>>;

export interface SmallTask {
  name: string;
  /** Default: the model of the task's name. */
  model?: string;
  graph: Graph | ModelProto | Uint8Array;
  data: Tensors;
  evaluation?: Tensors;
  logits?: string;
  mask?: string;
}

export interface SmallMerge {
  method?: string;
  /** Null: none. */
  base: Tensors | null;
  models: Readonly<Record<string, Tensors>>;
  tasks: readonly SmallTask[];
  parameters?: Record<string, unknown>;
  merge?: Recipe['merge'];
  outDtype?: Recipe['out_dtype'];
}

/** A merge of models that are made up; its files go to a folder of its own in `folder`. */
export async function smallMerge(folder: string, given: SmallMerge): Promise<Merge> {
  const { method = 'adamerging', base, models, tasks, parameters = {}, merge, outDtype } = given;
  await mkdir(folder, { recursive: true });
  const path = (name: string) => join(folder, name);
  if (base !== null) await writeTensors(path('base.safetensors'), base);
  for (const [name, tensors] of Object.entries(models)) await writeTensors(path(`${name}.safetensors`), tensors);
  for (const { name, graph, data, evaluation } of tasks) {
    await writeFile(path(`${name}.onnx`), bytesOfGraph(graph));
    await writeTensors(path(`${name}.data.safetensors`), data);
    if (evaluation !== undefined) await writeTensors(path(`${name}.evaluation.safetensors`), evaluation);
  }
  return openMerge({
    method,
    ...(base !== null && { base: path('base.safetensors') }),
    models: Object.keys(models).map((name) => ({ model: path(`${name}.safetensors`) })),
    parameters,
    ...(merge !== undefined && { merge }),
    ...(outDtype !== undefined && { out_dtype: outDtype }),
    tasks: tasks.map(({ name, model = name, evaluation, logits, mask }) => ({
      name,
      model: path(`${model}.safetensors`),
      graph: path(`${name}.onnx`),
      data: path(`${name}.data.safetensors`),
      ...(evaluation !== undefined && { evaluation: path(`${name}.evaluation.safetensors`) }),
      ...(logits !== undefined && { logits }),
      ...(mask !== undefined && { mask }),
    })),
  });
}

export async function writeTensors(path: string, tensors: Tensors): Promise<void> {
  const made = Object.entries(tensors).map(([name, numbers]) => {
    return { name, dtype: numbers.dtype ?? 'F32', shape: numbers.shape, data: bytesOf(numbers) };
  });
  await writeSafetensors(path, made);
}

function bytesOf({ dtype = 'F32', shape, values }: Numbers): Uint8Array {
  if (dtype === 'F16' || dtype === 'BF16') return fromFloat32(dtype, Float32Array.from(values));
  return tensorOf('', dtype, shape, values).rawData as Uint8Array;
}

function bytesOfGraph(graph: SmallTask['graph']): Uint8Array {
  if (graph instanceof Uint8Array) return graph;
  return encodeModel(graph instanceof Graph ? modelOf(graph) : graph);
}

export function addInput(graph: Graph, name: string, dims: readonly (number | string)[], dtype: OnnxDtype = 'F32') {
  const dim = dims.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return graph.addInput({ name, type: { tensorType: { elemType: ONNX_DTYPES[dtype].code, shape: { dim } } } });
}

export function addOutput(
  graph: Graph,
  name: string,
  dims: readonly (number | string)[],
  dtype: OnnxDtype = 'F32',
): void {
  const dim = dims.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  graph.addOutput({ name, type: { tensorType: { elemType: ONNX_DTYPES[dtype].code, shape: { dim } } } });
}

export function addWeights(graph: Graph, tensors: Tensors): void {
  for (const [name, numbers] of Object.entries(tensors)) {
    graph.setInitializer(rawTensor(name, numbers.dtype ?? 'F32', numbers.shape, bytesOf(numbers)));
  }
}

/** Of the small classifier: features, hidden units, classes. */
export const SIZES = { features: 6, hidden: 8, classes: 5 } as const;

/** Weights of a classifier of two layers, without its head. Models of one base differ from it by `apart`. */
export function encoderWeights(seed: number, around?: Tensors, apart = 0.4): Tensors {
  const { features, hidden } = SIZES;
  const noise = (at: number, count: number, size: number) => floats(100 * seed + at, count, size);
  const near = (name: string, shape: number[], at: number): Numbers => {
    const count = shape.reduce((product, size) => product * size, 1);
    const values = noise(at, count, around === undefined ? 1 : apart);
    const origin = around?.[name]?.values;
    return { shape, values: values.map((value, i) => value + (origin?.[i] ?? 0)) };
  };
  return {
    'layer1.weight': near('layer1.weight', [features, hidden], 1),
    'layer1.bias': near('layer1.bias', [hidden], 2),
    'layer2.weight': near('layer2.weight', [hidden, hidden], 3),
    'layer2.bias': near('layer2.bias', [hidden], 4),
  };
}

export function headWeights(seed: number, classes: number = SIZES.classes): Tensors {
  return {
    'head.weight': { shape: [SIZES.hidden, classes], values: floats(100 * seed + 5, SIZES.hidden * classes) },
    'head.bias': { shape: [classes], values: floats(100 * seed + 6, classes, 0.5) },
  };
}

/** x [batch, 6] → two layers with tanh → logits [batch, classes]; the weights are those given. */
export function classifier(
  weights: Tensors,
  { batch = 'batch' as number | string, opset = 18, dtype = 'F32' as 'F32' | 'F16' } = {},
): Graph {
  const graph = new Graph('classifier.onnx');
  graph.setOpset('', opset);
  addInput(graph, 'x', [batch, SIZES.features], dtype);
  addWeights(graph, weights);
  const layer = (x: string, name: string) =>
    graph.op('Add', [graph.op('MatMul', [x, `${name}.weight`]), `${name}.bias`], [], name);
  const hidden = graph.op('Tanh', [layer('x', 'layer1')]);
  const encoded = graph.op('Tanh', [layer(hidden, 'layer2')]);
  const scores = graph.op('MatMul', [encoded, 'head.weight']);
  graph.addNode({ opType: 'Add', inputs: [scores, 'head.bias'], outputs: ['logits'], name: 'head' });
  addOutput(graph, 'logits', [batch, weights['head.bias']!.shape[0]!], dtype);
  return graph;
}

export function features(seed: number, rows: number): Tensors {
  return { x: { shape: [rows, SIZES.features], values: floats(seed, rows * SIZES.features, 2) } };
}

/** Two classifiers around a base, and their tasks; the graphs hold the base's numbers. */
export function twoClassifiers(): SmallMerge & { base: Tensors } {
  const base = encoderWeights(1);
  const heads = { a: headWeights(2), b: headWeights(3, 4) };
  return {
    base,
    models: { a: { ...encoderWeights(4, base), ...heads.a }, b: { ...encoderWeights(5, base), ...heads.b } },
    tasks: [
      { name: 'a', graph: classifier({ ...base, ...heads.a }), data: features(6, 12) },
      { name: 'b', graph: classifier({ ...base, ...heads.b }), data: features(7, 12) },
    ],
    parameters: { batch_size: 4, steps: 3, sampling: 'sequential' },
  };
}
