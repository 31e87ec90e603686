import { quote } from '@amalgam/contracts';
import type {
  AttributeProto,
  FunctionProto,
  GraphProto,
  ModelProto,
  NodeProto,
  SparseTensorProto,
  TensorProto,
} from './model.js';

export interface Visited {
  tensor: TensorProto;
  /** For messages: in which node, or which part of the model. */
  place: string;
}

/** Every tensor of a model: initializers, attributes, those of bodies, functions and training graphs. */
export function* tensorsOf(model: ModelProto): Generator<Visited> {
  if (model.graph !== undefined) yield* inGraph(model.graph, 'initializers');
  for (const made of model.functions ?? []) {
    const place = `function ${quote(made.name ?? '')}`;
    for (const node of made.node) yield* inAttributes(node.attribute, place);
    yield* inAttributes(made.attributeProto ?? [], place);
  }
  for (const { initialization, algorithm } of model.trainingInfo ?? []) {
    if (initialization !== undefined) yield* inGraph(initialization, 'training initialization');
    if (algorithm !== undefined) yield* inGraph(algorithm, 'training algorithm');
  }
}

function* inGraph(graph: GraphProto, place: string): Generator<Visited> {
  for (const tensor of graph.initializer) yield { tensor, place };
  for (const sparse of graph.sparseInitializer ?? []) yield* inSparse(sparse, place);
  for (const node of graph.node) yield* inAttributes(node.attribute, `node ${quote(node.name ?? '')}`);
}

function* inAttributes(attributes: readonly AttributeProto[], place: string): Generator<Visited> {
  for (const { t, tensors, sparseTensor, sparseTensors, g, graphs } of attributes) {
    if (t !== undefined) yield { tensor: t, place };
    for (const tensor of tensors ?? []) yield { tensor, place };
    if (sparseTensor !== undefined) yield* inSparse(sparseTensor, place);
    for (const sparse of sparseTensors ?? []) yield* inSparse(sparse, place);
    if (g !== undefined) yield* inGraph(g, place);
    for (const body of graphs ?? []) yield* inGraph(body, place);
  }
}

function* inSparse({ values, indices }: SparseTensorProto, place: string): Generator<Visited> {
  if (values !== undefined) yield { tensor: values, place };
  if (indices !== undefined) yield { tensor: indices, place };
}

type Replace = (tensor: TensorProto) => TensorProto;

/** A copy of the model with every tensor mapped; what has no tensors is shared. */
export function mapTensors(model: ModelProto, replace: Replace): ModelProto {
  return {
    ...model,
    ...(model.graph && { graph: mapGraph(model.graph, replace) }),
    ...(model.functions && { functions: model.functions.map((made) => mapFunction(made, replace)) }),
    ...(model.trainingInfo && {
      trainingInfo: model.trainingInfo.map((info) => ({
        ...info,
        ...(info.initialization && { initialization: mapGraph(info.initialization, replace) }),
        ...(info.algorithm && { algorithm: mapGraph(info.algorithm, replace) }),
      })),
    }),
  };
}

function mapFunction(made: FunctionProto, replace: Replace): FunctionProto {
  return {
    ...made,
    node: made.node.map((node) => mapNode(node, replace)),
    ...(made.attributeProto && { attributeProto: made.attributeProto.map((a) => mapAttribute(a, replace)) }),
  };
}

function mapGraph(graph: GraphProto, replace: Replace): GraphProto {
  return {
    ...graph,
    initializer: graph.initializer.map(replace),
    node: graph.node.map((node) => mapNode(node, replace)),
    ...(graph.sparseInitializer && {
      sparseInitializer: graph.sparseInitializer.map((sparse) => mapSparse(sparse, replace)),
    }),
  };
}

function mapNode(node: NodeProto, replace: Replace): NodeProto {
  if (node.attribute.length === 0) return node;
  return { ...node, attribute: node.attribute.map((attribute) => mapAttribute(attribute, replace)) };
}

function mapAttribute(attribute: AttributeProto, replace: Replace): AttributeProto {
  const { t, tensors, sparseTensor, sparseTensors, g, graphs } = attribute;
  return {
    ...attribute,
    ...(t && { t: replace(t) }),
    ...(tensors && { tensors: tensors.map(replace) }),
    ...(sparseTensor && { sparseTensor: mapSparse(sparseTensor, replace) }),
    ...(sparseTensors && { sparseTensors: sparseTensors.map((sparse) => mapSparse(sparse, replace)) }),
    ...(g && { g: mapGraph(g, replace) }),
    ...(graphs && { graphs: graphs.map((graph) => mapGraph(graph, replace)) }),
  };
}

function mapSparse(sparse: SparseTensorProto, replace: Replace): SparseTensorProto {
  return {
    ...sparse,
    ...(sparse.values && { values: replace(sparse.values) }),
    ...(sparse.indices && { indices: replace(sparse.indices) }),
  };
}
