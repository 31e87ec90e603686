import { createHash } from 'node:crypto';
import { AmalgamError } from '@amalgam/contracts';
import { describeNode, domainOf } from './describe.js';
import type { Graph } from './graph.js';
import type { AttributeProto, NodeProto, TensorProto } from './model.js';
import { isExternal, isStringTensor, tensorData } from './tensor.js';
import { tensorOf } from './values.js';

/** The same for tensors of the same dtype, shape and elements; null for those that are not compared. */
export function constantKey(tensor: TensorProto): string | null {
  if (isExternal(tensor) || isStringTensor(tensor)) return null;
  const { dtype, dims, bytes } = tensorData(tensor);
  return `${dtype} ${dims.join(',')} ${createHash('sha256').update(bytes).digest('base64')}`;
}

/**
 * Turns every Constant node whose value is a dense tensor or numbers into an initializer of the same name, so
 * that later passes look for constants in one place. Sparse values and strings stay. Returns how many.
 */
export function constantsToInitializers(graph: Graph): number {
  let count = 0;
  for (const node of graph.nodes()) {
    if (node.opType !== 'Constant' || domainOf(node) !== '') continue;
    const name = node.output[0] ?? '';
    const tensor = tensorOfNode(node);
    if (tensor === null || name === '') continue;
    // An output needs its node: not every runtime gives out an initializer.
    if (graph.outputs.has(name)) continue;
    graph.constantFrom(node, { ...tensor, name });
    count++;
  }
  return count;
}

function tensorOfNode(node: NodeProto): TensorProto | null {
  const [attribute] = node.attribute;
  if (node.attribute.length !== 1 || attribute === undefined) {
    throw new AmalgamError(
      'invalid_graph',
      `${describeNode(node)}: a constant has one value, not ${node.attribute.length}`,
    );
  }
  return tensorOfAttribute(attribute);
}

function tensorOfAttribute({ name, t, f, i, floats, ints }: AttributeProto): TensorProto | null {
  switch (name) {
    case 'value':
      return t === undefined || isStringTensor(t) ? null : t;
    case 'value_float':
      return tensorOf('', 'F32', [], [f ?? 0]);
    case 'value_floats':
      return tensorOf('', 'F32', [floats?.length ?? 0], floats ?? []);
    // Not by way of numbers: 64-bit integers may be larger than those hold.
    case 'value_int':
      return { dims: [], dataType: 7, int64Data: BigInt64Array.of(i ?? 0n) };
    case 'value_ints':
      return { dims: [ints?.length ?? 0], dataType: 7, int64Data: BigInt64Array.from(ints ?? []) };
    default:
      return null;
  }
}
