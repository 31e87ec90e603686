// Selection by magnitude inside the rows of a matrix, without ordering them: rows are short enough to be counted again and again
// in the first-level cache. Keys are those of select.ts.

const MAGNITUDE: i32 = 0x7fffffff;

/** What a look at a row finds below and from its bar on. */
let most: i32 = 0;
let least: i32 = 0;

/** Keys of a row that are `bar` or larger; `least` becomes the smallest of them, `most` the largest of the others. */
@inline
function look(row: usize, c: i32, bar: i32): i32 {
  const mask = i32x4.splat(MAGNITUDE);
  const bars = i32x4.splat(bar - 1);
  let count = i32x4.splat(0);
  let below = i32x4.splat(0);
  let above = i32x4.splat(MAGNITUDE);
  let i = 0;
  for (; i + 8 <= c; i += 8) {
    const at = row + (<usize>i << 2);
    const a = v128.and(v128.load(at), mask);
    const b = v128.and(v128.load(at, 16), mask);
    const aIn = i32x4.gt_s(a, bars);
    const bIn = i32x4.gt_s(b, bars);
    count = i32x4.add(count, i32x4.add(aIn, bIn));
    below = i32x4.max_s(below, i32x4.max_s(v128.andnot(a, aIn), v128.andnot(b, bIn)));
    above = i32x4.min_s(above, i32x4.min_s(v128.or(a, v128.andnot(mask, aIn)), v128.or(b, v128.andnot(mask, bIn))));
  }
  let n = -(
    i32x4.extract_lane(count, 0) +
    i32x4.extract_lane(count, 1) +
    i32x4.extract_lane(count, 2) +
    i32x4.extract_lane(count, 3)
  );
  let up = min(
    min(i32x4.extract_lane(above, 0), i32x4.extract_lane(above, 1)),
    min(i32x4.extract_lane(above, 2), i32x4.extract_lane(above, 3)),
  );
  let down = max(
    max(i32x4.extract_lane(below, 0), i32x4.extract_lane(below, 1)),
    max(i32x4.extract_lane(below, 2), i32x4.extract_lane(below, 3)),
  );
  for (; i < c; i++) {
    const key = load<i32>(row + (<usize>i << 2)) & MAGNITUDE;
    if (key >= bar) {
      n++;
      up = min(up, key);
    } else {
      down = max(down, key);
    }
  }
  least = up;
  most = down;
  return n;
}

/** The place found last: its key, and the index below which entries equal to that lie before it. */
let key: i32 = 0;
let end: i32 = 0;

/** After so many looks one halves what is left, however keys are spread. */
const HALVE_EVERY = 4;

/**
 * Finds the entry that `rank` of a row's entries lie up to, the largest first, 1 <= rank <= c; of equals the lowest index first. It is
 * looked for at `guess` first, then `reach` beside it (below 0: nothing is known). Only the time depends on them.
 */
function find(row: usize, c: i32, rank: i32, guess: i32, reach: i32): void {
  // The key lies in [low, high]. From `low` on there are `atLow` entries, `aboveHigh` lie above `high`.
  let low = 0;
  let high = MAGNITUDE;
  let atLow = c;
  let aboveHigh = 0;
  let bar = guess;
  for (let looks = 1; low < high; looks++) {
    if (bar <= low || bar > high) {
      const share = <f64>(rank - aboveHigh - 0.5) / <f64>(atLow - aboveHigh);
      const step = looks % HALVE_EVERY == 0 ? (high - low) >> 1 : <i32>(<f64>(high - low) * share);
      bar = min(high, max(low + 1, high - step));
    }
    const n = look(row, c, bar);
    if (n >= rank) {
      low = least;
      atLow = n;
      if (n == rank) break;
      bar = high == MAGNITUDE && reach >= 0 ? low + 1 + reach : 0;
    } else {
      high = most;
      aboveHigh = n;
      if (n == rank - 1) {
        low = high;
        atLow = -1;
        break;
      }
      bar = low == 0 && reach >= 0 ? high - reach : 0;
    }
    if (reach >= 0) reach = min(2 * reach + 1, 1 << 28);
  }
  key = low;
  end = atLow == rank ? c : endOf(row, c, low, rank - aboveHigh);
}

/** Index just after the `nth` (1-based) entry of a row whose key is `equal`; there are as many. */
@inline
function endOf(row: usize, c: i32, equal: i32, nth: i32): i32 {
  const mask = i32x4.splat(MAGNITUDE);
  const equals = i32x4.splat(equal);
  let left = nth;
  let i = 0;
  for (; i + 8 <= c; i += 8) {
    const at = row + (<usize>i << 2);
    const a = i32x4.eq(v128.and(v128.load(at), mask), equals);
    const b = i32x4.eq(v128.and(v128.load(at, 16), mask), equals);
    const count = popcnt(i32x4.bitmask(a) | (i32x4.bitmask(b) << 4));
    if (count >= left) break;
    left -= count;
  }
  for (; i < c; i++) {
    if ((load<i32>(row + (<usize>i << 2)) & MAGNITUDE) == equal && --left == 0) return i + 1;
  }
  return c;
}

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
      find(row, c, kept + outliers, max(inner, 0), innerReach);
      innerReach = r == 0 ? 0 : (innerReach >> 1) + abs(key - inner);
      inner = key;
      innerEnd = end;
    }
    if (kept > 0 && outliers > 0) {
      find(row, c, outliers, outer, outerReach);
      outerReach = r == 0 ? 0 : (outerReach >> 1) + abs(key - outer);
      outer = key;
      outerEnd = end;
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
  let count =
    i32x4.extract_lane(kept, 0) +
    i32x4.extract_lane(kept, 1) +
    i32x4.extract_lane(kept, 2) +
    i32x4.extract_lane(kept, 3);
  for (; i < n; i++) {
    const at = <usize>i << 2;
    if (load<i32>(marks + at) != 0) count++;
    else store<i32>(data + at, 0);
  }
  return count;
}
