// Random masks from a counter-based generator: a word depends on its stream and its index only, so chunks and threads may ask
// for any part of a stream in any order. Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011).

import { highHalf, lowHalf, sumSquares } from './arithmetic';

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
      // The products come last: the other two are known earlier.
      const next0 = v128.xor(highs(c2, m1), v128.xor(c1, k0));
      const next2 = v128.xor(highs(c0, m0), v128.xor(c3, k1));
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
/** Bits of a random number below its upper byte. */
const REST_BITS: u32 = 24;
const REST: u32 = (1 << REST_BITS) - 1;
/** The bit of a block's number that tells the blocks of lower bits from those of upper bytes. */
const LOWER_BITS: u64 = 1 << 63;

/** Word `lane` of the block `counter` of a stream. */
function randomWord(stream: usize, counter: u64, lane: u32): u32 {
  let c0 = <u32>counter;
  let c1 = <u32>(counter >> 32);
  let c2 = load<u32>(stream, 8);
  let c3 = load<u32>(stream, 12);
  let k0 = load<u32>(stream);
  let k1 = load<u32>(stream, 4);
  for (let round = 0; round < ROUNDS; round++) {
    const p0 = <u64>c0 * <u64>(<u32>M0);
    const p1 = <u64>c2 * <u64>(<u32>M1);
    c0 = <u32>(p1 >> 32) ^ c1 ^ k0;
    c1 = <u32>p1;
    c2 = <u32>(p0 >> 32) ^ c3 ^ k1;
    c3 = <u32>p0;
    k0 += W0;
    k1 += W1;
  }
  const front = lane == 0 ? c0 : c1;
  const back = lane == 2 ? c2 : c3;
  return lane < 2 ? front : back;
}

/** The lower 24 bits of the random number of entry `index`: of word index mod 4 of block floor(index / 4) + 2^63. */
function lowerBits(stream: usize, index: u64): u32 {
  return randomWord(stream, (index >> 2) | LOWER_BITS, <u32>index & 3) & REST;
}

/** Is the random number of entry `index`, whose upper byte is given, below `bar`? */
@inline
function isBelow(byte: u32, bar: u32, stream: usize, index: u64): bool {
  const upper = bar >> REST_BITS;
  if (byte != upper) return byte < upper;
  const rest = bar & REST;
  // Densities such as 0.5 never ask for more than the byte.
  return rest != 0 && lowerBits(stream, index) < rest;
}

/** floor(p · 2^32) for p < 1. */
@inline
function barOf(p: f32): u32 {
  return <u32>(p * RANGE);
}

@inline
function iota(): v128 {
  return i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

/** Divides four entries, and sets those to +0 that are dropped. */
@inline
function divideKept(at: usize, x: v128, divisor: v128, drop: v128): void {
  v128.store(at, v128.andnot(f32x4.div(x, divisor), drop));
}

/** floor(256 p) of four probabilities. */
@inline
function barBytes(probabilities: usize): v128 {
  const bars = f32x4.floor(f32x4.mul(v128.load(probabilities), f32x4.splat(256)));
  // The units of a float32 from 2^23 on are its lowest bits.
  return v128.and(f32x4.add(bars, f32x4.splat(8388608)), i32x4.splat(0x1ff));
}

/** Of sixteen probabilities; 256 becomes 255, whose ties stay. */
@inline
function barsOf16(probabilities: usize): v128 {
  const front = i16x8.narrow_i32x4_s(barBytes(probabilities), barBytes(probabilities + 16));
  const back = i16x8.narrow_i32x4_s(barBytes(probabilities + 32), barBytes(probabilities + 48));
  return i8x16.narrow_i16x8_u(front, back);
}

@inline
function addFront(sum: v128, x: v128): v128 {
  const half = lowHalf(x);
  return f64x2.add(sum, f64x2.mul(half, half));
}

@inline
function addBack(sum: v128, x: v128): v128 {
  const half = highHalf(x);
  return f64x2.add(sum, f64x2.mul(half, half));
}

/** The sum of squares of n entries, in the order of sumSquares: `low` and `high` hold those of the first `i`, a multiple of four. */
@inline
function finishSquares(low: v128, high: v128, data: usize, i: i32, n: i32): f64 {
  for (; i + 4 <= n; i += 4) {
    const x = v128.load(data + (<usize>i << 2));
    low = addFront(low, x);
    high = addBack(high, x);
  }
  let p0 = f64x2.extract_lane(low, 0);
  let p1 = f64x2.extract_lane(low, 1);
  let p2 = f64x2.extract_lane(high, 0);
  for (let lane = 0; i < n; i++, lane++) {
    const x = <f64>load<f32>(data + (<usize>i << 2));
    if (lane == 0) p0 += x * x;
    else if (lane == 1) p1 += x * x;
    else p2 += x * x;
  }
  return (p0 + p1) + (p2 + f64x2.extract_lane(high, 1));
}

/** keepRandom, or with `each` keepRandomEach: the probability is p, or those at `probabilities`. */
@inline
function keepAtRandom(
  data: usize,
  n: i32,
  bytes: usize,
  stream: usize,
  first: u64,
  p: f32,
  probabilities: usize,
  each: bool,
  rescale: bool,
  kept: usize,
): f64 {
  const bar = each ? 0 : barOf(p);
  const upper = i8x16.splat(<i8>(bar >> REST_BITS));
  const mayTie = i8x16.splat(each || (bar & REST) != 0 ? -1 : 0);
  const divisor = f32x4.splat(rescale ? p : 1);
  const least = f32x4.splat(rescale ? 0 : 1);
  let many = 0;
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  let i = 0;
  for (; i + 16 <= n; i += 16) {
    const own = probabilities + (<usize>i << 2);
    const random = v128.load(bytes + <usize>i);
    const bars = each ? barsOf16(own) : upper;
    let drop = i8x16.ge_u(random, bars);
    let ties = i8x16.bitmask(v128.and(i8x16.eq(random, bars), mayTie));
    for (; ties != 0; ties &= ties - 1) {
      const lane = ctz(ties);
      const mine = each ? load<f32>(own + (<usize>lane << 2)) : p;
      if (mine < 1 && lowerBits(stream, first + i + lane) >= (barOf(mine) & REST)) continue;
      drop = v128.andnot(drop, i8x16.eq(iota(), i8x16.splat(<i8>lane)));
    }
    many += 16 - popcnt(i8x16.bitmask(drop));
    const front = i16x8.extend_low_i8x16_s(drop);
    const back = i16x8.extend_high_i8x16_s(drop);
    const at = data + (<usize>i << 2);
    const x0 = v128.load(at);
    const x1 = v128.load(at, 16);
    const x2 = v128.load(at, 32);
    const x3 = v128.load(at, 48);
    low = addFront(addFront(addFront(addFront(low, x0), x1), x2), x3);
    high = addBack(addBack(addBack(addBack(high, x0), x1), x2), x3);
    const d0 = each ? f32x4.pmax(v128.load(own), least) : divisor;
    const d1 = each ? f32x4.pmax(v128.load(own, 16), least) : divisor;
    const d2 = each ? f32x4.pmax(v128.load(own, 32), least) : divisor;
    const d3 = each ? f32x4.pmax(v128.load(own, 48), least) : divisor;
    divideKept(at, x0, d0, i32x4.extend_low_i16x8_s(front));
    divideKept(at + 16, x1, d1, i32x4.extend_high_i16x8_s(front));
    divideKept(at + 32, x2, d2, i32x4.extend_low_i16x8_s(back));
    divideKept(at + 48, x3, d3, i32x4.extend_high_i16x8_s(back));
  }
  const squares = finishSquares(low, high, data, i, n);
  for (; i < n; i++) {
    const at = data + (<usize>i << 2);
    const mine = each ? load<f32>(probabilities + (<usize>i << 2)) : p;
    const stays = mine >= 1 || isBelow(load<u8>(bytes + <usize>i), barOf(mine), stream, first + i);
    store<f32>(at, stays ? load<f32>(at) / (rescale ? mine : <f32>1) : 0);
    many += <i32>stays;
  }
  store<i32>(kept, many);
  return squares;
}

/**
 * Keeps each entry with probability p and sets the others to +0, in place; with `rescale` what is kept is divided by p. Stores how many
 * were kept, int32, at `kept`, and returns the sum of squares of all as they were, the same as sumSquares: its additions wait for each
 * other, and the rest is done meanwhile. The first entry is entry low + 2^32 high of the stream.
 *
 * An entry's random number has 32 bits, and it stays where that is below floor(p · 2^32), or p is 1. `bytes` are the upper ones, the
 * entry's byte in the blocks that randomWords writes: byte i mod 16 of block floor(i / 16). The lower 24 (lowerBits) matter only where
 * the byte equals that of the bar: they are computed one by one.
 */
export function keepRandom(
  data: usize,
  n: i32,
  bytes: usize,
  stream: usize,
  low: u32,
  high: u32,
  p: f32,
  rescale: bool,
  kept: usize,
): f64 {
  if (p >= 1) {
    store<i32>(kept, n);
    return sumSquares(data, n);
  }
  return keepAtRandom(data, n, bytes, stream, <u64>low | (<u64>high << 32), p, 0, false, rescale, kept);
}

/** As keepRandom, with a probability for each entry: float32 at `probabilities`, 1 at most. */
export function keepRandomEach(
  data: usize,
  n: i32,
  bytes: usize,
  stream: usize,
  low: u32,
  high: u32,
  probabilities: usize,
  rescale: bool,
  kept: usize,
): f64 {
  return keepAtRandom(data, n, bytes, stream, <u64>low | (<u64>high << 32), 0, probabilities, true, rescale, kept);
}
