/** Plain TypeScript twin of assembly/place.ts, over keys. `end`: where all entries of the key lie up to the place any index behind them does. */
export function findPlace(keys: Uint32Array, rank: number): { key: number; end: number; above: number; upTo: number } {
  const largestFirst = [...keys.keys()].sort((a, b) => keys[b]! - keys[a]! || a - b);
  const last = largestFirst[rank - 1]!;
  const key = keys[last]!;
  return { key, end: last + 1, above: countAbove(keys, key, false), upTo: countAbove(keys, key, true) };
}

export function countAbove(keys: Uint32Array, key: number, equals: boolean): number {
  return keys.reduce((count, own) => count + (own > key || (equals && own === key) ? 1 : 0), 0);
}
