import { AmalgamError, quote } from '@amalgam/contracts';
import { Graph } from './graph.js';
import type { NodeProto, ValueInfoProto } from './model.js';
import { readsOf } from './nested.js';

/** The nodes that values depend on. Values in `stops` are taken as given. */
export function ancestors(
  graph: Graph,
  values: Iterable<string>,
  stops: ReadonlySet<string> = new Set(),
): Set<NodeProto> {
  const found = new Set<NodeProto>();
  const open = [...values];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    const node = stops.has(value) ? undefined : graph.producer(value);
    if (node === undefined || found.has(node)) continue;
    found.add(node);
    open.push(...readsOf(node));
  }
  return found;
}

/** The nodes that depend on values. */
export function descendants(graph: Graph, values: Iterable<string>): Set<NodeProto> {
  const found = new Set<NodeProto>();
  const open = [...values];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    for (const node of graph.consumers(value)) {
      if (found.has(node)) continue;
      found.add(node);
      open.push(...node.output.filter((name) => name !== ''));
    }
  }
  return found;
}

/** The nodes on a path from some of the values to some of the others, in topological order. */
export function between(graph: Graph, from: Iterable<string>, to: Iterable<string>): NodeProto[] {
  const after = descendants(graph, from);
  const before = ancestors(graph, to);
  return graph.nodes().filter((node) => after.has(node) && before.has(node));
}

/**
 * Removes the nodes that no output depends on, and the initializers that nothing reads then, unless they are
 * inputs' defaults. Returns how many of both.
 */
export function removeDead(graph: Graph): { nodes: number; initializers: number } {
  const alive = ancestors(graph, graph.outputs.keys());
  const dead = graph.nodes().filter((node) => !alive.has(node));
  // From the end, so that a node goes after its readers.
  for (const node of dead.reverse()) graph.removeNode(node);
  const unread = [...graph.initializers.keys()].filter((name) => !graph.isUsed(name) && !graph.inputs.has(name));
  for (const name of unread) graph.removeInitializer(name);
  return { nodes: dead.length, initializers: unread.length };
}

/**
 * A graph of its own with what lies between some values and some others: the inputs become the graph's inputs
 * (also those that were computed, or weights), what they need goes. Nodes are copied, tensors shared. An input
 * given by name has the type that the file states, if any; give a `ValueInfoProto` where the runtime must know
 * more.
 *
 * Errors: `invalid_graph` when an output is not there, or needs an input of the graph that is not among `inputs`.
 */
export function extract(graph: Graph, inputs: readonly (string | ValueInfoProto)[], outputs: readonly string[]): Graph {
  const part = new Graph(graph.name, graph.shell);
  for (const [domain, version] of graph.opsets) part.setOpset(domain, version);
  for (const input of inputs) {
    const known = typeof input === 'string' ? { ...graph.typeOf(input), name: input } : input;
    need(graph, known.name ?? '', 'input');
    part.addInput(known);
  }
  for (const output of outputs) need(graph, output, 'output');

  const kept = ancestors(graph, outputs, new Set(part.inputs.keys()));
  const sparse = new Set(graph.shell.graph.sparseInitializer?.map(({ values }) => values?.name ?? ''));
  for (const value of new Set([...outputs, ...[...kept].flatMap(readsOf)])) {
    const tensor = graph.initializers.get(value);
    if (part.inputs.has(value)) continue;
    if (tensor !== undefined) part.setInitializer(tensor);
    else if (graph.producer(value) === undefined && !sparse.has(value)) {
      throw new AmalgamError(
        'invalid_graph',
        `${graph.name}: ${quote(outputs.join(', '))} cannot be cut out: it needs ${quote(value)}, which is not among the inputs`,
      );
    }
  }
  for (const node of graph.nodes()) {
    if (!kept.has(node)) continue;
    part.insertNode(copyWithout(node, part));
    for (const name of node.output) {
      const info = graph.valueInfo.get(name);
      if (info !== undefined) part.valueInfo.set(name, info);
    }
  }
  for (const output of outputs) part.addOutput({ ...graph.typeOf(output), name: output });
  return part;
}

/** A node may make two values of which one is cut: that output is left out here. */
function copyWithout(node: NodeProto, part: Graph): NodeProto {
  return {
    ...node,
    input: [...node.input],
    output: node.output.map((name) => (part.inputs.has(name) ? part.freshName(`${name}_cut`) : name)),
    attribute: [...node.attribute],
  };
}

function need(graph: Graph, value: string, what: string): void {
  if (graph.isDefined(value)) return;
  throw new AmalgamError('invalid_graph', `${graph.name}: the ${what} ${quote(value)} is not a value of the graph`);
}
