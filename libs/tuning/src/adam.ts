/** A table of numbers, [rows, columns]. */
export type Table = number[][];

export interface AdamSettings {
  learningRate: number;
  betas?: readonly [number, number];
  epsilon?: number;
}

/**
 * Adam (Kingma and Ba, 2015, algorithm 1) as PyTorch computes it, without weight decay:
 * m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  θ ← θ − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε).
 * In float64. Changes `values`, `first` and `second`; `step` counts from 1.
 */
export function adamStep(
  values: Table,
  gradient: Table,
  moments: { first: Table; second: Table },
  step: number,
  { learningRate, betas: [beta1, beta2] = [0.9, 0.999], epsilon = 1e-8 }: AdamSettings,
): void {
  const size = learningRate / (1 - beta1 ** step);
  const correction = Math.sqrt(1 - beta2 ** step);
  for (const [r, row] of gradient.entries()) {
    const [m, v, value] = [moments.first[r]!, moments.second[r]!, values[r]!];
    for (const [k, g] of row.entries()) {
      m[k] = beta1 * m[k]! + (1 - beta1) * g;
      v[k] = beta2 * v[k]! + (1 - beta2) * g * g;
      value[k] = value[k]! - (size * m[k]!) / (Math.sqrt(v[k]!) / correction + epsilon);
    }
  }
}

/** What the merge is computed with: each coefficient inside the bounds. */
export function clampTable(values: Table, clamp: readonly [number, number] | null): Table {
  if (clamp === null) return values.map((row) => [...row]);
  const [low, high] = clamp;
  return values.map((row) => row.map((value) => Math.min(Math.max(value, low), high)));
}

/**
 * The gradient through `clampTable`: 0 where a coefficient lies outside the bounds. The bounds themselves, on which versions of
 * PyTorch differ, belong to the inside: coefficients may begin there.
 */
export function clampGradient(gradient: Table, values: Table, clamp: readonly [number, number] | null): Table {
  if (clamp === null) return gradient;
  const [low, high] = clamp;
  return gradient.map((row, r) => row.map((g, k) => (values[r]![k]! < low || values[r]![k]! > high ? 0 : g)));
}
