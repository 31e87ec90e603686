// Selection by magnitude inside the rows of a matrix, without ordering them.
import { lanes, MAGNITUDE } from './keys';
import { find, foundEnd, foundKey } from './place';

/** Marks the entries [from, to) of a row whose key is above `inner`, but not above `outer`. */
function mark(row: usize, from: i32, to: i32, inner: i32, outer: i32): void {
  const mask = i32x4.splat(MAGNITUDE);
  const inners = i32x4.splat(inner);
  const outers = i32x4.splat(outer);
  let i = from;
  for (; i + 4 <= to; i += 4) {
    const at = row + (<usize>i << 2);
    const keys = v128.and(v128.load(at), mask);
    v128.store(at, v128.andnot(i32x4.gt_s(keys, inners), i32x4.gt_s(keys, outers)));
  }
  for (; i < to; i++) {
    const at = row + (<usize>i << 2);
    const own = load<i32>(at) & MAGNITUDE;
    store<i32>(at, own > inner && own <= outer ? -1 : 0);
  }
}

/**
 * Replaces each entry of `rows` rows of c float32 by a mask: all ones when it is among the `kept` largest magnitudes of its row that
 * follow the `outliers` largest, else 0. Among equals the lowest index counts as larger.
 */
export function markBand(data: usize, rows: i32, c: i32, kept: i32, outliers: i32): void {
  // Keys above the last are outliers of nobody, and all are above -1.
  let inner = -1;
  let innerEnd = 0;
  let innerReach = -1;
  let outer = MAGNITUDE;
  let outerEnd = 0;
  let outerReach = -1;
  if (kept == 0) outer = -1;
  for (let r = 0; r < rows; r++) {
    const row = data + ((<usize>r * <usize>c) << 2);
    if (kept > 0 && kept + outliers < c) {
      find(row, c, kept + outliers, max(inner, 0), innerReach, false);
      innerReach = r == 0 ? 0 : (innerReach >> 1) + abs(foundKey - inner);
      inner = foundKey;
      innerEnd = foundEnd;
    }
    if (kept > 0 && outliers > 0) {
      find(row, c, outliers, outer, outerReach, false);
      outerReach = r == 0 ? 0 : (outerReach >> 1) + abs(foundKey - outer);
      outer = foundKey;
      outerEnd = foundEnd;
    }
    const first = min(innerEnd, outerEnd);
    const second = max(innerEnd, outerEnd);
    mark(row, 0, first, inner - 1, outer - 1);
    if (innerEnd < outerEnd) mark(row, first, second, inner, outer - 1);
    else mark(row, first, second, inner - 1, outer);
    mark(row, second, c, inner, outer);
  }
}

/** Sets elements to +0 where `marks` has none, in place; returns how many were kept. */
export function keepMarked(data: usize, marks: usize, n: i32): i32 {
  let kept = i32x4.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = <usize>i << 2;
    const keep = v128.load(marks + at);
    kept = i32x4.sub(kept, keep);
    v128.store(data + at, v128.and(v128.load(data + at), keep));
  }
  let count = lanes(kept);
  for (; i < n; i++) {
    const at = <usize>i << 2;
    if (load<i32>(marks + at) != 0) count++;
    else store<i32>(data + at, 0);
  }
  return count;
}
