// Ranks by magnitude inside the rows of a matrix. Keys are float32 bits without the sign. Mostly a row is looked at twice: its keys are
// counted in bins that split each power of two below the largest key in 256, and an entry takes its rank from its bin. Differences of
// bfloat16 are few enough for that; the few entries whose bin began with another key are ordered. Rows with many of these, and short
// ones, are ordered as a whole, by counting the bytes of their keys.

const MAGNITUDE: i32 = 0x7fffffff;
/** Up to here insertion is faster than counting bytes. */
const SHORT_LIST = 32;
/** From here on bins are worth their clearing. */
const LONG_ROW = 512;
const BINS = 2048;
/** Keys of a bin: 2^15. */
const BIN_SHIFT = 15;
/** After how many entries it is looked again whether there are too many to be ordered. */
const STRETCH = 256;
/** Of this many entries one may have to be ordered, after the first few. */
const ORDERED_SHARE = 8;
const FEW = 32;

/** Four histograms of 256 uint32. */
const HISTOGRAMS: usize = 4096;
/** By bin: uint32 count of its entries, later that of the entries below it; and its first key. One more bin ends the last. */
const BIN_BYTES: usize = (BINS + 1) << 3;
/** By bin: the probability of its first key. */
const PROBABILITY_BYTES: usize = BINS << 2;

/** Where a row's scratch is divided. */
const BINS_AT: usize = HISTOGRAMS;
const PROBABILITIES_AT: usize = BINS_AT + BIN_BYTES + 8;
const ORDER_AT: usize = PROBABILITIES_AT + PROBABILITY_BYTES;

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

/** By twice the mean rank of equals, 0 … 2 (c - 1). */
function writeTable(table: usize, c: i32, low: f64, high: f64): void {
  const steps = 2 * <f64>(c - 1);
  for (let i = 0; i < 2 * c - 1; i++) {
    const share = c == 1 ? 0.5 : <f64>i / steps;
    store<f32>(table + (<usize>i << 2), <f32>(low + (high - low) * share));
  }
}

function rankWhole(row: usize, c: i32, scratch: usize, table: usize): void {
  const entries = scratch + ORDER_AT;
  for (let i = 0; i < c; i++) store<u64>(entries + (<usize>i << 3), entryOf(keyAt(row, i), i));
  const ordered = order(entries, c, scratch);
  for (let first = 0; first < c; ) {
    const key = keyOf(ordered + (<usize>first << 3));
    let end = first + 1;
    while (end < c && keyOf(ordered + (<usize>end << 3)) == key) end++;
    const p = probabilityOf(table, first, end - first);
    for (let i = first; i < end; i++) store<f32>(row + (<usize>load<u32>(ordered + (<usize>i << 3)) << 2), p);
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

@inline
function binOf(key: i32, least: i32): usize {
  return <usize>(max(key - least, 0) >> BIN_SHIFT);
}

/** Counts the keys by bin, and lists the entries that are not equal to the first of their bin. Returns how many; -1: too many. */
@inline
function countBins(row: usize, c: i32, least: i32, bins: usize, entries: usize): i32 {
  for (let at = bins; at < bins + BIN_BYTES; at += 16) v128.store(at, i32x4.splat(0));
  let other = entries;
  for (let start = 0; start < c; start += STRETCH) {
    const end = min(c, start + STRETCH);
    for (let i = start; i < end; i++) {
      const key = keyAt(row, i);
      const bin = bins + (binOf(key, least) << 3);
      const count = load<u32>(bin);
      const first = select(key, load<i32>(bin, 4), count == 0);
      store<u32>(bin, count + 1);
      store<i32>(bin, first, 4);
      store<u64>(other, entryOf(key, i));
      other += <usize>(first != key) << 3;
    }
    if (<i32>((other - entries) >> 3) > FEW + end / ORDERED_SHARE) return -1;
  }
  return <i32>((other - entries) >> 3);
}

/**
 * Gives the entries of `ordered` their probabilities, in the place of their keys, and corrects those of the first keys of their bins.
 */
@inline
function splitBins(ordered: usize, count: i32, least: i32, bins: usize, probabilities: usize, table: usize): void {
  const last = ordered + (<usize>count << 3);
  for (let at = ordered; at < last; ) {
    const bin = binOf(keyOf(at), least);
    const here = bins + (bin << 3);
    let end = at + 8;
    while (end < last && binOf(keyOf(end), least) == bin) end += 8;
    let below = load<i32>(here);
    const first = <u32>load<i32>(here, 4);
    const equals = load<i32>(here, 8) - below - <i32>((end - at) >> 3);
    let isFirstBelow = false;
    while (at < end) {
      const key = keyOf(at);
      if (!isFirstBelow && first < key) {
        store<f32>(probabilities + (bin << 2), probabilityOf(table, below, equals));
        below += equals;
        isFirstBelow = true;
      }
      let next = at + 8;
      while (next < end && keyOf(next) == key) next += 8;
      const same = <i32>((next - at) >> 3);
      const p = probabilityOf(table, below, same);
      for (; at < next; at += 8) store<f32>(at, p, 4);
      below += same;
    }
    if (!isFirstBelow) store<f32>(probabilities + (bin << 2), probabilityOf(table, below, equals));
  }
}

/** False, and nothing done, where too many entries would have to be ordered. */
function rankByBins(row: usize, c: i32, scratch: usize, table: usize): bool {
  const bins = scratch + BINS_AT;
  const probabilities = scratch + PROBABILITIES_AT;
  const entries = scratch + ORDER_AT;
  // The largest key falls into the last bin, and what is below 2^-8 of it into the first.
  const least = largestKey(row, c) - ((BINS << BIN_SHIFT) - 1);
  const others = countBins(row, c, least, bins, entries);
  if (others < 0) return false;
  let below = 0;
  for (let bin: usize = 0; bin < <usize>BINS; bin++) {
    const here = bins + (bin << 3);
    const count = load<i32>(here);
    store<i32>(here, below);
    // Of an empty bin it is any number.
    store<f32>(probabilities + (bin << 2), probabilityOf(table, below, count));
    below += count;
  }
  store<i32>(bins + (BINS << 3), below);
  const ordered = order(entries, others, scratch);
  splitBins(ordered, others, least, bins, probabilities, table);
  for (let i = 0; i < c; i++) {
    const p = load<f32>(probabilities + (binOf(keyAt(row, i), least) << 2));
    store<f32>(row + (<usize>i << 2), p);
  }
  for (let at = ordered; at < ordered + (<usize>others << 3); at += 8) {
    store<f32>(row + (<usize>load<u32>(at) << 2), load<f32>(at, 4));
  }
  return true;
}

/**
 * Replaces each entry of `rows` rows of c float32 by a probability that grows evenly with the rank of its magnitude in its row:
 * low for the smallest, high for the largest. Equals get the mean of theirs, the one entry of a row of one (low + high) / 2.
 * Computed in float64, rounded to float32. `scratch`: 32768 + 24 c bytes.
 */
export function rankProbabilities(data: usize, rows: i32, c: i32, scratch: usize, low: f64, high: f64): void {
  const table = scratch + ORDER_AT + (<usize>(c + 1) << 4);
  writeTable(table, c, low, high);
  for (let r = 0; r < rows; r++) {
    const row = data + ((<usize>r * <usize>c) << 2);
    if (c < LONG_ROW || !rankByBins(row, c, scratch, table)) rankWhole(row, c, scratch, table);
  }
}
