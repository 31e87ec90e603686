/**
 * Sums by a fixed binary tree: neighbours are added pairwise, level by level, a last odd one is carried up. A run of leaves that
 * starts at a multiple of 2^j and has 2^j leaves reduces to exactly the tree's node, so a sum does not depend on how the
 * leaves were dealt out to chunks and threads, as long as chunks hold a power of two of leaves.
 */
export function reducePairwise(leaves: Float64Array | number[]): number {
  if (leaves.length === 0) return 0;
  let level = Float64Array.from(leaves);
  while (level.length > 1) {
    const next = new Float64Array(Math.ceil(level.length / 2));
    for (let i = 0; i < next.length; i++) {
      const right = level[2 * i + 1];
      next[i] = right === undefined ? level[2 * i]! : level[2 * i]! + right;
    }
    level = next;
  }
  return level[0]!;
}
