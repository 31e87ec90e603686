import type { AttributeProto, GraphProto, NodeProto } from './model.js';

/** The graphs in a node's attributes: the branches of If, the bodies of Loop and Scan. */
export function bodiesOf(node: NodeProto): GraphProto[] {
  return node.attribute.flatMap((attribute) => [
    ...(attribute.g === undefined ? [] : [attribute.g]),
    ...(attribute.graphs ?? []),
  ]);
}

/** Names of values that a graph defines itself, without those of the bodies in it. */
export function definedNames(graph: GraphProto): Set<string> {
  const names = new Set<string>();
  for (const { name } of graph.input) names.add(name ?? '');
  for (const { name } of graph.initializer) names.add(name ?? '');
  for (const { values } of graph.sparseInitializer ?? []) names.add(values?.name ?? '');
  for (const node of graph.node) for (const name of node.output) names.add(name);
  names.delete('');
  return names;
}

/** Every name of a value anywhere in a graph, bodies included: what a fresh name must differ from. */
export function allNames(graph: GraphProto, into: Set<string> = new Set()): Set<string> {
  for (const name of definedNames(graph)) into.add(name);
  for (const { name } of graph.output) into.add(name ?? '');
  for (const node of graph.node) {
    for (const name of node.input) into.add(name);
    for (const body of bodiesOf(node)) allNames(body, into);
  }
  return into;
}

/** Values of the outside that a body reads. */
export function freeNames(body: GraphProto): Set<string> {
  const own = definedNames(body);
  const free = new Set<string>();
  const see = (name: string | undefined) => {
    if (name !== undefined && name !== '' && !own.has(name)) free.add(name);
  };
  for (const node of body.node) {
    node.input.forEach(see);
    for (const inner of bodiesOf(node)) freeNames(inner).forEach(see);
  }
  for (const { name } of body.output) see(name);
  return free;
}

/** Values that a node reads: its inputs, then what its bodies take from outside. Each once, '' never. */
export function readsOf(node: NodeProto): string[] {
  const reads = new Set(node.input);
  for (const body of bodiesOf(node)) for (const name of freeNames(body)) reads.add(name);
  reads.delete('');
  return [...reads];
}

/** The node's attributes with every name that its bodies take from outside mapped. The same array if none has a body. */
export function renameFree(node: NodeProto, rename: (name: string) => string): AttributeProto[] {
  return mapBodies(node, (body) => {
    const own = definedNames(body);
    return mapBodyNames(body, (name) => (own.has(name) ? name : rename(name)), renameFree);
  });
}

/** The node's attributes with every name in its bodies mapped, their own as well as those from outside. */
export function renameAll(node: NodeProto, rename: (name: string) => string): AttributeProto[] {
  return mapBodies(node, (body) => mapBodyNames(body, rename, renameAll));
}

function mapBodies(node: NodeProto, map: (body: GraphProto) => GraphProto): AttributeProto[] {
  if (bodiesOf(node).length === 0) return node.attribute;
  return node.attribute.map((attribute) => {
    const mapped = { ...attribute };
    if (attribute.g !== undefined) mapped.g = map(attribute.g);
    if (attribute.graphs !== undefined) mapped.graphs = attribute.graphs.map(map);
    return mapped;
  });
}

type Inner = (node: NodeProto, rename: (name: string) => string) => AttributeProto[];

function mapBodyNames(body: GraphProto, rename: (name: string) => string, inner: Inner): GraphProto {
  const map = (name: string) => (name === '' ? '' : rename(name));
  const named = <T extends { name?: string }>(value: T): T =>
    value.name === undefined ? value : { ...value, name: map(value.name) };
  return {
    ...body,
    node: body.node.map((node) => ({
      ...node,
      input: node.input.map(map),
      output: node.output.map(map),
      attribute: inner(node, rename),
    })),
    initializer: body.initializer.map(named),
    input: body.input.map(named),
    output: body.output.map(named),
    valueInfo: body.valueInfo.map(named),
    ...(body.sparseInitializer && {
      sparseInitializer: body.sparseInitializer.map((sparse) =>
        sparse.values === undefined ? sparse : { ...sparse, values: named(sparse.values) },
      ),
    }),
  };
}
