import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { constantsToInitializers, type Graph, graphOf, intAttribute, readModel } from '@amalgam/onnx';

const FOLDER = fileURLToPath(new URL('../../../../examples/zoo/vit6/', import.meta.url));

export interface ZooTensor {
  dims: number[];
  values: Float32Array;
}

/** The float32 tensors of a safetensors file of the zoo. */
export function zooTensors(file: string): Map<string, ZooTensor> {
  const bytes = readFileSync(`${FOLDER}${file}`);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, ZooTensor>();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (dtype !== 'F32') continue;
    const part = bytes.subarray(8 + length + offsets[0], 8 + length + offsets[1]);
    tensors.set(name, { dims: shape, values: new Float32Array(new Uint8Array(part).buffer) });
  }
  return tensors;
}

export async function zooGraph(file: string): Promise<Graph> {
  const graph = graphOf(await readModel(`${FOLDER}${file}`), file);
  constantsToInitializers(graph);
  return graph;
}

export interface Setting {
  grad0: number[][];
  init: number;
  batch: number;
  loss: number[];
}

export function zooReference(): { tasks: string[]; merged_tensors: string[]; reference: Record<string, Setting> } {
  return JSON.parse(readFileSync(`${FOLDER}reference.json`, 'utf8'));
}

/** Adds the mean over rows of the Shannon entropy of the softmax of `logits`. */
export function addEntropy(graph: Graph, logits: string): string {
  const log = graph.op('LogSoftmax', [logits], [intAttribute('axis', -1)]);
  const terms = graph.op('Mul', [graph.op('Exp', [log]), log]);
  // The last axis goes; the opset says whether axes are an attribute, so the mean is one over everything, scaled.
  const total = graph.op('ReduceSum', [terms], [intAttribute('keepdims', 0)]);
  const rows = graph.op('Shape', [logits], [intAttribute('end', 1)]);
  const count = graph.op('Cast', [graph.op('Squeeze', [rows])], [intAttribute('to', 1)]);
  return graph.op('Neg', [graph.op('Div', [total, count])]);
}
