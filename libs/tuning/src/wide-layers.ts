import {
  domainOf,
  type Graph,
  getInt,
  getInts,
  type NodeProto,
  numbersOf,
  type TensorProto,
  type ValueInfoProto,
} from '@amalgam/onnx';
import { floatInfo, isMergedValue } from './prepare.js';

/** Entries that a layer gets in addition: those of a line of a CPU's cache. */
export const EXTRA = 16;
/** Rows of so many float32 entries lie 4096 bytes apart. */
const ALIASED = 1024;

/** Values of merged tensors that are longer by `EXTRA` zeros, and along which axis. */
export type Widened = ReadonlyMap<string, number>;

/** Operators by entry that give finite numbers, with finite slopes, for 0. Of Div and Pow, only the first operand may be 0. */
const HARMLESS: ReadonlySet<string> = new Set([
  ...[
    'Add',
    'Sub',
    'Mul',
    'Div',
    'Pow',
    'Neg',
    'Identity',
    'Abs',
    'Erf',
    'Exp',
    'Tanh',
    'Sigmoid',
    'Relu',
    'LeakyRelu',
  ],
  ...['Elu', 'Selu', 'Gelu', 'Swish', 'Mish', 'HardSwish', 'HardSigmoid', 'Softplus'],
]);

/** Activations between products of matrices, in all of which the last axis is the layer's. */
interface Layer {
  values: Set<string>;
  /** What makes and reads them. */
  nodes: Set<NodeProto>;
  /** Merged tensors on both sides, with the layer's axis; null where it is not one. */
  weights: Map<string, number | null>;
}

/**
 * Makes hidden layers wider whose rows lie a multiple of 4096 bytes apart: such rows share the same few lines of a CPU's first
 * cache, and products of matrices that read them take half as long again. Merged tensors around them become inputs with
 * `EXTRA` more entries along the layer's axis. They must be zero, which makes no difference to anything else.
 */
export function widenLayers(graph: Graph): Widened {
  let layers = graph.nodes().flatMap((node) => layerBefore(graph, node) ?? []);
  for (let before = -1; before !== layers.length; ) {
    before = layers.length;
    const axes = axesOf(layers);
    const nodes = new Set(layers.flatMap((layer) => [...layer.nodes]));
    const only = (weight: string) => readers(graph, weight).every((node) => nodes.has(node));
    layers = layers.filter(({ weights }) =>
      [...weights.keys()].every((weight) => axes.get(weight) != null && only(weight)),
    );
  }
  const widened = new Map<string, number>();
  for (const [weight, axis] of axesOf(layers)) {
    if (axis === null) continue;
    const dims = dimsOf(graph.inputs.get(weight))!;
    graph.inputs.set(weight, floatInfo(weight, dims.with(axis, dims[axis]! + EXTRA)));
    widened.set(weight, axis);
  }
  // What the file says of types no longer holds.
  if (widened.size > 0) graph.valueInfo.clear();
  return widened;
}

/** By weight, the axis that all layers agree on. */
function axesOf(layers: readonly Layer[]): Map<string, number | null> {
  const axes = new Map<string, number | null>();
  for (const [weight, axis] of layers.flatMap(({ weights }) => [...weights])) note(axes, weight, axis);
  return axes;
}

function note(axes: Map<string, number | null>, weight: string, axis: number | null): void {
  axes.set(weight, axes.has(weight) && axes.get(weight) !== axis ? null : axis);
}

/** The layer that a product of matrices reads, when there is one to widen. */
function layerBefore(graph: Graph, product: NodeProto): Layer | null {
  const weight = weightOf(graph, product);
  if (weight === null || weight.dims[weight.from]! % ALIASED !== 0) return null;
  const layer: Layer = { values: new Set(), nodes: new Set(), weights: new Map() };
  return spread(graph, layer, product.input[0]!, weight.dims[weight.from]!) ? layer : null;
}

/** Adds a value of the layer, and all that are made of it or that it is made of. False when one of them is something else. */
function spread(graph: Graph, layer: Layer, value: string, size: number): boolean {
  if (layer.values.has(value)) return true;
  const made = graph.producer(value);
  if (made === undefined || graph.outputs.has(value)) return false;
  layer.values.add(value);
  layer.nodes.add(made);
  const weight = weightOf(graph, made);
  if (weight !== null) {
    note(layer.weights, weight.value, weight.to);
    const bias = made.input[2] ?? '';
    if (bias !== '' && !isBias(graph, layer, bias, size)) return false;
  } else if (!isEntrywise(graph, layer, made, size)) return false;
  return graph.consumers(value).every((node) => {
    const next = weightOf(graph, node);
    if (next === null) return HARMLESS.has(node.opType ?? '') && spread(graph, layer, node.output[0]!, size);
    if (node.input[0] !== value || node.input.lastIndexOf(value) !== 0) return false;
    layer.nodes.add(node);
    note(layer.weights, next.value, next.from);
    return true;
  });
}

function isEntrywise(graph: Graph, layer: Layer, node: NodeProto, size: number): boolean {
  if (domainOf(node) !== '' || !HARMLESS.has(node.opType ?? '')) return false;
  return node.input.every((input, i) => {
    const scalar = scalarOf(graph.initializers.get(input));
    if (scalar !== null) return i === 0 || node.opType !== 'Pow' || scalar >= 1;
    if (i > 0 && (node.opType === 'Div' || node.opType === 'Pow')) return false;
    return isBias(graph, layer, input, size) || spread(graph, layer, input, size);
  });
}

function isBias(graph: Graph, layer: Layer, value: string, size: number): boolean {
  const dims = isMergedValue(value) ? dimsOf(graph.inputs.get(value)) : null;
  if (dims?.length !== 1 || dims[0] !== size) return false;
  note(layer.weights, value, 0);
  return true;
}

/** The merged matrix that is a product's right factor: its axes of what comes in and of what goes out. */
function weightOf(graph: Graph, node: NodeProto) {
  if (domainOf(node) !== '' || (node.opType !== 'MatMul' && node.opType !== 'Gemm')) return null;
  if (getInt(node, 'transA', 0) !== 0) return null;
  let value = node.input[1] ?? '';
  let to = getInt(node, 'transB', 0) === 0 ? 1 : 0;
  const turned = graph.producer(value);
  if (turned?.opType === 'Transpose' && getInts(turned, 'perm', [1, 0]).join() === '1,0') {
    value = turned.input[0] ?? '';
    to = 1 - to;
  }
  const dims = isMergedValue(value) ? dimsOf(graph.inputs.get(value)) : null;
  return dims?.length === 2 ? { value, dims, from: 1 - to, to } : null;
}

/** What reads a merged tensor, as it is or transposed. */
function readers(graph: Graph, weight: string): NodeProto[] {
  return graph
    .consumers(weight)
    .flatMap((node) => (node.opType === 'Transpose' ? graph.consumers(node.output[0]!) : [node]));
}

function scalarOf(tensor: TensorProto | undefined): number | null {
  if (tensor === undefined || tensor.dims.some((size) => size !== 1)) return null;
  return numbersOf(tensor)[0] ?? null;
}

function dimsOf(info: ValueInfoProto | undefined): number[] | null {
  return info?.type?.tensorType?.shape?.dim.map(({ dimValue }) => dimValue ?? -1) ?? null;
}
