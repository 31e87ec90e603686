import { AmalgamError, quote } from '@amalgam/contracts';
import { modelOf } from './convert.js';
import type { Graph } from './graph.js';
import type { ModelProto, ValueInfoProto } from './model.js';

/** What onnxruntime says of an output (`session.outputMetadata`); the part that is used here. */
export interface ValueMetadata {
  name: string;
  isTensor: boolean;
  /** Such as `float32`. */
  type?: string;
  /** Names stand for dimensions that the runtime could not resolve. */
  shape?: readonly (number | string)[];
}

export interface KnownType {
  /** As the runtime names it. */
  type: string;
  dims: readonly number[];
}

/**
 * A model that makes the runtime say what shape every value has: each value that a node of the main graph
 * makes is an output without a type, so that the runtime infers it, and the inputs have fixed shapes. Load it
 * with optimisation level `basic`, which folds shape computations, and hand its outputs' metadata to
 * `shapesFrom`. The batch is a setting, so every dimension is to be given.
 *
 * Errors: `invalid_graph` when an input has no shape here and its own is not fixed, or contradicts the one given.
 */
export function probeModel(graph: Graph, inputShapes: Readonly<Record<string, readonly number[]>>): ModelProto {
  const model = modelOf(graph);
  const outputs = new Set(graph.outputs.keys());
  for (const node of graph.nodes()) for (const value of node.output) if (value !== '') outputs.add(value);
  const input = model.graph!.input.map((info) =>
    graph.initializers.has(info.name ?? '') ? info : fixed(graph, info, inputShapes[info.name ?? '']),
  );
  for (const name of Object.keys(inputShapes)) {
    if (!graph.inputs.has(name)) throw refuse(graph, `there is no input ${quote(name)}`);
  }
  return {
    ...model,
    // What exporters state of intermediate values may be for another batch.
    graph: { ...model.graph!, input, output: [...outputs].map((name) => ({ name })), valueInfo: [] },
  };
}

/**
 * The type of every value, from the metadata of the probe's outputs, and of the graph's inputs as they were
 * fixed. Errors: `unsupported_graph` naming the first value of which a dimension stays open.
 */
export function shapesFrom(graph: Graph, outputs: readonly ValueMetadata[]): Map<string, KnownType> {
  const known = new Map<string, KnownType>();
  for (const { name, isTensor, type, shape } of outputs) {
    if (!isTensor || type === undefined || shape === undefined) continue;
    const open = shape.find((dim) => typeof dim !== 'number' || dim < 0);
    if (open !== undefined) {
      throw new AmalgamError(
        'unsupported_graph',
        `${graph.name}: the shape of ${quote(name)} depends on the data: [${shape.join(', ')}]`,
      );
    }
    known.set(name, { type, dims: shape as readonly number[] });
  }
  return known;
}

function fixed(graph: Graph, info: ValueInfoProto, dims: readonly number[] | undefined): ValueInfoProto {
  const tensor = info.type?.tensorType;
  const name = quote(info.name ?? '');
  if (tensor === undefined) throw refuse(graph, `the input ${name} is not a tensor`);
  const own = tensor.shape?.dim.map(({ dimValue }) => dimValue);
  const shape = dims ?? (own?.every((dim) => dim !== undefined) ? (own as number[]) : undefined);
  if (shape === undefined) throw refuse(graph, `the shape of the input ${name} is open and was not given`);
  const differs =
    own !== undefined &&
    (own.length !== shape.length || own.some((dim, i) => dim !== undefined && dim >= 0 && dim !== shape[i]));
  if (differs) {
    throw refuse(graph, `the input ${name} has shape [${own.map((dim) => dim ?? '?')}], not [${shape.join(', ')}]`);
  }
  const dim = shape.map((dimValue) => ({ dimValue }));
  return { ...info, type: { ...info.type, tensorType: { ...tensor, shape: { dim } } } };
}

function refuse(graph: Graph, rule: string): AmalgamError {
  return new AmalgamError('invalid_graph', `${graph.name}: ${rule}`);
}
