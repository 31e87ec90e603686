// Finds the entry at a place of an order by looking at all entries a few times, without ordering or moving them: fast where they stay in
// a cache, as rows and samples do. What is ordered are keys (keys.ts), or with `signed` the 32-bit integers themselves.
import { lanes, MAGNITUDE } from './keys';

/** What a look found: the smallest key from its bar on, and the largest below. */
let least: i32 = 0;
let most: i32 = 0;

@inline
function lowest(signed: bool): i32 {
  return signed ? i32.MIN_VALUE : 0;
}

@inline
function maskOf(signed: bool): i32 {
  return signed ? -1 : MAGNITUDE;
}

/** How many keys are `bar`, which is not the lowest, or larger; sets `least` and `most`. */
@inline
function look(row: usize, c: i32, bar: i32, signed: bool): i32 {
  const mask = i32x4.splat(maskOf(signed));
  const bars = i32x4.splat(bar - 1);
  const floor = i32x4.splat(lowest(signed));
  const ceiling = i32x4.splat(i32.MAX_VALUE);
  let count = i32x4.splat(0);
  let below = floor;
  let above = ceiling;
  let i = 0;
  for (; i + 8 <= c; i += 8) {
    const at = row + (<usize>i << 2);
    const a = v128.and(v128.load(at), mask);
    const b = v128.and(v128.load(at, 16), mask);
    const aIn = i32x4.gt_s(a, bars);
    const bIn = i32x4.gt_s(b, bars);
    count = i32x4.add(count, i32x4.add(aIn, bIn));
    below = i32x4.max_s(below, i32x4.max_s(v128.bitselect(floor, a, aIn), v128.bitselect(floor, b, bIn)));
    above = i32x4.min_s(above, i32x4.min_s(v128.bitselect(a, ceiling, aIn), v128.bitselect(b, ceiling, bIn)));
  }
  let n = -lanes(count);
  let up = min(
    min(i32x4.extract_lane(above, 0), i32x4.extract_lane(above, 1)),
    min(i32x4.extract_lane(above, 2), i32x4.extract_lane(above, 3)),
  );
  let down = max(
    max(i32x4.extract_lane(below, 0), i32x4.extract_lane(below, 1)),
    max(i32x4.extract_lane(below, 2), i32x4.extract_lane(below, 3)),
  );
  for (; i < c; i++) {
    const key = load<i32>(row + (<usize>i << 2)) & maskOf(signed);
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
export let foundKey: i32 = 0;
export let foundEnd: i32 = 0;

/** After so many looks one halves what is left, however keys are spread. */
const HALVE_EVERY = 4;

/**
 * Finds the entry that `rank` of a row's entries lie up to, the largest first, 1 <= rank <= c; of equals the lowest index first. It is
 * looked for at `guess` first, then `reach` beside it (below 0: nothing is known). Only the time depends on them.
 */
@inline
export function find(row: usize, c: i32, rank: i32, guess: i32, reach: i32, signed: bool): void {
  // The key lies in [low, high]. From `low` on there are `atLow` entries, `aboveHigh` lie above `high`.
  let low = lowest(signed);
  let high = i32.MAX_VALUE;
  let atLow = c;
  let aboveHigh = 0;
  let bar = guess;
  for (let looks = 1; low < high; looks++) {
    if (bar <= low || bar > high) {
      const share = <f64>(rank - aboveHigh - 0.5) / <f64>(atLow - aboveHigh);
      const width = <i64>high - <i64>low;
      const step = looks % HALVE_EVERY == 0 ? width >> 1 : <i64>(<f64>width * share);
      bar = max(low + 1, <i32>(<i64>high - step));
    }
    const n = look(row, c, bar, signed);
    if (n >= rank) {
      low = least;
      atLow = n;
      if (n == rank) break;
      bar = high == i32.MAX_VALUE && reach >= 0 ? low + 1 + reach : 0;
    } else {
      high = most;
      aboveHigh = n;
      if (n == rank - 1) {
        low = high;
        atLow = -1;
        break;
      }
      bar = low == lowest(signed) && reach >= 0 ? high - reach : 0;
    }
    if (reach >= 0) reach = min(2 * reach + 1, 1 << 28);
  }
  foundKey = low;
  foundEnd = atLow == rank ? c : endOf(row, c, low, rank - aboveHigh, signed);
}

/** Index just after the `nth` (1-based) entry of a row whose key is `equal`; there are as many. */
@inline
function endOf(row: usize, c: i32, equal: i32, nth: i32, signed: bool): i32 {
  const mask = i32x4.splat(maskOf(signed));
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
    if ((load<i32>(row + (<usize>i << 2)) & maskOf(signed)) == equal && --left == 0) return i + 1;
  }
  return c;
}

/** Of so many entries one is drawn, to look first where the place may be; fewer than FEWEST_DRAWN are no help. */
const DRAWN_SHARE = 64;
const FEWEST_DRAWN = 64;

/** Keys from `low` to `high`, without signs, one behind the other at `dst`, with room for n + 8; returns how many are larger. */
@inline
function gather(data: usize, n: i32, low: i32, high: i32, signed: bool, dst: usize): i32 {
  const mask = i32x4.splat(maskOf(signed));
  const lows = i32x4.splat(low);
  const highs = i32x4.splat(high);
  let above = i32x4.splat(0);
  let next = dst;
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const at = data + (<usize>i << 2);
    const a = v128.and(v128.load(at), mask);
    const b = v128.and(v128.load(at, 16), mask);
    const aHigh = i32x4.gt_s(a, highs);
    const bHigh = i32x4.gt_s(b, highs);
    above = i32x4.add(above, i32x4.add(aHigh, bHigh));
    const aOut = v128.or(aHigh, i32x4.gt_s(lows, a));
    const bOut = v128.or(bHigh, i32x4.gt_s(lows, b));
    let bits = (i32x4.bitmask(aOut) | (i32x4.bitmask(bOut) << 4)) ^ 0xff;
    while (bits != 0) {
      store<i32>(next, load<i32>(at + (<usize>ctz(bits) << 2)) & maskOf(signed));
      next += 4;
      bits &= bits - 1;
    }
  }
  let larger = -lanes(above);
  for (; i < n; i++) {
    const key = load<i32>(data + (<usize>i << 2)) & maskOf(signed);
    if (key > high) larger++;
    else if (key >= low) {
      store<i32>(next, key);
      next += 4;
    }
  }
  gathered = <i32>((next - dst) >> 2);
  return larger;
}

/** How many keys `gather` found last. */
let gathered: i32 = 0;

/**
 * Looks among a few entries for two keys that the place most likely lies between, and at those between them only. False where it lies
 * elsewhere, or there are too few; else sets foundKey, and `above` and `upTo` as findPlace says.
 */
@inline
function findNarrowed(data: usize, n: i32, rank: i32, signed: bool, scratch: usize): bool {
  const drawn = n / DRAWN_SHARE;
  if (drawn < FEWEST_DRAWN) return false;
  for (let i = 0; i < drawn; i++) {
    store<i32>(scratch + (<usize>i << 2), load<i32>(data + (<usize>(i * DRAWN_SHARE) << 2)) & maskOf(signed));
  }
  const share = <f64>rank / <f64>n;
  const margin = <i32>(4 * sqrt(<f64>drawn * share * (1 - share))) + 2;
  const middle = <i32>(<f64>drawn * share);
  let high = i32.MAX_VALUE;
  let low = lowest(signed);
  if (middle - margin > 0) {
    find(scratch, drawn, middle - margin, 0, -1, signed);
    high = foundKey;
  }
  if (middle + margin < drawn) {
    find(scratch, drawn, middle + margin, 0, -1, signed);
    low = foundKey;
  }
  const larger = gather(data, n, low, high, signed, scratch);
  if (rank <= larger || rank > larger + gathered) return false;
  find(scratch, gathered, rank - larger, 0, -1, signed);
  above = larger + countFrom(scratch, gathered, foundKey, signed, true);
  upTo = larger + countFrom(scratch, gathered, foundKey, signed, false);
  return true;
}

/** Entries that are larger than what lies at the place found last, and as large or larger. */
let above: i32 = 0;
let upTo: i32 = 0;

@inline
function place(data: usize, n: i32, rank: i32, signed: bool, scratch: usize): void {
  if (findNarrowed(data, n, rank, signed, scratch)) {
    foundEnd = upTo == rank ? n : endOf(data, n, foundKey, rank - above, signed);
    return;
  }
  find(data, n, rank, 0, -1, signed);
  above = countFrom(data, n, foundKey, signed, true);
  upTo = countFrom(data, n, foundKey, signed, false);
}

/**
 * Finds the entry that `rank` of n entries lie up to, 1 <= rank <= n, the largest first; of equals the lowest index first. Four int32 at
 * `result`: its key, an index below which those of its equals are that lie up to it, and no others, how many are larger, and how many are as
 * large or larger. `scratch` has room for n int32.
 */
export function findPlace(data: usize, n: i32, rank: i32, signed: bool, scratch: usize, result: usize): void {
  if (signed) place(data, n, rank, true, scratch);
  else place(data, n, rank, false, scratch);
  store<i32>(result, foundKey);
  store<i32>(result, foundEnd, 4);
  store<i32>(result, above, 8);
  store<i32>(result, upTo, 12);
}

/** How many keys are `key` or larger; with `over` only the larger ones. */
@inline
function countFrom(data: usize, n: i32, key: i32, signed: bool, over: bool): i32 {
  if (over) return key == i32.MAX_VALUE ? 0 : countUpTo(data, n, key + 1, signed);
  return key == lowest(signed) ? n : countUpTo(data, n, key, signed);
}

/** How many keys are `bar` or larger. */
@inline
function countUpTo(data: usize, n: i32, bar: i32, signed: bool): i32 {
  const mask = i32x4.splat(maskOf(signed));
  const bars = i32x4.splat(bar);
  let below = i32x4.splat(0);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const at = data + (<usize>i << 2);
    const a = i32x4.gt_s(bars, v128.and(v128.load(at), mask));
    const b = i32x4.gt_s(bars, v128.and(v128.load(at, 16), mask));
    below = i32x4.sub(below, i32x4.add(a, b));
  }
  let count = i - lanes(below);
  for (; i < n; i++) if ((load<i32>(data + (<usize>i << 2)) & maskOf(signed)) >= bar) count++;
  return count;
}

/** How many of n keys are larger than `key`, or with `equals` as large too; the other arguments as those of findPlace. */
export function countAbove(data: usize, n: i32, key: i32, equals: bool, signed: bool): i32 {
  return signed ? countFrom(data, n, key, true, !equals) : countFrom(data, n, key, false, !equals);
}
