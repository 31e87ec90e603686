import { domainOf, type Graph, type NodeProto } from '@amalgam/onnx';
import type { Builder } from './builder.js';
import type { Path } from './path.js';
import type { Options } from './rule.js';
import { siteOf } from './site.js';
import { LOWERINGS } from './table.js';

/** Replaces the path's composite operators by simpler ones. True when any was. */
export function lowerPath(b: Builder, path: Path, options: Options): boolean {
  let changed = false;
  for (const node of path.nodes) {
    const lower = domainOf(node) === '' ? LOWERINGS[node.opType ?? ''] : undefined;
    if (lower === undefined) continue;
    b.scope = node.name || (node.opType ?? '');
    const values = lower(siteOf(b, node, options));
    if (values === null) continue;
    replaceNode(b.graph, node, values);
    changed = true;
  }
  return changed;
}

/** Lets values take the places, and the names, of a node's outputs. */
export function replaceNode(graph: Graph, node: NodeProto, values: readonly string[]): void {
  const outputs = [...graph.outputs];
  const names = node.output.map((name) => ({ name, info: graph.valueInfo.get(name) }));
  graph.outputs.clear();
  for (const [i, { name }] of names.entries()) {
    const by = values[i];
    if (name !== '' && by !== undefined) graph.replaceUses(name, by);
  }
  graph.removeNode(node);
  for (const [i, { name, info }] of names.entries()) {
    const by = values[i];
    if (name === '' || by === undefined) continue;
    graph.rename(by, name);
    if (info !== undefined) graph.valueInfo.set(name, info);
  }
  for (const [name, info] of outputs) graph.outputs.set(name, info);
}
