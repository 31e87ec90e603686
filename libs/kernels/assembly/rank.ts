// Ranks by magnitude inside the rows of a matrix. A row is ordered by counting the bytes of its keys (float32 bits without the
// sign), four passes at most; ranks need the whole order, so the selection of select.ts does not do.

const MAGNITUDE: u32 = 0x7fffffff;
/** Up to here insertion is faster than counting bytes. */
const SHORT_ROW = 32;
/** Four histograms of 256 uint32. */
const HISTOGRAMS: usize = 4096;

/**
 * Orders a row by key, largest last; among equals the lowest index is last. Returns where the order is, in `scratch` (4096 + 16 c
 * bytes): c uint64, each a key in the upper half and an index in the lower one.
 */
@inline
function orderRow(row: usize, c: i32, scratch: usize): usize {
  const from = scratch + HISTOGRAMS;
  return c <= SHORT_ROW ? orderByInsertion(row, c, from) : orderByBytes(row, c, scratch, from);
}

@inline
function entryOf(row: usize, index: i32): u64 {
  return (<u64>(load<u32>(row + (<usize>index << 2)) & MAGNITUDE) << 32) | <u64>index;
}

function orderByInsertion(row: usize, c: i32, order: usize): usize {
  for (let i = 0; i < c; i++) {
    const entry = entryOf(row, c - 1 - i);
    let at = order + (<usize>i << 3);
    while (at > order && load<u64>(at - 8) >> 32 > entry >> 32) {
      store<u64>(at, load<u64>(at - 8));
      at -= 8;
    }
    store<u64>(at, entry);
  }
  return order;
}

function orderByBytes(row: usize, c: i32, histograms: usize, order: usize): usize {
  let from = order;
  let to = order + (<usize>c << 3);
  for (let at = histograms; at < histograms + HISTOGRAMS; at += 8) store<u64>(at, 0);
  for (let i = 0; i < c; i++) {
    const entry = entryOf(row, c - 1 - i);
    store<u64>(from + (<usize>i << 3), entry);
    for (let pass: usize = 0; pass < 4; pass++) {
      const bin = histograms + (pass << 10) + (<usize>((entry >> (32 + (<u64>pass << 3))) & 255) << 2);
      store<u32>(bin, load<u32>(bin) + 1);
    }
  }
  for (let pass: usize = 0; pass < 4; pass++) {
    const shift = 32 + (<u64>pass << 3);
    const bins = histograms + (pass << 10);
    // Where all keys share the byte there is nothing to order.
    if (load<u32>(bins + (<usize>((load<u64>(from) >> shift) & 255) << 2)) == <u32>c) continue;
    let begin: u32 = 0;
    for (let bin = bins; bin < bins + 1024; bin += 4) {
      const count = load<u32>(bin);
      store<u32>(bin, begin);
      begin += count;
    }
    for (let at = from, end = from + (<usize>c << 3); at < end; at += 8) {
      const entry = load<u64>(at);
      const bin = bins + (<usize>((entry >> shift) & 255) << 2);
      const place = load<u32>(bin);
      store<u32>(bin, place + 1);
      store<u64>(to + (<usize>place << 3), entry);
    }
    const spare = from;
    from = to;
    to = spare;
  }
  return from;
}

/**
 * Replaces each entry of `rows` rows of c float32 by a probability that grows evenly with the rank of its magnitude in its row:
 * low for the smallest, high for the largest. Equals get the mean of theirs, the one entry of a row of one (low + high) / 2.
 * Computed in float64, rounded to float32. `scratch`: 4096 + 16 c bytes.
 */
export function rankProbabilities(data: usize, rows: i32, c: i32, scratch: usize, low: f64, high: f64): void {
  const steps = 2 * <f64>(c - 1);
  for (let r = 0; r < rows; r++) {
    const row = data + ((<usize>r * <usize>c) << 2);
    const order = orderRow(row, c, scratch);
    for (let first = 0; first < c; ) {
      const key = load<u64>(order + (<usize>first << 3)) >> 32;
      let end = first + 1;
      while (end < c && load<u64>(order + (<usize>end << 3)) >> 32 == key) end++;
      const share = c == 1 ? 0.5 : <f64>(first + end - 1) / steps;
      const p = <f32>(low + (high - low) * share);
      for (let i = first; i < end; i++) {
        store<f32>(row + (<usize>load<u32>(order + (<usize>i << 3)) << 2), p);
      }
      first = end;
    }
  }
}
