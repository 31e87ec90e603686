/** Plain TypeScript twins of assembly/exponential.ts: the same operations on float64. */

// biome-ignore format: a table
const Q = [
  0.5000000000000001, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062, 0.0013888888917213717,
  0.00019841269863053618, 2.4801521295954376e-5, 2.7557268459997064e-6, 2.7620088445409746e-7, 2.510038549551032e-8,
] as const;
const ROUNDING = 1.5 * 2 ** 52;

export function exp(x: number): number {
  const within = Math.min(Math.max(x, -708), 709);
  const k = within * Math.LOG2E + ROUNDING - ROUNDING;
  const r = within - k * 0.6931471804855391 - k * 7.440617110012397e-11;
  const r2 = r * r;
  const r4 = r2 * r2;
  const front = Q[0] + Q[1] * r + r2 * (Q[2] + Q[3] * r);
  const back = Q[4] + Q[5] * r + r2 * (Q[6] + Q[7] * r) + r4 * (Q[8] + Q[9] * r);
  return (1 + (r + r2 * (front + r4 * back))) * 2 ** k;
}

export function tanh(x: number): number {
  if (Math.abs(x) >= 0.4) return Math.sign(x) * (1 - 2 / (exp(2 * Math.abs(x)) + 1));
  const s = x * x;
  const above = s * (17325 + 378 * s + s * s);
  const below = s * (62370 + 3150 * s + 28 * (s * s));
  return (x * (135135 + above)) / (135135 + below);
}
