import { AmalgamError } from '@amalgam/contracts';
import { checkModel } from './checks.js';
import { domainOf } from './describe.js';
import { Graph } from './graph.js';
import type { ModelProto, NodeProto, OperatorSetIdProto } from './model.js';

/**
 * A model's main graph for editing. The model itself is not changed by edits; tensors are shared. Errors: those
 * of `checkModel`.
 */
export function graphOf(model: ModelProto, name = 'model'): Graph {
  checkModel(model, name);
  const { graph: proto, ...rest } = model;
  if (proto === undefined) throw new AmalgamError('invalid_graph', `${name}: there is no graph`);
  const { node: nodes, initializer, input, output, valueInfo, ...shell } = proto;
  const graph = new Graph(name, { model: rest, graph: shell });
  for (const [domain, version] of highestVersions(model.opsetImport)) graph.setOpset(domain, version);
  for (const info of input) graph.addInput(info);
  for (const tensor of initializer) graph.setInitializer(tensor);
  // Sparse initializers stay in the shell: their names are taken, and their readers find them there.
  for (const { values } of shell.sparseInitializer ?? []) graph.reserve([values?.name ?? '']);
  for (const node of nodes) graph.insertNode(copyOf(node));
  for (const info of valueInfo) graph.valueInfo.set(info.name ?? '', info);
  for (const info of output) graph.addOutput(info);
  // A cycle is found now rather than in the middle of an edit.
  graph.nodes();
  return graph;
}

/** The model of an edited graph, its nodes in topological order. It shares tensors and nodes with the graph. */
export function modelOf(graph: Graph): ModelProto {
  return {
    ...graph.shell.model,
    opsetImport: opsetsOf(graph),
    graph: {
      ...graph.shell.graph,
      node: graph.nodes().map(copyOf),
      initializer: [...graph.initializers.values()],
      input: [...graph.inputs.values()],
      output: [...graph.outputs.values()],
      valueInfo: [...graph.valueInfo.values()],
    },
  };
}

/** What the model imported, with the versions of now, and what was added. */
function opsetsOf(graph: Graph): OperatorSetIdProto[] {
  const left = new Map(graph.opsets);
  const kept = graph.shell.model.opsetImport.map((entry) => {
    const version = left.get(domainOf(entry));
    left.delete(domainOf(entry));
    return version === undefined || version === entry.version ? entry : { ...entry, version };
  });
  return [...kept, ...[...left].map(([domain, version]) => ({ domain, version }))];
}

/** Of several versions of one domain the highest counts (ONNX IR specification). */
function highestVersions(imports: readonly OperatorSetIdProto[]): Map<string, number> {
  const versions = new Map<string, number>();
  for (const entry of imports) {
    const domain = domainOf(entry);
    versions.set(domain, Math.max(versions.get(domain) ?? 0, entry.version ?? 0));
  }
  return versions;
}

function copyOf(node: NodeProto): NodeProto {
  return { ...node, input: [...node.input], output: [...node.output], attribute: [...node.attribute] };
}
