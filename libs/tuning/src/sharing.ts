import { createHash } from 'node:crypto';
import { bodiesOf, domainOf, type Graph, loadTensor, type NodeProto } from '@amalgam/onnx';

/** What several graphs compute alike, told in the names of each. */
export interface Common {
  /** Values between the common part and the rest, by graph: the same place in each list is the same value. */
  frontiers: string[][];
}

/**
 * The part that graphs have in common from their inputs on: nodes with the same operator and attributes on the same values,
 * where inputs are the same by name and initializers by contents. Null when it is less than half of a graph: then sharing
 * is not worth its slices. Inputs and initializers themselves do not belong to it.
 */
export async function commonPart(graphs: readonly Graph[], outputs: readonly string[]): Promise<Common | null> {
  const keys = await Promise.all(graphs.map(numberValues));
  const shared = new Set(keys[0]!.values());
  for (const own of keys.slice(1)) {
    const known = new Set(own.values());
    for (const key of shared) if (!known.has(key)) shared.delete(key);
  }
  const isShared = (i: number, node: NodeProto) => node.output.some((value) => shared.has(keys[i]!.get(value) ?? ''));
  const enough = graphs.every((graph, i) => {
    const nodes = graph.nodes();
    return 2 * nodes.filter((node) => isShared(i, node)).length >= nodes.length;
  });
  if (!enough) return null;

  // By key, so that the lists agree. A graph that needs a value less than another leaves it unused.
  const wanted = new Set<string>();
  for (const [i, graph] of graphs.entries()) {
    const see = (value: string) => {
      const key = keys[i]!.get(value) ?? '';
      if (shared.has(key) && graph.producer(value) !== undefined) wanted.add(key);
      else if (graph.inputs.has(value)) wanted.add(key);
    };
    see(outputs[i]!);
    for (const node of graph.nodes()) if (!isShared(i, node)) for (const value of node.input) see(value);
  }
  const byKey = keys.map((own) => {
    const names = new Map<string, string>();
    for (const [value, key] of own) if (!names.has(key)) names.set(key, value);
    return names;
  });
  return { frontiers: byKey.map((names) => [...wanted].map((key) => names.get(key)!)) };
}

/** A key for every value: equal in two graphs when it is computed alike. `which`: another number for each graph. */
async function numberValues(graph: Graph, which: number): Promise<Map<string, string>> {
  const keys = new Map<string, string>();
  for (const name of graph.inputs.keys()) keys.set(name, `input ${name}`);
  for (const [name, tensor] of graph.initializers) {
    const { dtype, dims, bytes } = await loadTensor(tensor);
    keys.set(name, digest(`tensor ${dtype} ${dims.join()}`, bytes));
  }
  for (const [i, node] of graph.nodes().entries()) {
    // What a body reads has no place among the inputs; such nodes are nobody else's.
    const inputs =
      bodiesOf(node).length > 0 ? [`node ${i} of graph ${which}`] : node.input.map((value) => keys.get(value));
    const attributes = [...node.attribute].sort((a, b) => ((a.name ?? '') < (b.name ?? '') ? -1 : 1));
    const key = digest(JSON.stringify([domainOf(node), node.opType, inputs, attributes], plain));
    for (const [o, output] of node.output.entries()) if (output !== '') keys.set(output, `${key} ${o}`);
  }
  return keys;
}

function digest(text: string, bytes?: Uint8Array): string {
  const hash = createHash('sha256').update(text);
  if (bytes !== undefined) hash.update(bytes);
  return hash.digest('base64');
}

function plain(key: string, value: unknown): unknown {
  if (key === 'docString') return undefined;
  if (typeof value === 'bigint') return `${value}n`;
  return ArrayBuffer.isView(value) ? Array.from(value as Uint8Array) : value;
}
