import {
  constantsToInitializers,
  domainOf,
  type Graph,
  graphOf,
  isStringTensor,
  modelOf,
  type NodeProto,
  type TensorProto,
  tensorInfo,
} from '@amalgam/onnx';
import { type Contents, Digests, type Hit, isBindable, isUniform, matchContents } from './bind-contents.js';
import { refuseAmbiguous, requireMatched } from './bind-errors.js';
import { type Open, type Resolution, resolveUses } from './bind-resolve.js';
import { type Binding, bindingOf } from './bind-types.js';
import { type Use, usesOf } from './bind-uses.js';
import type { StoredCheckpoint } from './stored.js';
import { unfoldNorms } from './unfold.js';
import { restoreBiases } from './unfold-biases.js';

export interface Bound {
  /**
   * A copy of the graph given, in which folded batch normalizations are nodes again, biases of zeros that were left
   * out are there, and each initializer is one tensor: exporters let equal vectors share one. Constants are
   * initializers.
   */
  graph: Graph;
  bindings: Binding[];
  /** Initializers that are no tensor of the checkpoints: integers, single numbers, masks, small vectors. */
  constants: string[];
  /** Those of `merged` that no initializer is: they have no influence on this graph's outputs. */
  unused: string[];
}

/**
 * Finds out which tensor of the checkpoints each initializer is, by its contents, which are those of the base or of
 * the task's model; names decide between equal contents. `merged` are the tensors that the merge works on;
 * `known` is shared by the graphs of a job.
 *
 * Memory: a copy of the largest tensor or two at a time, beside what is unfolded.
 * Errors: `unbound_graph` naming the initializers that are no tensor although they should be, or may be several;
 * those of reading either.
 */
export async function bindGraph(
  graph: Graph,
  base: StoredCheckpoint,
  model: StoredCheckpoint,
  merged: ReadonlySet<string>,
  known: Digests = new Digests(),
): Promise<Bound> {
  const checkpoints = { base, model };
  const copy = graphOf(modelOf(graph), graph.name);
  constantsToInitializers(copy);
  identitiesToInitializers(copy);

  const contents = await matchContents(bindable(copy), checkpoints, known);
  const unfolded = await unfoldNorms(copy, contents, checkpoints);

  const open = await openInitializers(copy, contents, new Set(unfolded.map(({ initializer }) => initializer)));
  const done = new Map(unfolded.map(({ initializer, tensor }) => [initializer, tensor]));
  const resolution = resolveUses(copy, open, done, contents, merged);
  if (resolution.ambiguous.length > 0) throw refuseAmbiguous(copy, resolution.ambiguous);

  const bindings = [...unfolded, ...bindUses(copy, open, resolution)];
  bindings.push(...(await restoreBiases(copy, bindings, checkpoints)));
  const bound = new Set(bindings.map(({ initializer }) => initializer));
  await requireMatched(copy, bound, checkpoints);
  const tensors = new Set(bindings.map(({ tensor }) => tensor));
  return {
    graph: copy,
    bindings,
    constants: [...copy.initializers.keys()].filter((name) => !bound.has(name)),
    unused: [...merged].filter((tensor) => !tensors.has(tensor)),
  };
}

/** The TorchScript exporter writes a vector that equals another one as its Identity, under its own name. */
function identitiesToInitializers(graph: Graph): void {
  for (const node of graph.nodes()) {
    if (node.opType !== 'Identity' || domainOf(node) !== '') continue;
    const name = node.output[0] ?? '';
    const tensor = graph.initializers.get(node.input[0] ?? '');
    if (tensor !== undefined && name !== '' && !graph.outputs.has(name)) graph.constantFrom(node, { ...tensor, name });
  }
}

function bindable(graph: Graph): Map<string, TensorProto> {
  return new Map(
    [...graph.initializers].filter(([name, tensor]) => {
      if (isStringTensor(tensor)) return false;
      const { dtype, elements } = tensorInfo(tensor);
      return isBindable(dtype) && elements > 0 && graph.isUsed(name);
    }),
  );
}

async function openInitializers(
  graph: Graph,
  contents: Contents,
  done: ReadonlySet<string>,
): Promise<Map<string, Open>> {
  const ranks = new Map(graph.nodes().map((node, rank): [NodeProto, number] => [node, rank]));
  const open = new Map<string, Open>();
  for (const [name, tensor] of bindable(graph)) {
    const candidates = candidatesOf(tensor, contents.hits.get(name) ?? []);
    if (done.has(name) || candidates.size === 0) continue;
    const { elements } = tensorInfo(tensor);
    open.set(name, { uses: usesOf(graph, name, ranks), candidates, elements, uniform: await isUniform(tensor) });
  }
  return open;
}

/** One hit per tensor: as it is rather than transposed, of the same shape rather than of another, in the base rather than in the model. */
function candidatesOf({ dims }: TensorProto, hits: readonly Hit[]): Map<string, Hit> {
  const asIs = hits.filter(({ transposed }) => !transposed);
  const oriented = asIs.length > 0 ? asIs : hits;
  const shaped = oriented.filter(({ tensor: { shape }, transposed }) => {
    const sizes = transposed ? [...shape].reverse() : shape;
    return sizes.length === dims.length && sizes.every((size, i) => size === dims[i]);
  });
  const candidates = new Map<string, Hit>();
  for (const hit of shaped.length > 0 ? shaped : oriented) {
    if (!candidates.has(hit.tensor.name)) candidates.set(hit.tensor.name, hit);
  }
  return candidates;
}

/** The bindings of what was resolved; an initializer whose places are several tensors becomes several. */
function bindUses(graph: Graph, open: ReadonlyMap<string, Open>, { resolved }: Resolution): Binding[] {
  return [...open].flatMap(([name, { uses }]) => {
    const tensor = graph.initializers.get(name)!;
    const groups = new Map<string, Use[]>();
    for (const use of uses) {
      const key = resolved.get(use)?.hit.tensor.name ?? '';
      groups.set(key, [...(groups.get(key) ?? []), use]);
    }
    // The name stays with the tensor that has it.
    const keys = [...groups.keys()].sort((a, b) => Number(b === name) - Number(a === name));
    return keys.flatMap((key, i): Binding[] => {
      const members = groups.get(key)!;
      const initializer = i === 0 ? name : graph.setInitializer({ ...tensor, name: graph.freshName(key || name) });
      if (i > 0) for (const { node, slot } of members) graph.setInput(node!, slot, initializer);
      const found = resolved.get(members[0]!);
      return found === undefined ? [] : [bindingOf(initializer, tensor, found.hit, found.by)];
    });
  });
}
