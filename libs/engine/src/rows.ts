import type { ByMagnitude, ByRankedChance, MergeMethod, Rows, Settings } from '@amalgam/methods';
import { isByRow } from '@amalgam/methods';
import { pairsOf, toGram } from './blends.js';
import type { Job } from './job.js';

/** What whole rows of a tensor are looked at for; what comes of it are mostly the entries' shares. */
export type RowRule =
  /** Entries are ranked, and get probabilities, or stay or go (RankedRows). */
  | { by: 'rank'; sparsify: ByRankedChance | ByMagnitude }
  /** Shares are what the method, or its blend, makes of the inputs of a tensor's rows. */
  | { by: 'method'; fill(rows: Rows, tensor: string): void };

/** The rule under each of the settings; null: rows do not matter. */
export function rowRules(method: MergeMethod, settings: readonly Settings[]): (RowRule | null)[] {
  return settings.map((own) => {
    const sparsify = method.sparsify?.(own) ?? null;
    if (sparsify?.by === 'ranked chance') return { by: 'rank', sparsify };
    if (sparsify?.by === 'magnitude' && isByRow(sparsify)) return { by: 'rank', sparsify };
    if (method.blendScope?.(own) === 'row') return { by: 'method', fill: blendRows(method, own) };
    const fill = method.shares?.(own) ?? null;
    return fill === null ? null : { by: 'method', fill };
  });
}

/** Are the entries of these rows ranked? Of a method all are, or none. */
export function areRanked(rules: readonly (RowRule | null)[]): boolean {
  return rules.some((rule) => rule?.by === 'rank');
}

/** By tensor of a job. */
export function rowRulesByTensor({ settings, tensors }: Job, method: MergeMethod): (RowRule | null)[] {
  const each = rowRules(method, settings);
  return tensors.map((tensor) => each[tensor.settings]!);
}

/** Every row is a vector of its own: its entries get the coefficients that the method's `blend` gives it. */
function blendRows(method: MergeMethod, settings: Settings): (rows: Rows, tensor: string) => void {
  return ({ kernels, rows, length, models, stride, count }, tensor) => {
    const pairs = pairsOf(count);
    for (let row = 0; row < rows; row++) {
      const at = (model: number) => models + model * stride + row * length * 4;
      const sums = pairs.map(([i, j]) => kernels.ops.dot(at(i), at(j), length));
      const coefficients = sums.every(Number.isFinite) ? method.blend!(toGram(count, sums), settings, tensor) : null;
      for (let model = 0; model < count; model++) {
        kernels.floats(at(model), length).fill(coefficients === null ? Number.NaN : coefficients[model]!);
      }
    }
  };
}
