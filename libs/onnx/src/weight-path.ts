import { getInt, hasAttribute } from './attributes.js';
import { domainOf, operatorOf } from './describe.js';
import { dtypeOfCode, isFloatDtype } from './dtypes.js';
import type { GraphProto, NodeProto } from './model.js';
import { readsOf } from './nested.js';
import { topological } from './order.js';

/**
 * The operators that lie between weights and an output, by output, in code unit order: what has to be differentiated where the weights are
 * learned. Weights are the floating-point initializers of two or more dimensions. A Cast to integers ends the way; nothing else is known
 * about types here, so that the list may hold an operator too many, and never one too few.
 *
 * Errors: `invalid_graph` naming the nodes of a cycle.
 */
export function operatorsOnPath(graph: GraphProto, name: string): Record<string, string[]> {
  const producers = new Map<string, NodeProto>();
  for (const node of graph.node) for (const output of node.output) producers.set(output, node);
  const order = topological(graph.node, readsOf, (value) => producers.get(value), name);

  const reached = new Set<string>();
  for (const { name: weight, dims, dataType } of graph.initializer) {
    const dtype = dtypeOfCode(dataType);
    if (weight !== undefined && dims.length >= 2 && dtype !== undefined && isFloatDtype(dtype)) reached.add(weight);
  }
  const onWay = new Set<NodeProto>();
  for (const node of order) {
    if (!readsOf(node).some((value) => reached.has(value))) continue;
    onWay.add(node);
    if (!castsAway(node)) for (const output of node.output) reached.add(output);
  }
  return Object.fromEntries(
    graph.output.map(({ name: output = '' }) => [output, operatorsBefore(output, onWay, reached, producers)]),
  );
}

function operatorsBefore(
  output: string,
  onWay: ReadonlySet<NodeProto>,
  reached: ReadonlySet<string>,
  producers: ReadonlyMap<string, NodeProto>,
): string[] {
  const seen = new Set<NodeProto>();
  const open = [output];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    const node = reached.has(value) ? producers.get(value) : undefined;
    if (node === undefined || seen.has(node) || !onWay.has(node)) continue;
    seen.add(node);
    open.push(...readsOf(node));
  }
  return [...new Set([...seen].map(operatorOf))].sort();
}

function castsAway(node: NodeProto): boolean {
  if (domainOf(node) !== '' || node.opType !== 'Cast' || !hasAttribute(node, 'to')) return false;
  const dtype = dtypeOfCode(getInt(node, 'to'));
  return dtype !== undefined && !isFloatDtype(dtype);
}
