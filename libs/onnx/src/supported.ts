import { AmalgamError, quote } from '@amalgam/contracts';
import { describeNode, domainOf } from './describe.js';
import type { Graph } from './graph.js';
import type { NodeProto } from './model.js';
import { bodiesOf } from './nested.js';

/** The first opset in which what gradients are made of is there: additive ScatterND and ScatterElements. */
export const MINIMUM_OPSET = 16;

const CONTROL_FLOW = new Set(['If', 'Loop', 'Scan', 'SequenceMap']);

/** onnxruntime's own attention operators, into which its optimizer packs the projections' weights. */
const FUSED_ATTENTION = new Set([
  'Attention',
  'DecoderAttention',
  'DecoderMaskedMultiHeadAttention',
  'DecoderMaskedSelfAttention',
  'GroupQueryAttention',
  'LongformerAttention',
  'MultiHeadAttention',
  'PackedAttention',
  'PackedMultiHeadAttention',
  'PagedAttention',
  'QAttention',
  'QOrderedAttention',
  'SparseAttention',
]);

/** Errors: `unsupported_graph` when the graph's standard operators are of an older opset than 16, or of none. */
export function requireOpset(graph: Graph, minimum: number = MINIMUM_OPSET): number {
  const version = graph.opset();
  if (version === undefined) {
    throw new AmalgamError('unsupported_graph', `${graph.name}: it does not import the standard operators`);
  }
  if (version < minimum) {
    throw new AmalgamError(
      'unsupported_graph',
      `${graph.name}: it has opset ${version}; opset ${minimum} or later is needed (opset_version of torch.onnx.export)`,
    );
  }
  return version;
}

/** Why a node can be neither differentiated nor rewritten; null when nothing here speaks against it. */
export function obstacle(graph: Graph, node: NodeProto): string | null {
  const domain = domainOf(node);
  const opType = node.opType ?? '';
  if (domain === 'com.microsoft' && FUSED_ATTENTION.has(opType)) {
    return 'is fused attention; export the model without onnxruntime’s transformer optimisation';
  }
  if (domain === 'com.microsoft') {
    return 'is an operator of onnxruntime’s own; export the model without onnxruntime’s optimisation';
  }
  const isFunction = graph.shell.model.functions?.some(
    (made) => made.name === opType && domainOf(made) === domain && (made.overload ?? '') === (node.overload ?? ''),
  );
  if (isFunction) return 'calls a function that the model defines; export the model with functions inlined';
  if (domain !== '') return `is a custom operator (domain ${quote(domain)})`;
  if (CONTROL_FLOW.has(opType) || bodiesOf(node).length > 0) return 'is control flow';
  return null;
}

/**
 * Refuses control flow, custom operators, fused attention and calls of the model's own functions among nodes,
 * such as those that `between` finds. Errors: `unsupported_graph` naming the node, its operator and the opset.
 */
export function requireSupported(graph: Graph, nodes: Iterable<NodeProto>): void {
  for (const node of nodes) {
    const why = obstacle(graph, node);
    if (why === null) continue;
    const version = graph.opset(domainOf(node));
    throw new AmalgamError(
      'unsupported_graph',
      `${graph.name}: ${describeNode(node)}, opset ${version ?? 'unknown'}: ${why}`,
    );
  }
}
