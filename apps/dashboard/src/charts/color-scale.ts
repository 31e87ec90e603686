export type Rgb = readonly [number, number, number];

/** Even steps of viridis, a scale whose lightness rises evenly and which the colour-blind can read. */
const STOPS: readonly Rgb[] = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
];

/** The colour at `share` of the scale, from 0 to 1; what is outside takes the end's. */
export function colorAt(share: number): Rgb {
  const at = Math.min(1, Math.max(0, share)) * (STOPS.length - 1);
  const below = STOPS[Math.floor(at)] ?? STOPS[0]!;
  const above = STOPS[Math.ceil(at)] ?? below;
  const part = at - Math.floor(at);
  const mix = (i: 0 | 1 | 2) => Math.round(below[i] + (above[i] - below[i]) * part);
  return [mix(0), mix(1), mix(2)];
}

/** The least and the greatest finite value; [0, 1] when there is none, and never empty. */
export function extentOf(values: Iterable<number>): [number, number] {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (least > most) return [0, 1];
  if (least < most) return [least, most];
  const room = Math.abs(least) * 0.05 || 0.5;
  return [least - room, most + room];
}
