import type { Dim } from './types.js';

/** The shape that two shapes broadcast to. A number wins over a name; of two names that differ, neither does. */
export function broadcastDims(a: readonly Dim[], b: readonly Dim[], unknown: () => Dim): Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const p = a[i - rank + a.length] ?? 1;
    const q = b[i - rank + b.length] ?? 1;
    if (p === q || q === 1) return p;
    if (p === 1) return q;
    if (typeof p === 'number') return p;
    return typeof q === 'number' ? q : unknown();
  });
}

/**
 * The axes of `from` over which a gradient is summed so that it fits `to`, which was broadcast to `from`: those
 * that `to` lacks or has 1 in. Null when names leave it open.
 */
export function broadcastAxes(from: readonly Dim[], to: readonly Dim[]): number[] | null {
  const missing = from.length - to.length;
  const axes: number[] = [];
  for (const [axis, dim] of from.entries()) {
    const target = to[axis - missing];
    if (target === dim) continue;
    if (target === undefined || target === 1) axes.push(axis);
    // A name may be 1; but where a name came out, a number other than 1 is that number.
    else if (typeof target === 'string' && dim !== 1) return null;
  }
  return axes;
}
