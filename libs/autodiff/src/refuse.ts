import { AmalgamError } from '@amalgam/contracts';
import { describeNode, domainOf, type Graph, type NodeProto } from '@amalgam/onnx';

/** Says that a node stands in the way: `unsupported_graph`, naming graph, node, operator, opset and rule. */
export function refuseNode(graph: Graph, node: NodeProto, rule: string): AmalgamError {
  const opset = graph.opset(domainOf(node)) ?? 'unknown';
  return new AmalgamError('unsupported_graph', `${graph.name}: ${describeNode(node)}, opset ${opset}: ${rule}`);
}

/** Says that the request does not fit the graph: `invalid_graph`. */
export function refuseGraph(graph: Graph, rule: string): AmalgamError {
  return new AmalgamError('invalid_graph', `${graph.name}: ${rule}`);
}
