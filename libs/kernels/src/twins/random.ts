/** Plain TypeScript twins of assembly/random.ts. */
const f = Math.fround;

/** Philox4x32-10: four words of a counter of four words and a key of two. */
export function philox(counter: readonly number[], key: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter as [number, number, number, number];
  let [k0, k1] = key as [number, number];
  for (let round = 0; round < 10; round++) {
    const p0 = BigInt(c0) * 0xd2511f53n;
    const p1 = BigInt(c2) * 0xcd9e8d57n;
    c0 = (Number(p1 >> 32n) ^ c1 ^ k0) >>> 0;
    c2 = (Number(p0 >> 32n) ^ c3 ^ k1) >>> 0;
    c1 = Number(p1 & 0xffffffffn);
    c3 = Number(p0 & 0xffffffffn);
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Word `index` of a stream. */
export function randomWord(stream: Uint32Array, index: number): number {
  const counter = Math.floor(index / 4);
  const words = [counter % 2 ** 32, Math.floor(counter / 2 ** 32), stream[2]!, stream[3]!];
  return philox(words, [stream[0]!, stream[1]!])[index % 4]!;
}

/** Byte `index` of a stream: of sixteen in a counter's words, the lowest of each word first. */
export function randomByte(stream: Uint32Array, index: number): number {
  return (randomWord(stream, Math.floor(index / 4)) >>> (8 * (index % 4))) & 0xff;
}

/** The lower 24 bits of an entry's random number: of word `index` of a stream whose counters begin at 2^63. */
export function lowerBits(stream: Uint32Array, index: number): number {
  const counter = Math.floor(index / 4);
  const words = [counter % 2 ** 32, Math.floor(counter / 2 ** 32) + 2 ** 31, stream[2]!, stream[3]!];
  return philox(words, [stream[0]!, stream[1]!])[index % 4]! & 0xffffff;
}

/** What decides on entry `index` of a tensor: a number of 32 bits. */
export function randomNumber(stream: Uint32Array, index: number): number {
  return randomByte(stream, index) * 2 ** 24 + lowerBits(stream, index);
}

/** In place; `data` begins with entry `first`. The probabilities are float32. */
export function keepRandom(
  data: Float32Array,
  stream: Uint32Array,
  first: number,
  probabilityOf: (i: number) => number,
  rescale: boolean,
): number {
  let kept = 0;
  data.forEach((x, i) => {
    const p = probabilityOf(i);
    if (randomNumber(stream, first + i) < Math.floor(p * 2 ** 32)) {
      kept++;
      if (rescale) data[i] = f(x / p);
    } else data[i] = 0;
  });
  return kept;
}
