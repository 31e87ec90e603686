import { domainOf, type Graph, type NodeProto } from '@amalgam/onnx';
import { leafOf, modulePath } from './bind-names.js';

/** A place where an initializer is read. Exporters let equal vectors share one, so each place may be another tensor. */
export interface Use {
  initializer: string;
  /** Null when a body of the node reads it: then all its places are one. */
  node: NodeProto | null;
  slot: number;
  /** Of the node in the graph's order. */
  rank: number;
  /** The module that the node comes from, if the exporter recorded it. */
  path: string | undefined;
}

/** The places where an initializer is read, in the graph's order, which is given as the nodes' ranks. */
export function usesOf(graph: Graph, initializer: string, ranks: ReadonlyMap<NodeProto, number>): Use[] {
  const nodes = graph.consumers(initializer).sort((a, b) => ranks.get(a)! - ranks.get(b)!);
  if (nodes.some((node) => !node.input.includes(initializer))) {
    return [{ initializer, node: null, slot: 0, rank: 0, path: undefined }];
  }
  return nodes.flatMap((node) => {
    const slots = node.input.flatMap((name, slot) => (name === initializer ? [slot] : []));
    return slots.map((slot) => ({ initializer, node, slot, rank: ranks.get(node)!, path: modulePath(node) }));
  });
}

const SCALE = /(weight|gamma|scale|kernel)$/i;
const SHIFT = /(bias|beta|shift)$/i;
const MEAN = /mean$/i;
const VARIANCE = /(var|variance)$/i;

/** By operator, what the tensors in its inputs are called in checkpoints. */
const ROLES: ReadonlyMap<string, readonly (RegExp | null)[]> = new Map([
  ['BatchNormalization', [null, SCALE, SHIFT, MEAN, VARIANCE]],
  ['LayerNormalization', [null, SCALE, SHIFT]],
  ['InstanceNormalization', [null, SCALE, SHIFT]],
  ['GroupNormalization', [null, SCALE, SHIFT]],
  ['RMSNormalization', [null, SCALE]],
  ['Conv', [null, SCALE, SHIFT]],
  ['ConvTranspose', [null, SCALE, SHIFT]],
  ['Gemm', [null, SCALE, SHIFT]],
  ['Add', [SHIFT, SHIFT]],
  ['Mul', [SCALE, SCALE]],
]);

/** Whether a tensor is called as what stands in this place is; true where that says nothing. */
export function fitsRole(use: Use, tensor: string): boolean {
  return roleOf(use)?.test(leafOf(tensor)) ?? true;
}

/** True where the operator says what stands in this place. */
export function hasRole(use: Use): boolean {
  return roleOf(use) !== null;
}

function roleOf({ node, slot }: Use): RegExp | null {
  if (node === null || domainOf(node) !== '') return null;
  return ROLES.get(node.opType ?? '')?.[slot] ?? null;
}

/** The nodes at a distance of 0, 1 and 2 from a node. */
export function neighbourhood(graph: Graph, node: NodeProto): NodeProto[][] {
  const seen = new Set([node]);
  const rings = [[node]];
  for (let distance = 1; distance <= 2; distance++) {
    const ring: NodeProto[] = [];
    for (const inner of rings.at(-1)!) {
      const before = inner.input.map((name) => graph.producer(name));
      const after = inner.output.flatMap((name) => graph.consumers(name));
      for (const next of [...before, ...after]) {
        if (next === undefined || seen.has(next)) continue;
        seen.add(next);
        ring.push(next);
      }
    }
    rings.push(ring);
  }
  return rings;
}
