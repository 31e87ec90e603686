/** Round numbers within a range, about `count` of them. */
export function ticksOf(least: number, most: number, count: number): number[] {
  const span = most - least;
  if (!(span > 0)) return [least];
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const first = Math.ceil(least / step);
  const last = Math.floor(most / step + 1e-9);
  // Multiplied, not added up, and rounded: 0.30000000000000004 is no label.
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Each value's mean with those before it, `window` of them where there are so many. */
export function movingMean(values: readonly number[], window: number): number[] {
  let sum = 0;
  return values.map((value, i) => {
    sum += value - (i >= window ? (values[i - window] ?? 0) : 0);
    return sum / Math.min(i + 1, window);
  });
}

/** Indices of at most `most` points that stand for a line of `count`: evenly, and always the last. */
export function thin(count: number, most: number): number[] {
  if (count <= most) return Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: most }, (_, i) => Math.round((i * (count - 1)) / (most - 1)));
}
