import { AmalgamError } from '@amalgam/contracts';
import { describeNode } from './describe.js';
import type { NodeProto } from './model.js';

/**
 * The nodes so that each comes after those it reads from; nodes that are in such an order already keep it.
 * Values without a producer are taken as given. No recursion: graphs are tens of thousands of nodes deep.
 *
 * Errors: `invalid_graph` naming the nodes of a cycle.
 */
export function topological(
  nodes: Iterable<NodeProto>,
  reads: (node: NodeProto) => readonly string[],
  producer: (value: string) => NodeProto | undefined,
  name: string,
): NodeProto[] {
  const order: NodeProto[] = [];
  const state = new Map<NodeProto, 'open' | 'done'>();
  for (const root of nodes) {
    if (state.has(root)) continue;
    const path: { node: NodeProto; inputs: readonly string[]; next: number }[] = [];
    const enter = (node: NodeProto) => {
      state.set(node, 'open');
      path.push({ node, inputs: reads(node), next: 0 });
    };
    enter(root);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      if (top.next === top.inputs.length) {
        state.set(top.node, 'done');
        order.push(top.node);
        path.pop();
        continue;
      }
      const before = producer(top.inputs[top.next++]!);
      if (before === undefined || state.get(before) === 'done') continue;
      if (state.get(before) === 'open') {
        const at = path.findIndex(({ node }) => node === before);
        throw cycleError(
          path.slice(at).map(({ node }) => node),
          name,
        );
      }
      enter(before);
    }
  }
  return order;
}

/** `cycle`: each node reads from the next, the last from the first. */
function cycleError(cycle: readonly NodeProto[], name: string): AmalgamError {
  const shown = cycle.slice(0, 8).map(describeNode);
  const more = cycle.length > shown.length ? ` and ${cycle.length - shown.length} more` : '';
  return new AmalgamError(
    'invalid_graph',
    `${name}: the graph has a cycle, in which each needs the next: ${shown.join(', ')}${more}`,
  );
}
