/**
 * Which entries of each task vector stay before task vectors are combined; the others become 0. The engine does it (its
 * sparsify.ts), block by block; lists go by model.
 */
export type Sparsify = ByMagnitude | ByChance | ByRankedChance;

/**
 * Of d entries that share a ranking by |τ| keeps those that are neither among the largest nor among the smallest (keptOf says how
 * many). Among equals those of lowest index come first, so the order is total: tensors by name, entries row-major.
 */
export interface ByMagnitude {
  by: 'magnitude';
  /** What shares a ranking: all merged tensors of a model, one tensor, or one row (entries that differ in the last index only). */
  scope: 'model' | 'tensor' | 'row';
  densities: number[];
  /** Shares of largest entries that are dropped; 0: none, which is the trim of TIES. */
  outliers: number[];
  /** For scope row: as keptOf says of it; a tensor of one entry keeps it. */
  outliersFirst?: boolean;
}

/** Keeps each entry with probability `density`, independently; DARE. Masks: randomStream in libs/kernels. */
export interface ByChance {
  by: 'chance';
  densities: number[];
  /** Divide what is kept by its probability. */
  rescale: boolean;
  seed: number;
}

/**
 * Keeps each entry with a probability that grows with its rank by |τ| in its row, from density − epsilon to density + epsilon;
 * MAGPRUNE. With density 1 everything stays.
 */
export interface ByRankedChance {
  by: 'ranked chance';
  densities: number[];
  epsilons: number[];
  rescale: boolean;
  seed: number;
}

/** Does finding what to keep take whole rows of a tensor? */
export function isByRow(sparsify: Sparsify): boolean {
  return sparsify.by === 'ranked chance' || (sparsify.by === 'magnitude' && sparsify.scope === 'row');
}

/**
 * Of d entries ranked by magnitude: `kept` = max(1, floor(density · d)) stay, after the `outliers` = floor(share · d) largest, or
 * fewer where not so many are left. With `outliersFirst` the outliers are dropped whatever is left, and none may stay.
 */
export function keptOf(
  d: number,
  density: number,
  share: number,
  outliersFirst = false,
): { kept: number; outliers: number } {
  if (outliersFirst) {
    const outliers = Math.floor(share * d);
    return { kept: Math.min(d - outliers, Math.floor(density * d)), outliers };
  }
  const kept = Math.min(d, Math.max(1, Math.floor(density * d)));
  return { kept, outliers: Math.min(d - kept, Math.floor(share * d)) };
}
