import { domainOf, type Graph, type NodeProto, readsOf } from '@amalgam/onnx';
import { CONSTANT_ALMOST_EVERYWHERE } from './table.js';
import { isDifferentiable } from './types.js';
import type { Values } from './values.js';

/** What lies between some values and the loss. */
export interface Path {
  /** Nodes through which gradients pass, in topological order. */
  nodes: NodeProto[];
  /** Values on the way, both ends included, that a gradient is needed of. */
  values: ReadonlySet<string>;
}

/**
 * Values that depend on `wrt` by way of floats and that the loss depends on likewise. Integers, booleans and steps
 * end a way: their gradient is nothing or zero. A value of unknown type is taken to be on it.
 */
export function findPath(values: Values, wrt: Iterable<string>, loss: string, stopped: ReadonlySet<string>): Path {
  const { graph } = values;
  const reached = new Set(wrt);
  const after: NodeProto[] = [];
  for (const node of graph.nodes()) {
    if (isStep(node) || !readsOf(node).some((value) => reached.has(value))) continue;
    after.push(node);
    for (const value of node.output) {
      const type = values.known(value);
      const ends = stopped.has(value) || (type !== undefined && !isDifferentiable(type));
      if (value !== '' && !ends) reached.add(value);
    }
  }
  const needed = new Set(reached.has(loss) ? [loss] : []);
  const nodes: NodeProto[] = [];
  for (const node of after.reverse()) {
    if (!node.output.some((value) => needed.has(value))) continue;
    nodes.push(node);
    for (const value of readsOf(node)) if (reached.has(value)) needed.add(value);
  }
  return { nodes: nodes.reverse(), values: needed };
}

function isStep(node: NodeProto): boolean {
  return domainOf(node) === '' && CONSTANT_ALMOST_EVERYWHERE.has(node.opType ?? '');
}

/** Whether a name is a value of the graph. */
export function isValue(graph: Graph, value: string): boolean {
  return value !== '' && graph.isDefined(value);
}
