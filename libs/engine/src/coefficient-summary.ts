import type { Coefficients } from '@amalgam/contracts';

/** What the coefficients of one model come to, over all tensors. */
export interface CoefficientSummary {
  model: string;
  mean: number;
  min: number;
  max: number;
}

/** By model, of the coefficients as they enter the merge: clamped. Tensors count alike, whatever their size. */
export function summarizeCoefficients({ models, values, clamp }: Coefficients): CoefficientSummary[] {
  const [low, high] = clamp ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  return models.map((model, column) => {
    const effective = values.map((row) => Math.min(high, Math.max(low, row[column]!)));
    const mean = effective.reduce((sum, value) => sum + value, 0) / effective.length;
    return { model, mean, min: Math.min(...effective), max: Math.max(...effective) };
  });
}
