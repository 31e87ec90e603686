import { AmalgamError, quote } from '@amalgam/contracts';
import { constantKey } from './constants.js';
import { describeNode, domainOf } from './describe.js';
import type { AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto } from './model.js';
import { FreshNames } from './names.js';
import { allNames, bodiesOf, readsOf, renameFree } from './nested.js';
import { topological } from './order.js';

export interface NewNode {
  opType: string;
  /** '' leaves an optional input out. */
  inputs: readonly string[];
  /** Names, or how many to make up. Default 1. */
  outputs?: readonly string[] | number;
  attributes?: readonly AttributeProto[];
  /** Default: the standard operators. Its opset must be there (`setOpset`). */
  domain?: string;
  /** Made unique by a number. Default: the operator's name. */
  name?: string;
}

/** Everything of a model that is not the graph's nodes and values; kept as it is, but for versions of opsets. */
export interface Shell {
  model: Omit<ModelProto, 'graph'>;
  graph: Omit<GraphProto, 'node' | 'initializer' | 'input' | 'output' | 'valueInfo'>;
}

/**
 * A model's main graph, for editing. Values are names, as in the format; each is an input, an initializer or
 * the output of one node. Nodes are the format's objects: read them freely, change them only through the
 * methods here, which keep producers and consumers known. Bodies of If, Loop and Scan are followed: what they
 * read from outside counts as read by their node, and is renamed with it.
 *
 * `graphOf` makes one from a model, `modelOf` a model from it; in between nothing is lost that is not touched.
 * Errors of all methods: `invalid_graph`, naming graph, node and value.
 */
export class Graph {
  /** What errors call the model. */
  readonly name: string;
  readonly shell: Shell;
  /** By name, in order. An input that is an initializer too has that as its default. */
  readonly inputs = new Map<string, ValueInfoProto>();
  readonly outputs = new Map<string, ValueInfoProto>();
  /** What the file says of the types of intermediate values. */
  readonly valueInfo = new Map<string, ValueInfoProto>();
  readonly #initializers = new Map<string, TensorProto>();
  readonly #opsets = new Map<string, number>();
  readonly #nodes = new Set<NodeProto>();
  readonly #producers = new Map<string, NodeProto>();
  readonly #consumers = new Map<string, Set<NodeProto>>();
  readonly #names = new FreshNames();
  readonly #nodeNames = new FreshNames();
  readonly #constants = new Map<string, TensorProto>();
  /** The nodes in order, and some that are gone; null when an edit may have changed the order. */
  #sorted: NodeProto[] | null = null;

  constructor(name: string, shell: Shell = { model: { irVersion: 10, opsetImport: [] }, graph: { name } }) {
    this.name = name;
    this.shell = shell;
  }

  /** The version of a domain's operators; undefined when the model does not import them. */
  opset(domain = ''): number | undefined {
    return this.#opsets.get(domainOf({ domain }));
  }

  setOpset(domain: string, version: number): void {
    this.#opsets.set(domainOf({ domain }), version);
  }

  get opsets(): ReadonlyMap<string, number> {
    return this.#opsets;
  }

  get initializers(): ReadonlyMap<string, TensorProto> {
    return this.#initializers;
  }

  get size(): number {
    return this.#nodes.size;
  }

  /** In topological order, as it is now; nodes that were in such an order keep it. Errors: a cycle. */
  nodes(): NodeProto[] {
    this.#sorted ??= topological(this.#nodes, readsOf, (value) => this.#producers.get(value), this.name);
    this.#sorted = this.#sorted.filter((node) => this.#nodes.has(node));
    return [...this.#sorted];
  }

  has(node: NodeProto): boolean {
    return this.#nodes.has(node);
  }

  /** The node that makes a value; undefined for inputs, initializers and names that are not there. */
  producer(value: string): NodeProto | undefined {
    return this.#producers.get(value);
  }

  /** The nodes that read a value, themselves or in a body, each once. */
  consumers(value: string): NodeProto[] {
    return [...(this.#consumers.get(value) ?? [])];
  }

  isUsed(value: string): boolean {
    return this.outputs.has(value) || (this.#consumers.get(value)?.size ?? 0) > 0;
  }

  isDefined(value: string): boolean {
    return this.inputs.has(value) || this.#initializers.has(value) || this.#producers.has(value);
  }

  /** What is known of a value's type from the file. */
  typeOf(value: string): ValueInfoProto | undefined {
    return this.inputs.get(value) ?? this.outputs.get(value) ?? this.valueInfo.get(value);
  }

  /** A name that no value has, bodies included: `hint`, or `hint_1` and so on. It is taken from now on. */
  freshName(hint: string): string {
    return this.#names.take(hint);
  }

  /** Keeps names from being given out. */
  reserve(names: Iterable<string>): void {
    for (const name of names) this.#names.add(name);
  }

  addInput(info: ValueInfoProto): string {
    const name = info.name ?? '';
    if (this.inputs.has(name) || this.#producers.has(name)) throw this.#twice(name);
    this.inputs.set(name, info);
    this.#names.add(name);
    return name;
  }

  /** Makes a value an output of the graph; without a type, the runtime infers it. */
  addOutput(info: ValueInfoProto | string): void {
    const value = typeof info === 'string' ? { ...this.valueInfo.get(info), name: info } : info;
    const name = value.name ?? '';
    if (this.outputs.has(name)) throw this.#refuse(`${quote(name)} is an output twice`);
    this.outputs.set(name, value);
  }

  /** Adds a weight under its name, or replaces the one of that name. */
  setInitializer(tensor: TensorProto): string {
    const name = tensor.name ?? '';
    if (name === '' || this.#producers.has(name)) throw this.#twice(name);
    this.#initializers.set(name, tensor);
    this.#names.add(name);
    return name;
  }

  removeInitializer(name: string): boolean {
    return this.#initializers.delete(name);
  }

  /** The name of an initializer with these contents, made when no constant that was added here has them. */
  constant(tensor: TensorProto): string {
    const key = constantKey(tensor);
    const known = key === null ? undefined : this.#constants.get(key);
    if (known?.name !== undefined && this.#initializers.get(known.name) === known) return known.name;
    const name = this.freshName(tensor.name || 'constant');
    const made = { ...tensor, name };
    this.#initializers.set(name, made);
    if (key !== null) this.#constants.set(key, made);
    return name;
  }

  /** Puts an initializer in the place of the node that makes the value of its name. */
  constantFrom(node: NodeProto, tensor: TensorProto): void {
    this.#dropNode(node);
    this.setInitializer(tensor);
  }

  addNode({ opType, inputs, outputs = 1, attributes = [], domain = '', name = opType }: NewNode): NodeProto {
    const unique = this.#nodeNames.take(name);
    const made =
      typeof outputs === 'number' ? Array.from({ length: outputs }, () => this.freshName(`${unique}_out`)) : outputs;
    const node: NodeProto = { input: [...inputs], output: [...made], name: unique, opType, attribute: [...attributes] };
    if (domainOf({ domain }) !== '') node.domain = domain;
    this.insertNode(node);
    return node;
  }

  /** Adds a node of one output and returns that. */
  op(opType: string, inputs: readonly string[], attributes: readonly AttributeProto[] = [], name?: string): string {
    return this.addNode({ opType, inputs, attributes, ...(name !== undefined && { name }) }).output[0]!;
  }

  /** Adds a node as it is; it is the graph's from now on. */
  insertNode(node: NodeProto): void {
    const made = node.output.filter((output) => output !== '');
    const twice = made.find((output, i) => this.isDefined(output) || made.indexOf(output) !== i);
    if (twice !== undefined) throw this.#twice(twice, node);
    // A node after everything that it reads, and before nothing, can stay last.
    const last = readsOf(node).every((value) => this.isDefined(value)) && !made.some((name) => this.isUsed(name));
    this.#nodes.add(node);
    if (last) this.#sorted?.push(node);
    else this.#sorted = null;
    for (const output of made) {
      this.#producers.set(output, node);
      this.#names.add(output);
    }
    for (const body of bodiesOf(node)) this.reserve(allNames(body));
    if (node.name) this.#nodeNames.add(node.name);
    this.#addReads(node);
  }

  /** Removes a node of which nothing is used. */
  removeNode(node: NodeProto): void {
    const used = node.output.find((output) => output !== '' && this.isUsed(output));
    if (used !== undefined) throw this.#refuse(`${describeNode(node)} cannot go: ${quote(used)} is used`);
    this.#dropNode(node);
    for (const output of node.output) this.valueInfo.delete(output);
  }

  setInput(node: NodeProto, index: number, value: string): void {
    this.#edit(node, () => {
      while (node.input.length < index) node.input.push('');
      node.input[index] = value;
    });
  }

  setAttributes(node: NodeProto, attributes: readonly AttributeProto[]): void {
    this.#edit(node, () => {
      node.attribute = [...attributes];
    });
  }

  /** The name of a node's output, which is given one when it was left out: mean and scale of LayerNormalization. */
  outputOf(node: NodeProto, index: number): string {
    while (node.output.length <= index) node.output.push('');
    const known = node.output[index]!;
    if (known !== '') return known;
    const name = this.freshName(`${node.name || node.opType}_out`);
    node.output[index] = name;
    this.#producers.set(name, node);
    return name;
  }

  /**
   * Lets every reader of a value read another one instead, except those in `keep`. An output of the graph stays
   * the old value.
   */
  replaceUses(value: string, by: string, keep: ReadonlySet<NodeProto> = new Set()): void {
    if (value === by) return;
    const rename = (name: string) => (name === value ? by : name);
    for (const node of this.consumers(value)) {
      if (keep.has(node)) continue;
      this.#edit(node, () => {
        node.input = node.input.map(rename);
        node.attribute = renameFree(node, rename);
      });
    }
  }

  /** Renames a value wherever it stands. */
  rename(value: string, to: string): void {
    if (value === to) return;
    if (!this.isDefined(value)) throw this.#refuse(`there is no value ${quote(value)}`);
    if (to === '' || this.isDefined(to)) throw this.#twice(to);
    renameKey(this.inputs, value, to, true);
    renameKey(this.outputs, value, to, true);
    // Their order means nothing, and they are many.
    renameKey(this.valueInfo, value, to, false);
    renameKey(this.#initializers, value, to, false);
    const node = this.#producers.get(value);
    if (node !== undefined) {
      node.output = node.output.map((name) => (name === value ? to : name));
      this.#producers.delete(value);
      this.#producers.set(to, node);
    }
    this.#names.add(to);
    this.replaceUses(value, to);
  }

  #edit(node: NodeProto, change: () => void): void {
    if (!this.#nodes.has(node)) throw this.#refuse(`${describeNode(node)} is not in the graph`);
    this.#dropReads(node);
    change();
    this.#addReads(node);
    this.#sorted = null;
  }

  #dropNode(node: NodeProto): void {
    this.#dropReads(node);
    this.#nodes.delete(node);
    for (const output of node.output) this.#producers.delete(output);
  }

  #addReads(node: NodeProto): void {
    for (const value of readsOf(node)) {
      const readers = this.#consumers.get(value);
      if (readers === undefined) this.#consumers.set(value, new Set([node]));
      else readers.add(node);
    }
  }

  #dropReads(node: NodeProto): void {
    for (const value of readsOf(node)) this.#consumers.get(value)?.delete(node);
  }

  #twice(value: string, node?: NodeProto): AmalgamError {
    const at = node === undefined ? '' : `${describeNode(node)}: `;
    return this.#refuse(`${at}the value ${quote(value)} is defined twice or has no name`);
  }

  #refuse(rule: string): AmalgamError {
    return new AmalgamError('invalid_graph', `${this.name}: ${rule}`);
  }
}

/** Renames a key and the name in its value. */
function renameKey<T extends { name?: string }>(map: Map<string, T>, from: string, to: string, inPlace: boolean): void {
  const value = map.get(from);
  if (value === undefined) return;
  const entries = inPlace ? [...map] : [];
  if (inPlace) map.clear();
  else map.delete(from);
  for (const [key, other] of entries) map.set(key === from ? to : key, other);
  map.set(to, { ...value, name: to });
}
