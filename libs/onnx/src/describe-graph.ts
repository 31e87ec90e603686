import { AmalgamError, byCodeUnit, quote } from '@amalgam/contracts';
import { domainOf, operatorOf } from './describe.js';
import { dtypeOfCode, isFloatDtype, type OnnxDtype } from './dtypes.js';
import { externalReference } from './external.js';
import type { Dimension, GraphProto, ModelProto, NodeProto, ValueInfoProto } from './model.js';
import { bodiesOf } from './nested.js';
import { EXTERNAL, isStringTensor, tensorInfo } from './tensor.js';
import { tensorsOf } from './visit.js';
import { operatorsOnPath } from './weight-path.js';

/** A tensor that a graph takes or gives. */
export interface ValueSpec {
  name: string;
  dtype: OnnxDtype;
  /** By dimension its size, the name of a free one, or null for a free one without a name. Null: unknown rank. */
  shape: (number | string | null)[] | null;
}

/** What a model takes, gives and is made of. Plain data: it is stored in databases and travels between processes. */
export interface GraphDescription {
  /** Version of the standard operators; null when the model uses none. */
  opset: number | null;
  /** Such as `pytorch 2.13.0`; empty when the file does not say. */
  producer: string;
  /** What is to be fed, so without initializers that are inputs too. */
  inputs: ValueSpec[];
  outputs: ValueSpec[];
  /** Bodies of control flow included. */
  nodes: number;
  initializers: number;
  /** Elements of the floating-point initializers of the main graph. */
  parameters: number;
  /** Nodes by operator, by its name in code unit order; bodies of control flow included. */
  operators: Record<string, number>;
  /** By output: the operators between weights and it, see operatorsOnPath. Descriptions stored before it was recorded lack it. */
  onPath?: Record<string, string[]>;
}

/** A file beside the model that holds tensors, relative to the model's folder, and the bytes that it must have. */
export interface GraphFile {
  location: string;
  bytes: number;
}

/**
 * Describes a model; no weight is read. `name` is what errors call it.
 *
 * Errors: `invalid_graph` for an input or output without a type; `unsupported_graph` for one that is no tensor of
 * numbers: sequences, maps, optional values, sparse tensors, strings.
 */
export function describeGraph(model: ModelProto, name = 'model'): GraphDescription {
  const graph = model.graph;
  if (graph === undefined) throw new AmalgamError('invalid_graph', `${name}: there is no graph`);
  const defaults = new Set(graph.initializer.map((tensor) => tensor.name));
  for (const { values } of graph.sparseInitializer ?? []) defaults.add(values?.name);
  const fed = graph.input.filter((input) => !defaults.has(input.name));

  const counts = new Map<string, number>();
  let nodes = 0;
  for (const node of nodesOf(graph)) {
    nodes++;
    const operator = operatorOf(node);
    counts.set(operator, (counts.get(operator) ?? 0) + 1);
  }
  return {
    opset: model.opsetImport.find((entry) => domainOf(entry) === '')?.version ?? null,
    producer: [model.producerName, model.producerVersion].filter(Boolean).join(' '),
    inputs: fed.map((input) => specOf(input, 'input', name)),
    outputs: graph.output.map((output) => specOf(output, 'output', name)),
    nodes,
    initializers: graph.initializer.length + (graph.sparseInitializer?.length ?? 0),
    parameters: floatElements(graph, name),
    operators: Object.fromEntries([...counts].sort(([a], [b]) => byCodeUnit(a, b))),
    onPath: operatorsOnPath(graph, name),
  };
}

/**
 * The files beside a model that its tensors lie in, by location, so that a registration can tell whether they are
 * all there. Errors: `invalid_graph` naming the tensor for a location that leads out of the folder, and an offset
 * or length that is none.
 */
export function graphFiles(model: ModelProto, name = 'model'): GraphFile[] {
  const files = new Map<string, number>();
  for (const { tensor, place } of tensorsOf(model)) {
    if (tensor.dataLocation !== EXTERNAL) continue;
    const where = `${name}: ${place}`;
    const { location, offset, length = tensorInfo(tensor, where).byteLength } = externalReference(tensor, where);
    files.set(location, Math.max(files.get(location) ?? 0, offset + length));
  }
  return [...files]
    .map(([location, bytes]) => ({ location, bytes }))
    .sort((a, b) => byCodeUnit(a.location, b.location));
}

function* nodesOf(graph: GraphProto): Generator<NodeProto> {
  for (const node of graph.node) {
    yield node;
    for (const body of bodiesOf(node)) yield* nodesOf(body);
  }
}

function floatElements(graph: GraphProto, name: string): number {
  let elements = 0;
  for (const tensor of graph.initializer) {
    if (isStringTensor(tensor)) continue;
    const info = tensorInfo(tensor, `${name}: initializers`);
    if (isFloatDtype(info.dtype)) elements += info.elements;
  }
  return elements;
}

function specOf(info: ValueInfoProto, what: 'input' | 'output', model: string): ValueSpec {
  const { name = '', type } = info;
  const where = `${model}: the ${what} ${quote(name)}`;
  const tensor = type?.tensorType;
  if (tensor === undefined) {
    const kind = type === undefined ? undefined : OTHER_TYPES.find(([key]) => type[key] !== undefined);
    if (kind === undefined) throw new AmalgamError('invalid_graph', `${where} has no type`);
    throw new AmalgamError('unsupported_graph', `${where} is ${kind[1]}; only tensors can be fed and read`);
  }
  const dtype = dtypeOfCode(tensor.elemType);
  if (isStringTensor({ dims: [], dataType: tensor.elemType })) {
    throw new AmalgamError('unsupported_graph', `${where} holds strings, not numbers`);
  }
  if (dtype === undefined) {
    throw new AmalgamError(
      'invalid_graph',
      `${where} has no dtype that the format knows (${tensor.elemType ?? 'none'})`,
    );
  }
  return { name, dtype, shape: tensor.shape?.dim.map(sizeOf) ?? null };
}

const OTHER_TYPES = [
  ['sequenceType', 'a sequence'],
  ['mapType', 'a map'],
  ['optionalType', 'an optional value'],
  ['sparseTensorType', 'a sparse tensor'],
  ['opaqueType', 'of an opaque type'],
] as const;

/** Some exporters write -1 for a free dimension. */
function sizeOf({ dimValue, dimParam }: Dimension): number | string | null {
  if (dimValue !== undefined) return dimValue >= 0 ? dimValue : null;
  return dimParam === undefined || dimParam === '' ? null : dimParam;
}
