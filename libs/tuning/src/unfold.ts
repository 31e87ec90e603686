import { AmalgamError, quoteList } from '@amalgam/contracts';
import { floatAttribute, type Graph, getInt, type NodeProto, rawTensor, tensorInfo } from '@amalgam/onnx';
import { type Contents, initializerValues, type Origin, storedValues, transpose } from './bind-contents.js';
import { describe, UNFOLDED_EXPORT } from './bind-errors.js';
import { moduleOf, modulePath, renaming } from './bind-names.js';
import { bytesAs } from './bind-round.js';
import { type Binding, bindingOf } from './bind-types.js';
import type { StoredCheckpoint, StoredTensor } from './stored.js';
import { channelFactors, epsilonOf, type Norm } from './unfold-fit.js';
import { biasOf, type Layout, layoutOf, outputChannels } from './unfold-layout.js';
import { pairing, readNorm, type StoredNorm, storedNorms } from './unfold-norms.js';

/** An operator whose weight is no tensor of the checkpoints: it may have a batch normalization in it. */
interface Folded {
  node: NodeProto;
  /** Names of the initializers. */
  weight: string;
  bias: string | null;
  values: Float32Array;
  biasValues: Float32Array | null;
  layout: Layout;
  dims: readonly number[];
}

/** What explains it. */
interface Origins {
  weight: StoredTensor;
  transposed: boolean;
  bias: StoredTensor | null;
  norm: StoredNorm;
  epsilon: number;
}

/**
 * Undoes what PyTorch's exporters do to batch normalizations: they multiply them into the convolution, transposed
 * convolution or linear layer before, which keeps its name. Where a weight and a batch normalization of one of the
 * checkpoints explain an initializer that is no tensor itself, the operator gets the weight back and a
 * BatchNormalization behind it. Returns the bindings of both. What nothing explains stays as it is.
 *
 * Float32 and float64 only: 16-bit weights are too coarse to tell by.
 * Errors: `unbound_graph` where several explain it and names do not decide.
 */
export async function unfoldNorms(
  graph: Graph,
  contents: Contents,
  checkpoints: Readonly<Record<Origin, StoredCheckpoint>>,
): Promise<Binding[]> {
  const search = new Search(graph, checkpoints);
  if (!search.hasNorms) return [];
  const bindings = new Map<string, Binding>();
  for (const node of graph.nodes()) {
    const folded = await foldedAt(graph, node, contents);
    const origins = folded === null ? null : await search.explain(folded);
    if (folded === null || origins === null) continue;
    for (const binding of await unfold(graph, folded, origins)) bindings.set(binding.initializer, binding);
  }
  return [...bindings.values()];
}

async function foldedAt(graph: Graph, node: NodeProto, contents: Contents): Promise<Folded | null> {
  const weight = node.input[1] ?? '';
  const tensor = graph.initializers.get(weight);
  // Those that were put in for another node have no entry.
  if (tensor === undefined || contents.hits.get(weight)?.length !== 0) return null;
  const { dtype, dims } = tensorInfo(tensor);
  const layout = layoutOf(node, dims);
  if (layout === null || (dtype !== 'F32' && dtype !== 'F64')) return null;
  const bias = node.input[2] || null;
  const biasTensor = bias === null ? undefined : graph.initializers.get(bias);
  if (bias !== null && biasTensor === undefined) return null;
  const biasValues = biasTensor === undefined ? null : await initializerValues(biasTensor);
  if (biasValues !== null && biasValues.length !== outputChannels(layout)) return null;
  return { node, weight, bias, values: await initializerValues(tensor), biasValues, layout, dims };
}

class Search {
  readonly #graph: Graph;
  readonly #checkpoints: Readonly<Record<Origin, StoredCheckpoint>>;
  readonly #norms: Readonly<Record<Origin, StoredNorm[]>>;
  readonly #read = new Map<StoredNorm, Norm>();
  /** Modules that explain a node already. */
  readonly #used = new Set<string>();

  constructor(graph: Graph, checkpoints: Readonly<Record<Origin, StoredCheckpoint>>) {
    this.#graph = graph;
    this.#checkpoints = checkpoints;
    this.#norms = { base: storedNorms(checkpoints.base, 'base'), model: storedNorms(checkpoints.model, 'model') };
  }

  get hasNorms(): boolean {
    return this.#norms.base.length + this.#norms.model.length > 0;
  }

  async explain(folded: Folded): Promise<Origins | null> {
    for (const from of ['base', 'model'] as const) {
      // By name first: there may be many of one shape, and each must be read.
      const { named, others } = this.#weightsFor(folded, from);
      for (const weights of [named, others]) {
        const found: Origins[] = [];
        for (const weight of weights) found.push(...(await this.#explainWith(folded, weight, from)));
        if (found.length > 0) return this.#choose(folded, found);
      }
    }
    return null;
  }

  #weightsFor(folded: Folded, from: Origin): { named: StoredTensor[]; others: StoredTensor[] } {
    const path = modulePath(folded.node);
    // Weights of zeros may share one initializer: a norm with scales of zero makes any weight that.
    const ownName = this.#graph.consumers(folded.weight).length === 1;
    const named: StoredTensor[] = [];
    const others: StoredTensor[] = [];
    for (const tensor of Object.values(this.#checkpoints[from].tensors)) {
      if (orientation(folded, tensor) === null) continue;
      const related =
        (ownName && renaming(folded.weight, tensor.name) !== undefined) ||
        (path && renaming(path, moduleOf(tensor.name)) !== undefined);
      (related ? named : others).push(tensor);
    }
    return { named, others };
  }

  async #explainWith(folded: Folded, weight: StoredTensor, from: Origin): Promise<Origins[]> {
    const transposed = orientation(folded, weight) === 'transposed';
    const factors = channelFactors(folded.values, await valuesOf(weight, transposed), folded.layout);
    if (factors === null) return [];
    const bias = biasOf(this.#checkpoints[from], weight.name, factors.length);
    const biasValues = bias === null ? null : await storedValues(bias);
    const found: Origins[] = [];
    for (const norm of this.#norms[from]) {
      if (norm.channels !== factors.length) continue;
      const known = this.#read.get(norm) ?? (await readNorm(norm));
      this.#read.set(norm, known);
      const epsilon = epsilonOf(known, factors, biasValues, folded.biasValues);
      if (epsilon !== null) found.push({ weight, transposed, bias, norm, epsilon });
    }
    return found;
  }

  /** By names, where the numbers leave several: norms as they were made are all equal. */
  #choose(folded: Folded, found: readonly Origins[]): Origins {
    const path = modulePath(folded.node);
    const weigh = ({ weight, norm }: Origins) => {
      const unused = this.#used.has(norm.module) ? 0 : 1;
      const placed = path !== undefined && path === norm.module ? 8 : 0;
      return placed + 2 * pairing(moduleOf(weight.name), norm.module, this.#norms[norm.from]) + unused;
    };
    const best = Math.max(...found.map(weigh));
    const chosen = found.filter((origins) => weigh(origins) === best);
    if (chosen.length > 1) throw this.#refuse(folded, chosen);
    this.#used.add(chosen[0]!.norm.module);
    return chosen[0]!;
  }

  #refuse({ weight, dims }: Folded, found: readonly Origins[]): AmalgamError {
    const pairs = found.map(({ weight: { name }, norm: { module } }) => `${name} with ${module}`);
    return new AmalgamError(
      'unbound_graph',
      `${this.#graph.name}: ${describe(this.#graph, weight, dims)} has a batch normalization folded into it, and more ` +
        `than one explains its numbers: ${quoteList(pairs)}; export with ${UNFOLDED_EXPORT}`,
    );
  }
}

function orientation({ node, dims }: Folded, { shape }: StoredTensor): 'as it is' | 'transposed' | null {
  const equal = (sizes: readonly number[]) =>
    sizes.length === dims.length && sizes.every((size, i) => size === dims[i]);
  if (node.opType === 'Gemm' && getInt(node, 'transB', 0) === 0) {
    return equal([...shape].reverse()) ? 'transposed' : null;
  }
  return equal(shape) ? 'as it is' : null;
}

/** Gives the node its own weight and bias and puts the norm behind it. Returns the bindings of what both read now. */
async function unfold(graph: Graph, folded: Folded, origins: Origins): Promise<Binding[]> {
  const { node, weight } = folded;
  const { norm, transposed, epsilon } = origins;
  const { dtype } = tensorInfo(graph.initializers.get(weight)!);
  const bindings: Binding[] = [];
  const put = async (reference: StoredTensor, name: string, turned = false): Promise<string> => {
    const hit = { tensor: reference, from: norm.from, transposed: turned };
    const dims = turned ? [...reference.shape].reverse() : reference.shape;
    const values = await valuesOf(reference, turned);
    const tensor = rawTensor(name, dtype, dims, bytesAs(dtype === 'F64' ? 'F64' : 'F32', values));
    graph.setInitializer(tensor);
    bindings.push(bindingOf(name, tensor, hit, 'unfolded'));
    return name;
  };
  const add = (reference: StoredTensor) => put(reference, graph.freshName(reference.name));

  const shared = graph.consumers(weight).length > 1;
  graph.setInput(
    node,
    1,
    await put(origins.weight, shared ? graph.freshName(origins.weight.name) : weight, transposed),
  );
  if (origins.bias !== null) graph.setInput(node, 2, await add(origins.bias));
  else if (folded.bias !== null) graph.setInput(node, 2, '');

  const { scale, shift, mean, variance } = norm.tensors;
  const parameters = [await add(scale), await add(shift), await add(mean), await add(variance)];
  insertNorm(graph, node, parameters, epsilon);
  for (const name of [weight, folded.bias]) {
    if (name !== null && !graph.isUsed(name) && !graph.inputs.has(name)) graph.removeInitializer(name);
  }
  return bindings;
}

/** The norm makes the value that the node made: readers and outputs of the graph stay as they are. */
function insertNorm(graph: Graph, node: NodeProto, parameters: readonly string[], epsilon: number): void {
  const output = node.output[0]!;
  const before = graph.freshName(`${output}_before_norm`);
  graph.rename(output, before);
  const outputs = [...graph.outputs].map(([name, info]) => (name === before ? { ...info, name: output } : info));
  graph.outputs.clear();
  const made = graph.addNode({
    opType: 'BatchNormalization',
    inputs: [before, ...parameters],
    outputs: [output],
    attributes: [floatAttribute('epsilon', epsilon)],
    name: `${node.name ?? ''}_norm`,
  });
  graph.replaceUses(before, output, new Set([made]));
  for (const info of outputs) graph.addOutput(info);
}

async function valuesOf(tensor: StoredTensor, transposed: boolean): Promise<Float32Array> {
  const values = await storedValues(tensor);
  return transposed ? transpose(values, tensor.shape[0]!, tensor.shape[1]!) : values;
}
