import { AmalgamError, quote } from '@amalgam/contracts';
import { describeNode, domainOf } from './describe.js';
import type { FunctionProto, GraphProto, ModelProto, NodeProto } from './model.js';
import { bodiesOf } from './nested.js';
import { topological } from './order.js';
import { checkTensor } from './tensor.js';
import { tensorsOf } from './visit.js';

/**
 * What every ONNX model must fulfil, as far as this package relies on it: a graph, imported opsets, operators
 * with a type, every value defined once before the bodies that read it, every input of a node and every output
 * of a graph defined, no cycle, every stored tensor as large as its shape says. Nodes may come in any order.
 *
 * Errors: `invalid_graph`, naming the model, the node or value and the rule.
 */
export function checkModel(model: ModelProto, name: string): void {
  if (model.graph === undefined) throw refuse(name, 'there is no graph: this is not an ONNX model');
  for (const { tensor, place } of tensorsOf(model)) checkTensor(tensor, `${name}: ${place}`);
  const domains = importedDomains(model.opsetImport, name);
  checkScope(model.graph, null, domains, name);
  for (const made of model.functions ?? []) checkFunction(made, name);
}

function importedDomains(imports: ModelProto['opsetImport'], name: string): Set<string> {
  const domains = new Set<string>();
  for (const entry of imports) {
    if (!(entry.version !== undefined && entry.version >= 1)) {
      throw refuse(name, `the opset of ${quote(domainOf(entry) || 'ai.onnx')} has no version`);
    }
    domains.add(domainOf(entry));
  }
  if (domains.size === 0) throw refuse(name, 'it imports no opset');
  return domains;
}

/** The values that a graph or body defines, and through `outer` those around it. Not one set: bodies are many. */
class Scope {
  readonly own = new Set<string>();

  constructor(readonly outer: Scope | null) {}

  has(value: string): boolean {
    for (let scope: Scope | null = this; scope !== null; scope = scope.outer) if (scope.own.has(value)) return true;
    return false;
  }
}

function checkScope(graph: GraphProto, outer: Scope | null, domains: ReadonlySet<string>, name: string): void {
  const scope = new Scope(outer);
  const define = (value: string | undefined, what: string) => {
    if (value === undefined || value === '') throw refuse(name, `${what} has no name`);
    if (scope.has(value)) throw refuse(name, `${what} ${quote(value)} is defined twice`);
    scope.own.add(value);
  };
  for (const input of graph.input) define(input.name, 'the input');
  // An initializer may be an input's default, but only one.
  const inputs = new Set(scope.own);
  const sparse = (graph.sparseInitializer ?? []).map(({ values }) => values?.name);
  for (const value of [...graph.initializer.map((tensor) => tensor.name), ...sparse]) {
    if (value === undefined || !inputs.delete(value)) define(value, 'the initializer');
  }
  for (const node of graph.node) {
    for (const value of node.output) if (value !== '') define(value, `${describeNode(node)}: the output`);
  }

  for (const node of graph.node) checkNode(node, scope, domains, name);
  checkCycles(graph.node, name);
  const outputs = new Set<string>();
  for (const { name: value = '' } of graph.output) {
    if (!scope.has(value)) throw refuse(name, `the output ${quote(value)} is not a value of the graph`);
    if (outputs.has(value)) throw refuse(name, `the output ${quote(value)} is there twice`);
    outputs.add(value);
  }
  // A body sees what is around it, whatever the order of nodes.
  for (const node of graph.node) for (const body of bodiesOf(node)) checkScope(body, scope, domains, name);
}

function checkNode(node: NodeProto, scope: Scope, domains: ReadonlySet<string>, name: string): void {
  if (!node.opType) throw refuse(name, `${describeNode(node)} has no operator`);
  const domain = domainOf(node);
  if (!domains.has(domain)) {
    throw refuse(name, `${describeNode(node)}: the model does not import the opset of ${quote(domain || 'ai.onnx')}`);
  }
  const missing = node.input.find((value) => value !== '' && !scope.has(value));
  if (missing !== undefined) throw refuse(name, `${describeNode(node)}: its input ${quote(missing)} is not defined`);
  const attributes = new Set<string>();
  for (const { name: attribute = '' } of node.attribute) {
    if (attributes.has(attribute)) {
      throw refuse(name, `${describeNode(node)}: the attribute ${quote(attribute)} is there twice`);
    }
    attributes.add(attribute);
  }
}

/** Only along nodes' own inputs; what bodies read is checked where the graph is edited. */
function checkCycles(nodes: readonly NodeProto[], name: string): void {
  const producers = new Map<string, NodeProto>();
  for (const node of nodes) for (const value of node.output) producers.set(value, node);
  producers.delete('');
  topological(
    nodes,
    (node) => node.input,
    (value) => producers.get(value),
    name,
  );
}

function checkFunction(made: FunctionProto, name: string): void {
  const where = `${name}: function ${quote(`${made.domain ?? ''}.${made.name ?? ''}`)}`;
  const body: GraphProto = {
    node: made.node,
    initializer: [],
    input: made.input.map((value) => ({ name: value })),
    output: made.output.map((value) => ({ name: value })),
    valueInfo: [],
  };
  checkScope(body, null, importedDomains(made.opsetImport, where), where);
}

function refuse(name: string, rule: string): AmalgamError {
  return new AmalgamError('invalid_graph', `${name}: ${rule}`);
}
