import { domainOf, getFloat, getInt, type NodeProto } from '@amalgam/onnx';
import type { StoredCheckpoint, StoredTensor } from './stored.js';

/** Where the output channels of a weight lie: it is [outer, channels, inner], in `groups` blocks along `outer`. */
export interface Layout {
  outer: number;
  channels: number;
  inner: number;
  groups: number;
}

export function outputChannels({ channels, groups }: Layout): number {
  return channels * groups;
}

/** Null for operators that nothing is folded into. */
export function layoutOf(node: NodeProto, dims: readonly number[]): Layout | null {
  if (domainOf(node) !== '') return null;
  const [first = 0, second = 0] = dims;
  const rest = (from: number) => dims.slice(from).reduce((product, size) => product * size, 1);
  switch (node.opType) {
    case 'Conv':
      return dims.length < 3 ? null : { outer: 1, channels: first, inner: rest(1), groups: 1 };
    case 'ConvTranspose':
      return dims.length < 3
        ? null
        : { outer: first, channels: second, inner: rest(2), groups: getInt(node, 'group', 1) };
    case 'Gemm': {
      const plain = getFloat(node, 'alpha', 1) === 1 && getFloat(node, 'beta', 1) === 1;
      if (!plain || dims.length !== 2) return null;
      if (getInt(node, 'transB', 0) !== 0) return { outer: 1, channels: first, inner: second, groups: 1 };
      return { outer: first, channels: second, inner: 1, groups: 1 };
    }
    default:
      return null;
  }
}

/** The bias that belongs to a weight by its name, such as `up.bias` to `up.weight`; null when there is none. */
export function biasOf({ tensors }: StoredCheckpoint, weight: string, channels: number): StoredTensor | null {
  const name = weight.replace(/(weight|kernel)$/, 'bias');
  if (name === weight || !Object.hasOwn(tensors, name)) return null;
  const { shape } = tensors[name]!;
  return shape.length === 1 && shape[0] === channels ? tensors[name]! : null;
}
