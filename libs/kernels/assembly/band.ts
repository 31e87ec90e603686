// Selection by magnitude inside the rows of a matrix, without ordering them.
import { highHalf, lowHalf } from './arithmetic';
import { lanes, MAGNITUDE } from './keys';
import { find, foundEnd, foundKey } from './place';

/** Marks at `dst` the entries [from, to) of a row whose key is above `inner`, but not above `outer`. */
function mark(row: usize, from: i32, to: i32, inner: i32, outer: i32, dst: usize): void {
  const mask = i32x4.splat(MAGNITUDE);
  const inners = i32x4.splat(inner);
  const outers = i32x4.splat(outer);
  let i = from;
  for (; i + 4 <= to; i += 4) {
    const at = row + (<usize>i << 2);
    const keys = v128.and(v128.load(at), mask);
    v128.store(dst + (<usize>i << 2), v128.andnot(i32x4.gt_s(keys, inners), i32x4.gt_s(keys, outers)));
  }
  for (; i < to; i++) {
    const own = load<i32>(row + (<usize>i << 2)) & MAGNITUDE;
    store<i32>(dst + (<usize>i << 2), own > inner && own <= outer ? -1 : 0);
  }
}

/**
 * For each entry of `rows` rows of c float32 a mask at `dst`: all ones when it is among the `kept` largest magnitudes of its row that
 * follow the `outliers` largest, else 0. Among equals the lowest index counts as larger. `known`: four int32 that one call leaves for the
 * next, zeros at first: where the band of the last row was. Only the time depends on them.
 */
export function markBand(data: usize, rows: i32, c: i32, kept: i32, outliers: i32, dst: usize, known: usize): void {
  // Keys above the last are outliers of nobody, and all are above -1.
  let inner = -1;
  let innerEnd = 0;
  let innerGuess = load<i32>(known);
  let innerReach = load<i32>(known, 4) - 1;
  let outer = MAGNITUDE;
  let outerEnd = 0;
  let outerGuess = load<i32>(known, 8);
  let outerReach = load<i32>(known, 12) - 1;
  if (kept == 0) outer = -1;
  for (let r = 0; r < rows; r++) {
    const row = data + ((<usize>r * <usize>c) << 2);
    const to = dst + row - data;
    if (kept > 0 && kept + outliers < c) {
      find(row, c, kept + outliers, innerGuess, innerReach, false);
      innerReach = innerReach < 0 ? 0 : (innerReach >> 1) + abs(foundKey - innerGuess);
      inner = foundKey;
      innerGuess = inner;
      innerEnd = foundEnd;
    }
    if (kept > 0 && outliers > 0) {
      find(row, c, outliers, outerGuess, outerReach, false);
      outerReach = outerReach < 0 ? 0 : (outerReach >> 1) + abs(foundKey - outerGuess);
      outer = foundKey;
      outerGuess = outer;
      outerEnd = foundEnd;
    }
    const first = min(innerEnd, outerEnd);
    const second = max(innerEnd, outerEnd);
    mark(row, 0, first, inner - 1, outer - 1, to);
    if (innerEnd < outerEnd) mark(row, first, second, inner, outer - 1, to);
    else mark(row, first, second, inner - 1, outer, to);
    mark(row, second, c, inner, outer, to);
  }
  store<i32>(known, innerGuess);
  store<i32>(known, min(innerReach, 1 << 29) + 1, 4);
  store<i32>(known, outerGuess, 8);
  store<i32>(known, min(outerReach, 1 << 29) + 1, 12);
}

/**
 * Sets elements to +0 where `marks` has none, in place. Stores how many were kept, int32, at `kept`, and returns the sum of squares of all
 * as they were, the same as sumSquares.
 */
export function keepMarked(data: usize, marks: usize, n: i32, kept: usize): f64 {
  let count = i32x4.splat(0);
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = <usize>i << 2;
    const x = v128.load(data + at);
    const a = lowHalf(x);
    const b = highHalf(x);
    low = f64x2.add(low, f64x2.mul(a, a));
    high = f64x2.add(high, f64x2.mul(b, b));
    const keep = v128.load(marks + at);
    count = i32x4.sub(count, keep);
    v128.store(data + at, v128.and(x, keep));
  }
  let many = lanes(count);
  let p0 = f64x2.extract_lane(low, 0);
  let p1 = f64x2.extract_lane(low, 1);
  let p2 = f64x2.extract_lane(high, 0);
  for (let lane = 0; i < n; i++, lane++) {
    const at = <usize>i << 2;
    const x = <f64>load<f32>(data + at);
    if (lane == 0) p0 += x * x;
    else if (lane == 1) p1 += x * x;
    else p2 += x * x;
    if (load<i32>(marks + at) != 0) many++;
    else store<i32>(data + at, 0);
  }
  store<i32>(kept, many);
  return (p0 + p1) + (p2 + f64x2.extract_lane(high, 1));
}
