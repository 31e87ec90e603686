import { AmalgamError, quote } from '@amalgam/contracts';
import { encode } from './encode.js';
import { Graph } from './graph.js';
import type { FunctionProto, ModelProto, NodeProto, TensorProto, ValueInfoProto } from './model.js';
import { renameAll } from './nested.js';
import { FUNCTION } from './onnx-schema.js';
import { sameTensor } from './same-tensor.js';

export interface MergePart {
  graph: Graph;
  /** Put before the names of this graph's values and nodes, such as `digits/`. Different for each part. */
  prefix: string;
}

export interface MergedGraphs {
  graph: Graph;
  /** For each part in turn: the new name of each of its inputs, outputs and initializers. */
  names: Map<string, string>[];
  /** Initializers that several parts have with the same contents, kept once under their own name. */
  shared: string[];
}

/**
 * Several graphs as one. Values and nodes get their part's prefix; an initializer that at least two parts have
 * under the same name with the same dtype, shape and bytes is there once and keeps its name, as do inputs that
 * are named in `sharedInputs` (every part that has them reads the same). Symbolic dimensions are prefixed too.
 * Metadata and doc strings come from the first part.
 *
 * Errors: `unsupported_graph` when parts use a domain's operators in different versions, define a function
 * differently, or have sparse initializers; `invalid_graph` for clashing names and shared inputs of other types.
 */
export async function mergeGraphs(
  parts: readonly MergePart[],
  name = 'merged',
  sharedInputs: readonly string[] = [],
): Promise<MergedGraphs> {
  const [first] = parts;
  if (first === undefined) throw new AmalgamError('invalid_graph', `${name}: there is no graph to merge`);
  const functions = mergeFunctions(parts, name);
  const model: Omit<ModelProto, 'graph'> = {
    ...first.graph.shell.model,
    irVersion: Math.max(...parts.map(({ graph }) => graph.shell.model.irVersion ?? 0)),
  };
  if (functions.length > 0) model.functions = functions;
  const { quantizationAnnotation: _, ...shell } = first.graph.shell.graph;
  const merged = new Graph(name, { model, graph: shell });

  const shared = await sharedInitializers(parts);
  const common = new Set([...shared.keys(), ...sharedInputs]);
  const names: Map<string, string>[] = [];
  for (const { graph, prefix } of parts) {
    refuseSparse(graph);
    mergeOpsets(merged, graph);
    const keeps = (value: string) =>
      sharedInputs.includes(value) || (shared.has(value) && shared.get(value)!.has(graph));
    const rename = (value: string) => (value === '' || keeps(value) ? value : `${prefix}${value}`);
    names.push(addPart(merged, graph, rename, prefix, common));
  }
  return { graph: merged, names, shared: [...shared.keys()] };
}

function addPart(
  merged: Graph,
  graph: Graph,
  rename: (value: string) => string,
  prefix: string,
  common: ReadonlySet<string>,
): Map<string, string> {
  const typed = (info: ValueInfoProto): ValueInfoProto => prefixed(info, rename(info.name ?? ''), prefix);
  for (const info of graph.inputs.values()) {
    const value = rename(info.name ?? '');
    if (!(common.has(value) && merged.inputs.has(value))) merged.addInput(common.has(value) ? info : typed(info));
    else checkSameInput(merged, info);
  }
  for (const tensor of graph.initializers.values()) {
    const value = rename(tensor.name ?? '');
    if (common.has(value) && merged.initializers.has(value)) continue;
    if (merged.initializers.has(value)) throw clash(merged, value);
    merged.setInitializer({ ...tensor, name: value });
  }
  for (const node of graph.nodes()) merged.insertNode(renamed(node, rename, prefix));
  for (const info of graph.valueInfo.values()) merged.valueInfo.set(rename(info.name ?? ''), typed(info));
  for (const info of graph.outputs.values()) merged.addOutput(typed(info));
  const ends = [...graph.inputs.keys(), ...graph.outputs.keys(), ...graph.initializers.keys()];
  return new Map(ends.map((value) => [value, rename(value)]));
}

function renamed(node: NodeProto, rename: (value: string) => string, prefix: string): NodeProto {
  return {
    ...node,
    ...(node.name && { name: `${prefix}${node.name}` }),
    input: node.input.map(rename),
    output: node.output.map(rename),
    attribute: renameAll(node, rename),
  };
}

function prefixed(info: ValueInfoProto, name: string, prefix: string): ValueInfoProto {
  const shape = info.type?.tensorType?.shape;
  if (shape === undefined) return { ...info, name };
  // "batch" of one task is not "batch" of another.
  const dim = shape.dim.map((d) => (d.dimParam ? { ...d, dimParam: `${prefix}${d.dimParam}` } : d));
  return { ...info, name, type: { ...info.type, tensorType: { ...info.type!.tensorType, shape: { ...shape, dim } } } };
}

/** Per shared name, the graphs whose tensor is the shared one. */
async function sharedInitializers(parts: readonly MergePart[]): Promise<Map<string, Set<Graph>>> {
  const shared = new Map<string, Set<Graph>>();
  const seen = new Map<string, { tensor: TensorProto; graph: Graph }>();
  for (const { graph } of parts) {
    for (const [name, tensor] of graph.initializers) {
      const before = seen.get(name);
      if (before === undefined) seen.set(name, { tensor, graph });
      else if (await sameTensor(before.tensor, tensor)) {
        const graphs = shared.get(name) ?? new Set([before.graph]);
        shared.set(name, graphs.add(graph));
      }
    }
  }
  return shared;
}

function mergeOpsets(merged: Graph, graph: Graph): void {
  for (const [domain, version] of graph.opsets) {
    const known = merged.opset(domain);
    if (known !== undefined && known !== version) {
      throw new AmalgamError(
        'unsupported_graph',
        `${graph.name}: has opset ${version} of ${quote(domain || 'ai.onnx')}, another graph of the merge has ${known}; export all with the same opset`,
      );
    }
    merged.setOpset(domain, version);
  }
}

function mergeFunctions(parts: readonly MergePart[], name: string): FunctionProto[] {
  const known = new Map<string, { made: FunctionProto; bytes: Buffer }>();
  for (const { graph } of parts) {
    for (const made of graph.shell.model.functions ?? []) {
      const key = JSON.stringify([made.domain ?? '', made.name ?? '', made.overload ?? '']);
      const bytes = Buffer.concat(encode(FUNCTION, made).pieces);
      const before = known.get(key);
      if (before !== undefined && !before.bytes.equals(bytes)) {
        throw new AmalgamError('unsupported_graph', `${name}: two graphs define the function ${key} differently`);
      }
      known.set(key, { made, bytes });
    }
  }
  return [...known.values()].map(({ made }) => made);
}

function checkSameInput(merged: Graph, info: ValueInfoProto): void {
  const [one, other] = [merged.inputs.get(info.name ?? ''), info].map((input) => {
    const tensor = input?.type?.tensorType;
    return JSON.stringify([tensor?.elemType, tensor?.shape?.dim.map((d) => d.dimValue ?? '?')]);
  });
  if (one === other) return;
  throw new AmalgamError('invalid_graph', `${merged.name}: the shared input ${quote(info.name ?? '')} differs in type`);
}

function clash(merged: Graph, value: string): AmalgamError {
  return new AmalgamError('invalid_graph', `${merged.name}: with its prefix, ${quote(value)} is there twice`);
}

function refuseSparse(graph: Graph): void {
  const sparse = graph.shell.graph.sparseInitializer?.[0];
  if (sparse === undefined) return;
  const name = quote(sparse.values?.name ?? '');
  throw new AmalgamError('unsupported_graph', `${graph.name}: the sparse initializer ${name} cannot be merged`);
}
