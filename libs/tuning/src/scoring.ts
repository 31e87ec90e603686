import { IGNORED_LABEL } from '@amalgam/tensors';

/** Sums over rows (or positions), so that batches add up. */
export interface Tally {
  /** Rows or positions that were counted. */
  count: number;
  /** Sum of entropies, in nats. */
  entropy: number;
  /** Rows or positions with a label, and those of them that were predicted right. */
  labelled: number;
  right: number;
}

export const EMPTY_TALLY: Tally = { count: 0, entropy: 0, labelled: 0, right: 0 };

export interface Scored {
  /** [positions, classes], row-major. */
  logits: Float32Array;
  classes: number;
  /** By position; zero leaves it out. */
  mask: Float32Array | null;
  /** By position; -100 leaves it out of the accuracy. */
  labels: readonly number[] | null;
}

/**
 * Adds a batch: H = log Σ exp(z) - Σ p z over each position's logits z, in float64, and whether the largest logit is the
 * label's; among equal ones it is the first.
 */
export function addScores(tally: Tally, { logits, classes, mask, labels }: Scored): Tally {
  const sum = { ...tally };
  for (let position = 0; position * classes < logits.length; position++) {
    if (mask !== null && mask[position] === 0) continue;
    const row = logits.subarray(position * classes, (position + 1) * classes);
    const { entropy, largest } = entropyOf(row);
    sum.count++;
    sum.entropy += entropy;
    const label = labels?.[position];
    if (label === undefined || label === IGNORED_LABEL) continue;
    sum.labelled++;
    if (label === largest) sum.right++;
  }
  return sum;
}

/** Shannon entropy of the softmax, in nats, and the index of the largest logit. */
export function entropyOf(logits: Float32Array): { entropy: number; largest: number } {
  let largest = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[largest]!) largest = i;
  const top = logits[largest]!;
  let total = 0;
  let weighted = 0;
  for (const logit of logits) {
    const shifted = logit - top;
    const weight = Math.exp(shifted);
    total += weight;
    // The limit of p log p at p = 0.
    if (weight > 0) weighted += weight * shifted;
  }
  return { entropy: Math.log(total) - weighted / total, largest };
}
