/**
 * Sums by a fixed binary tree: neighbours are added pairwise, level by level, a last odd one is carried up. A run of leaves that
 * starts at a multiple of 2^j and has 2^j leaves reduces to exactly the tree's node, so a sum does not depend on how the
 * leaves were dealt out to chunks and threads, as long as chunks hold a power of two of leaves.
 */
export function reducePairwise(leaves: Float64Array | number[]): number {
  if (leaves.length === 0) return 0;
  // In place: a node is written where nothing is read any more.
  const nodes = leaves.slice();
  for (let length = nodes.length; length > 1; length = Math.ceil(length / 2)) {
    for (let i = 0; i < length; i += 2) {
      nodes[i / 2] = i + 1 < length ? nodes[i]! + nodes[i + 1]! : nodes[i]!;
    }
  }
  return nodes[0]!;
}
