import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import {
  constantsToInitializers,
  decodeModel,
  type Graph,
  graphOf,
  intAttribute,
  isFloatDtype,
  numbersOf,
  tensorInfo,
  tensorOf,
} from '@amalgam/onnx';
import { gradients } from '../../src/index.js';
import { sizeOf } from './random.js';
import { type Feed, modelWith, Runner, typesOf } from './runtime.js';
import { addEntropy } from './zoo.js';

const FOLDER = fileURLToPath(new URL('../fixtures/', import.meta.url));

/** A PyTorch module of the fixtures; see fixtures/make_fixtures.py. */
export interface TorchCase {
  name: string;
  /** Its exports: models by file name. */
  exports: Map<string, Uint8Array>;
  inputs: Record<string, Feed>;
  loss: number;
  /** Of the output, when the loss is the sum of entry i times sin(i + 1); without, it is the entropy of its softmax. */
  shape?: readonly number[];
  /** d loss / d float inputs and parameters. */
  gradients: Map<string, ArrayLike<number>>;
}

/** All cases of the fixtures, by name. */
export function torchCases(): Map<string, TorchCase> {
  const cases = new Map<string, TorchCase>();
  const caseOf = (name: string): TorchCase => {
    const known = cases.get(name) ?? { name, exports: new Map(), inputs: {}, loss: 0, gradients: new Map() };
    cases.set(name, known);
    return known;
  };
  for (const [file, { bytes }] of stored('exports.safetensors.gz')) {
    caseOf(file.slice(0, file.indexOf('.'))).exports.set(file, bytes);
  }
  for (const [key, tensor] of stored('values.safetensors.gz')) {
    const [name, kind, ...rest] = key.split('/') as [string, string, ...string[]];
    const found = caseOf(name);
    const feed = feedOf(tensor);
    if (kind === 'input') found.inputs[rest.join('/')] = feed;
    else if (kind === 'gradient') found.gradients.set(rest.join('/'), feed.values);
    else if (kind === 'shape') found.shape = Array.from(feed.values);
    else found.loss = feed.values[0]!;
  }
  return cases;
}

interface StoredTensor {
  dtype: 'F32' | 'I64' | 'U8';
  shape: number[];
  bytes: Uint8Array<ArrayBuffer>;
}

function* stored(file: string): Generator<[string, StoredTensor]> {
  const bytes = gunzipSync(readFileSync(`${FOLDER}${file}`));
  const begin = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, begin)) as Record<
    string,
    { dtype: 'F32' | 'I64' | 'U8'; shape: number[]; data_offsets: [number, number] }
  >;
  for (const [key, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    yield [key, { dtype, shape, bytes: new Uint8Array(bytes.subarray(begin + offsets[0], begin + offsets[1])) }];
  }
}

function feedOf({ dtype, shape: dims, bytes }: StoredTensor): Feed {
  if (dtype === 'F32') return { dtype, dims, values: new Float32Array(bytes.buffer) };
  if (dtype === 'U8') return { dtype: 'BOOL', dims, values: bytes };
  return { dtype, dims, values: Array.from(new BigInt64Array(bytes.buffer), Number) };
}

/** Where in the parameters each entry of a graph's initializer comes from. */
interface Origin {
  parameter: string;
  index: number;
}

function parameterNames({ inputs, gradients }: TorchCase): string[] {
  return [...gradients.keys()].filter((name) => !(name in inputs)).sort();
}

/** The parameters' entries, counted through, as fixtures/cases.py makes them: no two are equal. */
function parameterEntry(place: number): number {
  const k = BigInt(place + 5000);
  return (4 * (Number((k * k * k) % 16361n) - 8180) + 1) / 32768;
}

/**
 * Exporters transpose parameters, cut them up, put several into one and drop their names. But an entry's number says
 * which one it is.
 */
function originsOf(graph: Graph, test: TorchCase): Map<string, Origin[]> {
  const known = new Map<number, Origin>();
  for (const parameter of parameterNames(test)) {
    const shift = parameter.endsWith('running_var') ? 2 : 0;
    for (let index = 0; index < test.gradients.get(parameter)!.length; index++) {
      known.set(parameterEntry(known.size) + shift, { parameter, index });
    }
  }
  const origins = new Map<string, Origin[]>();
  for (const [name, tensor] of graph.initializers) {
    if (!isFloatDtype(tensorInfo(tensor).dtype)) continue;
    const found = numbersOf(tensor).map((value) => known.get(value));
    if (found.length > 0 && found.every((origin) => origin !== undefined)) origins.set(name, found);
  }
  return origins;
}

function addProjection(graph: Graph, output: string, shape: readonly number[]): string {
  const weights = Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i + 1));
  const w = graph.setInitializer(tensorOf(graph.freshName('weights'), 'F32', shape, weights));
  return graph.op('ReduceSum', [graph.op('Mul', [output, w])], [intAttribute('keepdims', 0)]);
}

export interface Found {
  loss: number;
  gradients: Map<string, number[]>;
}

/** The loss of an export, and the gradients of the loss by inputs and parameters as they are in PyTorch. */
export async function runExport(test: TorchCase, file: string, portable: boolean): Promise<Found> {
  const graph = graphOf(decodeModel(test.exports.get(file)!), file);
  constantsToInitializers(graph);
  const [output] = graph.outputs.keys();
  const used = Object.entries(test.inputs).filter(([name]) => graph.inputs.has(name));
  const origins = originsOf(graph, test);
  const floats = used.filter(([, { dtype }]) => dtype === 'F32').map(([name]) => name);
  const wrt = [...origins.keys(), ...floats];
  const loss = test.shape === undefined ? addEntropy(graph, output!) : addProjection(graph, output!, test.shape);
  const shapes = await typesOf(graph, Object.fromEntries(used.map(([name, { dims }]) => [name, dims])));
  const { gradients: named } = gradients(graph, { of: loss, wrt, shapes, portable });
  const runner = await Runner.load(modelWith(graph, [loss, ...named.values()]));
  const results = await runner.run(Object.fromEntries(used));
  await runner.release();

  const found = new Map<string, number[]>();
  for (const name of parameterNames(test)) {
    found.set(name, new Array<number>(test.gradients.get(name)!.length).fill(0));
  }
  for (const name of floats) found.set(name, results[named.get(name)!]!.values);
  for (const [name, places] of origins) {
    const { values } = results[named.get(name)!]!;
    for (const [i, { parameter, index }] of places.entries()) found.get(parameter)![index]! += values[i]!;
  }
  return { loss: results[loss]!.values[0]!, gradients: found };
}
