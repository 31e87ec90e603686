// Ranks by magnitude inside the rows of a matrix. Keys are float32 bits without the sign. The keys of a row are counted in bins that split
// each power of two below the largest key in 256. Differences of bfloat16 mostly have no more digits than that: such an entry is equal to
// the first key of its bin, and takes its rank from the bin. The few others are ordered. Rows with many of these, and short ones, are
// ordered as a whole, by counting the bytes of their keys.

const MAGNITUDE: i32 = 0x7fffffff;
/** Up to here insertion is faster than counting bytes. */
const SHORT_LIST = 32;
/** From here on bins are worth looking through. */
const LONG_ROW = 128;
/** From here on the counts of a bin might not hold what they count. */
const ENDLESS_ROW = 131064;
const BINS = 2048;
/** Keys of a bin: 2^15. */
const BIN_SHIFT = 15;
/** What the keys of a bin differ in. */
const BIN_KEYS: i32 = (1 << BIN_SHIFT) - 1;
/** After how many entries it is looked again whether there are too many to be ordered. */
const STRETCH = 256;
/** Of this many entries one may have to be ordered, after the first few. */
const ORDERED_SHARE = 8;
const FEW = 32;

/** Four histograms of 256 uint32. */
const HISTOGRAMS: usize = 4096;
/** Where a bin is in a table of four bytes each. */
const PLACE_SHIFT = 2;
const TABLE_BYTES: usize = BINS << PLACE_SHIFT;

/**
 * By bin two uint16 counts, as the next entry mostly has to be counted before the last one's is written: 0 between rows. At a fixed place,
 * like the tables below, so that a place needs no addition.
 */
const COUNTS: usize = memory.data(TABLE_BYTES, 64);
/** By bin that is not empty: the probability of its first key, a float32. */
const PROBABILITIES: usize = memory.data(TABLE_BYTES, 64);
/** By bin that is not empty, uint32 each: the entries below it, and its own. */
const SPANS: usize = memory.data(2 * TABLE_BYTES, 64);

@inline
function keyAt(row: usize, index: i32): i32 {
  return load<i32>(row + (<usize>index << 2)) & MAGNITUDE;
}

/** What is ordered: a key in the upper half, an index in the lower one. */
@inline
function entryOf(key: i32, index: i32): u64 {
  return (<u64>key << 32) | <u64>index;
}

@inline
function keyOf(entry: usize): u32 {
  return load<u32>(entry, 4);
}

/** Orders `count` entries at `from` by key; `count` more have room behind them. Returns where they are then. */
function order(from: usize, count: i32, histograms: usize): usize {
  return count <= SHORT_LIST ? orderByInsertion(from, count) : orderByBytes(from, count, histograms);
}

function orderByInsertion(from: usize, count: i32): usize {
  for (let end = from + 8; end < from + (<usize>count << 3); end += 8) {
    const entry = load<u64>(end);
    let at = end;
    while (at > from && load<u64>(at - 8) >> 32 > entry >> 32) {
      store<u64>(at, load<u64>(at - 8));
      at -= 8;
    }
    store<u64>(at, entry);
  }
  return from;
}

function orderByBytes(entries: usize, count: i32, histograms: usize): usize {
  const size = <usize>count << 3;
  let from = entries;
  let to = entries + size;
  for (let at = histograms; at < histograms + HISTOGRAMS; at += 16) v128.store(at, i32x4.splat(0));
  for (let at = from; at < from + size; at += 8) {
    const key = keyOf(at);
    for (let pass: usize = 0; pass < 4; pass++) {
      const bin = histograms + (pass << 10) + (<usize>((key >> (<u32>pass << 3)) & 255) << 2);
      store<u32>(bin, load<u32>(bin) + 1);
    }
  }
  for (let pass: usize = 0; pass < 4; pass++) {
    const shift = <u32>pass << 3;
    const bins = histograms + (pass << 10);
    // Where all keys share the byte there is nothing to order.
    if (load<u32>(bins + (<usize>((keyOf(from) >> shift) & 255) << 2)) == <u32>count) continue;
    let begin: u32 = 0;
    for (let bin = bins; bin < bins + 1024; bin += 4) {
      const own = load<u32>(bin);
      store<u32>(bin, begin);
      begin += own;
    }
    for (let at = from; at < from + size; at += 8) {
      const bin = bins + (<usize>((keyOf(at) >> shift) & 255) << 2);
      const place = load<u32>(bin);
      store<u32>(bin, place + 1);
      store<u64>(to + (<usize>place << 3), load<u64>(at));
    }
    const spare = from;
    from = to;
    to = spare;
  }
  return from;
}

/** The probability of `count` equal entries with `below` entries below them. */
@inline
function probabilityOf(table: usize, below: i32, count: i32): f32 {
  return load<f32>(table + (<usize>(2 * below + count - 1) << 2));
}

function rankWhole(row: usize, c: i32, scratch: usize, table: usize, dst: usize): void {
  const entries = scratch + HISTOGRAMS;
  for (let i = 0; i < c; i++) store<u64>(entries + (<usize>i << 3), entryOf(keyAt(row, i), i));
  const ordered = order(entries, c, scratch);
  for (let first = 0; first < c; ) {
    const key = keyOf(ordered + (<usize>first << 3));
    let end = first + 1;
    while (end < c && keyOf(ordered + (<usize>end << 3)) == key) end++;
    const p = probabilityOf(table, first, end - first);
    for (let i = first; i < end; i++) store<f32>(dst + (<usize>load<u32>(ordered + (<usize>i << 3)) << 2), p);
    first = end;
  }
}

function largestKey(row: usize, c: i32): i32 {
  const mask = i32x4.splat(MAGNITUDE);
  let most = i32x4.splat(0);
  let i = 0;
  for (; i + 4 <= c; i += 4) most = i32x4.max_s(most, v128.and(v128.load(row + (<usize>i << 2)), mask));
  for (; i < c; i++) most = i32x4.max_s(most, v128.and(v128.load32_splat(row + (<usize>i << 2)), mask));
  const front = max(i32x4.extract_lane(most, 0), i32x4.extract_lane(most, 1));
  return max(front, max(i32x4.extract_lane(most, 2), i32x4.extract_lane(most, 3)));
}

/** `least`: what the keys of the first bin but one begin with, less 1. That bin takes all that is smaller, too. */
@inline
function binOf(key: i32, least: i32): i32 {
  return max((key >> BIN_SHIFT) - least, 0);
}

/** Is a key of this bin another than its first one, which is 0 in the first bin? */
@inline
function isOther(key: i32, bin: i32): bool {
  return ((bin == 0 ? key : 0) | (key & BIN_KEYS)) != 0;
}

@inline
function binsOf(keys: v128, least: v128): v128 {
  return i32x4.max_s(i32x4.sub(i32x4.shr_u(keys, BIN_SHIFT), least), i32x4.splat(0));
}

/** Not 0 where isOther. */
@inline
function othersOf(keys: v128, bins: v128): v128 {
  return v128.and(keys, v128.or(i32x4.eq(bins, i32x4.splat(0)), i32x4.splat(BIN_KEYS)));
}

/**
 * Writes where each entry is counted, as uint16, and lists the entries that are not equal to the first key of their bin.
 * Returns how many; -1: too many.
 */
@inline
function placeInBins(row: usize, c: i32, least: i32, places: usize, entries: usize): i32 {
  const magnitude = i32x4.splat(MAGNITUDE);
  const leasts = i32x4.splat(least);
  let next = entries;
  for (let start = 0; start < c; start += STRETCH) {
    const end = min(c, start + STRETCH);
    let i = start;
    for (; i + 8 <= end; i += 8) {
      const front = v128.and(v128.load(row + (<usize>i << 2)), magnitude);
      const back = v128.and(v128.load(row + (<usize>i << 2), 16), magnitude);
      const frontBins = binsOf(front, leasts);
      const backBins = binsOf(back, leasts);
      v128.store(places + (<usize>i << 1), i16x8.shl(i16x8.narrow_i32x4_u(frontBins, backBins), PLACE_SHIFT));
      const frontOthers = othersOf(front, frontBins);
      const backOthers = othersOf(back, backBins);
      const zero = i32x4.splat(0);
      const equals = i32x4.bitmask(i32x4.eq(frontOthers, zero)) | (i32x4.bitmask(i32x4.eq(backOthers, zero)) << 4);
      let others = equals ^ 255;
      // Every eighth time there is one, which no branch could foresee, and rarely two.
      const first = i + (ctz(others) & 7);
      store<u64>(next, entryOf(keyAt(row, first), first));
      next += <usize>(others != 0) << 3;
      for (others &= others - 1; others > 0; others &= others - 1) {
        const other = i + ctz(others);
        store<u64>(next, entryOf(keyAt(row, other), other));
        next += 8;
      }
    }
    for (; i < end; i++) {
      const key = keyAt(row, i);
      const bin = binOf(key, least);
      store<u16>(places + (<usize>i << 1), <u16>(bin << PLACE_SHIFT));
      store<u64>(next, entryOf(key, i));
      next += <usize>isOther(key, bin) << 3;
    }
    if (<i32>((next - entries) >> 3) > FEW + end / ORDERED_SHARE) return -1;
  }
  return <i32>((next - entries) >> 3);
}

/** Where entry `i` is counted. */
@inline
function placeOf(places: usize, i: i32): usize {
  return <usize>load<u16>(places + (<usize>i << 1));
}

@inline
function countFirst(place: usize): void {
  store<u16>(place, load<u16>(place, COUNTS) + 1, COUNTS);
}

@inline
function countSecond(place: usize): void {
  store<u16>(place, load<u16>(place, COUNTS + 2) + 1, COUNTS + 2);
}

@inline
function countPlaces(places: usize, c: i32): void {
  let i = 0;
  for (; i + 4 <= c; i += 4) {
    const at = places + (<usize>i << 1);
    countFirst(<usize>load<u16>(at));
    countSecond(<usize>load<u16>(at, 2));
    countFirst(<usize>load<u16>(at, 4));
    countSecond(<usize>load<u16>(at, 6));
  }
  for (; i < c; i++) countFirst(placeOf(places, i));
}

/** Which of 16 bins are empty. */
@inline
function emptyOf16(at: usize): u64 {
  const zero = i32x4.splat(0);
  const front = i16x8.narrow_i32x4_s(i32x4.eq(v128.load(at), zero), i32x4.eq(v128.load(at, 16), zero));
  const back = i16x8.narrow_i32x4_s(i32x4.eq(v128.load(at, 32), zero), i32x4.eq(v128.load(at, 48), zero));
  return <u64>i8x16.bitmask(i8x16.narrow_i16x8_s(front, back));
}

/** Turns counts into spans, and gives each bin the probability of its entries as if they were equal. */
@inline
function sumCounts(table: usize): void {
  let below: u32 = 0;
  for (let first: usize = 0; first < TABLE_BYTES; first += 64 << PLACE_SHIFT) {
    const counts = COUNTS + first;
    let empty = emptyOf16(counts) | (emptyOf16(counts + 64) << 16);
    empty |= (emptyOf16(counts + 128) << 32) | (emptyOf16(counts + 192) << 48);
    for (let used = ~empty; used != 0; used &= used - 1) {
      const place = first + (<usize>ctz(used) << PLACE_SHIFT);
      const both = load<u32>(place, COUNTS);
      const count = (both & 0xffff) + (both >> 16);
      store<u32>(place, 0, COUNTS);
      store<f32>(place, probabilityOf(table, below, count), PROBABILITIES);
      store<u64>(place << 1, <u64>below | (<u64>count << 32), SPANS);
      below += count;
    }
  }
}

/**
 * Gives the entries of `ordered` their probabilities, in the place of their keys, and corrects those of the first keys of their bins, which
 * are smaller.
 */
@inline
function splitBins(ordered: usize, count: i32, least: i32, table: usize): void {
  const last = ordered + (<usize>count << 3);
  for (let at = ordered; at < last; ) {
    const bin = binOf(keyOf(at), least);
    const span = SPANS + (<usize>bin << (PLACE_SHIFT + 1));
    let end = at + 8;
    while (end < last && binOf(keyOf(end), least) == bin) end += 8;
    let below = load<i32>(span);
    const firsts = load<i32>(span, 4) - <i32>((end - at) >> 3);
    store<f32>(<usize>bin << PLACE_SHIFT, probabilityOf(table, below, firsts), PROBABILITIES);
    below += firsts;
    while (at < end) {
      const key = keyOf(at);
      let next = at + 8;
      while (next < end && keyOf(next) == key) next += 8;
      const same = <i32>((next - at) >> 3);
      const p = probabilityOf(table, below, same);
      for (; at < next; at += 8) store<f32>(at, p, 4);
      below += same;
    }
  }
}

/** The probabilities of the row's entries as those of their bins. */
@inline
function takeProbabilities(dst: usize, c: i32, places: usize): void {
  let i = 0;
  for (; i + 4 <= c; i += 4) {
    const at = places + (<usize>i << 1);
    let four = v128.load32_zero(<usize>load<u16>(at), PROBABILITIES);
    four = v128.load32_lane(<usize>load<u16>(at, 2), four, 1, PROBABILITIES);
    four = v128.load32_lane(<usize>load<u16>(at, 4), four, 2, PROBABILITIES);
    four = v128.load32_lane(<usize>load<u16>(at, 6), four, 3, PROBABILITIES);
    v128.store(dst + (<usize>i << 2), four);
  }
  for (; i < c; i++) store<f32>(dst + (<usize>i << 2), load<f32>(placeOf(places, i), PROBABILITIES));
}

/** False, and nothing done, where too many entries would have to be ordered. */
function rankByBins(row: usize, c: i32, scratch: usize, table: usize, dst: usize): bool {
  const entries = scratch + HISTOGRAMS;
  // Behind the entries that may be listed, and those that may be ordered twice over.
  const places = entries + (<usize>c << 3);
  // The largest key falls into the last bin, and what is below 2^-8 of it into the first.
  const least = (largestKey(row, c) >> BIN_SHIFT) - (BINS - 1);
  const others = placeInBins(row, c, least, places, entries);
  if (others < 0) return false;
  countPlaces(places, c);
  sumCounts(table);
  const ordered = order(entries, others, scratch);
  splitBins(ordered, others, least, table);
  takeProbabilities(dst, c, places);
  for (let at = ordered; at < ordered + (<usize>others << 3); at += 8) {
    store<f32>(dst + (<usize>load<u32>(at) << 2), load<f32>(at, 4));
  }
  return true;
}

/**
 * Writes the probabilities of a row of c entries to `table`, 2 c - 1 float32: by twice the mean rank of equals, 0 … 2 (c - 1), evenly from
 * low to high; the one entry of a row of one has (low + high) / 2. Computed in float64, rounded to float32.
 */
export function rankTable(table: usize, c: i32, low: f64, high: f64): void {
  const steps = 2 * <f64>(c - 1);
  for (let i = 0; i < 2 * c - 1; i++) {
    const share = c == 1 ? 0.5 : <f64>i / steps;
    store<f32>(table + (<usize>i << 2), <f32>(low + (high - low) * share));
  }
}

/**
 * Writes to `dst`, for each entry of `rows` rows of c float32, a probability that grows with the rank of its magnitude in its row: the one
 * that `table` (rankTable) has for the rank, equals that of the mean of theirs. `scratch`: 4096 + 16 c bytes. `dst` must not overlap `data`.
 */
export function rankProbabilities(data: usize, rows: i32, c: i32, scratch: usize, table: usize, dst: usize): void {
  for (let r = 0; r < rows; r++) {
    const skipped = (<usize>r * <usize>c) << 2;
    const binned = c >= LONG_ROW && c < ENDLESS_ROW;
    if (!binned || !rankByBins(data + skipped, c, scratch, table, dst + skipped)) {
      rankWhole(data + skipped, c, scratch, table, dst + skipped);
    }
  }
}
