// Random masks from a counter-based generator: a word depends on its stream and its index only, so chunks and threads may ask
// for any part of a stream in any order. Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011).

const M0: i32 = <i32>0xd2511f53;
const M1: i32 = <i32>0xcd9e8d57;
const W0: u32 = 0x9e3779b9;
const W1: u32 = 0xbb67ae85;
const ROUNDS = 10;

/** High halves of the four 64-bit products x m. */
@inline
function highs(x: v128, m: v128): v128 {
  const front = i64x2.extmul_low_i32x4_u(x, m);
  const back = i64x2.extmul_high_i32x4_u(x, m);
  return i8x16.shuffle(front, back, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}

/** Words 0, 1 of a, 0, 1 of b. */
@inline
function frontHalves(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
}

@inline
function backHalves(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
}

/** Words a0 b0 a1 b1. */
@inline
function zipFront(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
}

@inline
function zipBack(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
}

/**
 * Writes words 4c … 4c + n - 1 of a stream to `dst`, for the counter c = low + 2^32 high: word i of a stream is word i mod 4 of
 * Philox4x32-10 with counter (floor(i / 4), stream[2], stream[3]) and key (stream[0], stream[1]); `stream` is four uint32.
 * c must be a multiple of 4. Writes whole groups of sixteen words.
 */
export function randomWords(stream: usize, low: u32, high: u32, dst: usize, n: i32): void {
  const m0 = i32x4.splat(M0);
  const m1 = i32x4.splat(M1);
  const w0 = i32x4.splat(W0);
  const w1 = i32x4.splat(W1);
  const key0 = v128.load32_splat(stream);
  const key1 = v128.load32_splat(stream, 4);
  const tensor0 = v128.load32_splat(stream, 8);
  const tensor1 = v128.load32_splat(stream, 12);
  let counter = <u64>low | (<u64>high << 32);
  for (let i = 0; i < n; i += 16) {
    let c0 = i32x4.add(i32x4.splat(<i32>counter), i32x4(0, 1, 2, 3));
    let c1 = i32x4.splat(<i32>(counter >> 32));
    let c2 = tensor0;
    let c3 = tensor1;
    let k0 = key0;
    let k1 = key1;
    for (let round = 0; round < ROUNDS; round++) {
      const next0 = v128.xor(v128.xor(highs(c2, m1), c1), k0);
      const next2 = v128.xor(v128.xor(highs(c0, m0), c3), k1);
      c1 = i32x4.mul(c2, m1);
      c3 = i32x4.mul(c0, m0);
      c0 = next0;
      c2 = next2;
      k0 = i32x4.add(k0, w0);
      k1 = i32x4.add(k1, w1);
    }
    // Four words of each counter lie side by side in the stream.
    const at = dst + (<usize>i << 2);
    const front = zipFront(c0, c1);
    const frontNext = zipFront(c2, c3);
    const back = zipBack(c0, c1);
    const backNext = zipBack(c2, c3);
    v128.store(at, frontHalves(front, frontNext));
    v128.store(at, backHalves(front, frontNext), 16);
    v128.store(at, frontHalves(back, backNext), 32);
    v128.store(at, backHalves(back, backNext), 48);
    counter += 4;
  }
}

const RANGE: f32 = 4294967296.0;

/** Lanes to drop: those whose random word does not lie below floor(p · 2^32), none where p is 1: at most 2^-32 from 1 - p. */
@inline
function dropped(words: v128, p: v128): v128 {
  const bar = i32x4.trunc_sat_f32x4_u(f32x4.mul(p, f32x4.splat(RANGE)));
  return v128.and(i32x4.ge_u(words, bar), f32x4.lt(p, f32x4.splat(1)));
}

/** Divides four entries, and sets those to +0 that are dropped. */
@inline
function divideKept(at: usize, divisor: v128, drop: v128): void {
  v128.store(at, v128.andnot(f32x4.div(v128.load(at), divisor), drop));
}

@inline
function laneSum(x: v128): i32 {
  return i32x4.extract_lane(x, 0) + i32x4.extract_lane(x, 1) + i32x4.extract_lane(x, 2) + i32x4.extract_lane(x, 3);
}

/** The lanes of the last group that are there. */
@inline
function tailMask(n: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(n & 3));
}

/**
 * Keeps each element with probability p, by its random word, and sets the others to +0, in place; with `rescale` what is kept is
 * divided by p. Returns how many were kept. `data` must be padded to a multiple of 4.
 */
export function keepRandom(data: usize, n: i32, words: usize, p: f32, rescale: bool): i32 {
  const bar = i32x4.splat(p < 1 ? <i32>(<u32>(p * RANGE)) : 0);
  const some = i32x4.splat(p < 1 ? -1 : 0);
  const divisor = f32x4.splat(rescale ? p : 1);
  const end = data + (<usize>n << 2);
  let drops = i32x4.splat(0);
  let at = data;
  for (; at + 16 <= end; at += 16) {
    const drop = v128.and(i32x4.ge_u(v128.load(words + (at - data)), bar), some);
    drops = i32x4.sub(drops, drop);
    divideKept(at, divisor, drop);
  }
  if (at < end) {
    const drop = v128.and(i32x4.ge_u(v128.load(words + (at - data)), bar), some);
    drops = i32x4.sub(drops, v128.and(drop, tailMask(n)));
    divideKept(at, divisor, v128.or(drop, v128.not(tailMask(n))));
  }
  return n - laneSum(drops);
}

/** As keepRandom, with a probability for each element: float32 at `probabilities`. */
export function keepRandomEach(data: usize, n: i32, words: usize, probabilities: usize, rescale: bool): i32 {
  const one = f32x4.splat(1);
  const whole = i32x4.splat(rescale ? 0 : -1);
  const end = data + (<usize>n << 2);
  let drops = i32x4.splat(0);
  let at = data;
  for (; at + 16 <= end; at += 16) {
    const p = v128.load(probabilities + (at - data));
    const drop = dropped(v128.load(words + (at - data)), p);
    drops = i32x4.sub(drops, drop);
    divideKept(at, v128.bitselect(one, p, whole), drop);
  }
  if (at < end) {
    const p = v128.load(probabilities + (at - data));
    const drop = dropped(v128.load(words + (at - data)), p);
    drops = i32x4.sub(drops, v128.and(drop, tailMask(n)));
    divideKept(at, v128.bitselect(one, p, whole), v128.or(drop, v128.not(tailMask(n))));
  }
  return n - laneSum(drops);
}
