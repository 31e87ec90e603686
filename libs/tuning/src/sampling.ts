import { createHash } from 'node:crypto';

export interface SamplingSettings {
  sampling: 'shuffle' | 'sequential';
  seed: number;
  batchSize: number;
  batchesPerStep: number;
}

/**
 * Which rows of a task's dataset a step takes: `batchesPerStep` batches one after the other. The dataset's whole batches are
 * cycled over. sequential: batch i is rows [i·B, (i+1)·B). shuffle: every cycle has an order of all rows of its own, of which
 * batch i takes the places [i·B, (i+1)·B), so that within a cycle no row comes twice.
 *
 * The rows depend on settings, task, rows and step only: a tuning that goes on after an interruption takes the same ones.
 */
export class Sampler {
  readonly #settings: SamplingSettings;
  readonly #task: string;
  readonly #rows: number;
  #order: { cycle: number; rows: Uint32Array } | undefined;

  /** `rows` is at least the batch size. */
  constructor(settings: SamplingSettings, task: string, rows: number) {
    this.#settings = settings;
    this.#task = task;
    this.#rows = rows;
  }

  /** Indices of rows; `step` counts from 0. */
  rows(step: number): number[] {
    const { batchSize, batchesPerStep } = this.#settings;
    const whole = Math.floor(this.#rows / batchSize);
    const taken: number[] = [];
    for (let batch = step * batchesPerStep; batch < (step + 1) * batchesPerStep; batch++) {
      const begin = (batch % whole) * batchSize;
      const order = this.#orderOf(Math.floor(batch / whole));
      for (let i = begin; i < begin + batchSize; i++) taken.push(order?.[i] ?? i);
    }
    return taken;
  }

  /** Null when rows come as they lie. */
  #orderOf(cycle: number): Uint32Array | null {
    const { sampling, seed } = this.#settings;
    if (sampling === 'sequential') return null;
    if (this.#order?.cycle !== cycle) {
      this.#order = { cycle, rows: permutation(this.#rows, `${seed}/${this.#task}/${cycle}`) };
    }
    return this.#order.rows;
  }
}

/** An order of 0 … n - 1 that depends on the key alone (Fisher and Yates, from the back). */
export function permutation(n: number, key: string): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  const draw = drawer(key);
  for (let i = n - 1; i > 0; i--) {
    const j = draw(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** Even draws from [0, bound), bound ≤ 2^32: the words of SHA-256 over key and counter; those that would favour some are left out. */
function drawer(key: string): (bound: number) => number {
  let counter = 0;
  let words: number[] = [];
  const next = () => {
    if (words.length === 0) {
      const bytes = createHash('sha256').update(`${key}/${counter++}`).digest();
      words = Array.from({ length: 8 }, (_, i) => bytes.readUInt32LE(i * 4));
    }
    return words.pop()!;
  };
  return (bound) => {
    const limit = Math.floor(2 ** 32 / bound) * bound;
    let word = next();
    while (word >= limit) word = next();
    return word % bound;
  };
}
