import { describe, expect, it } from 'vitest';
import { orthonormalise } from '../src/linear/orthonormalise.js';
import { svd } from '../src/linear/svd.js';
import { truncate } from '../src/linear/truncate.js';
import type { Vectors } from '../src/linear/vectors.js';
import { values } from './support.js';

const random = (count: number, length: number, seed: number): Vectors =>
  Array.from({ length: count }, (_, i) => Float64Array.from(values(length, seed * 1000 + i)));
const copy = (vectors: Vectors): Vectors => vectors.map((vector) => vector.slice());
const gram = (vectors: Vectors) => vectors.map((a) => vectors.map((b) => a.reduce((sum, x, i) => sum + x * b[i]!, 0)));
/** Σ left[k] right[k]ᵀ, entry by entry. */
const product = (left: Vectors, right: Vectors): number[][] =>
  Array.from({ length: left[0]!.length }, (_, i) =>
    Array.from({ length: right[0]!.length }, (_, j) => left.reduce((sum, a, k) => sum + a[i]! * right[k]![j]!, 0)),
  );
const identity = (n: number) => Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => +(i === j)));
const worst = (a: number[][], b: number[][]) =>
  Math.max(0, ...a.flatMap((row, i) => row.map((x, j) => Math.abs(x - b[i]![j]!))));
const squares = (matrix: number[][]) => matrix.flat().reduce((sum, x) => sum + x * x, 0);

describe('orthonormalise', () => {
  it('makes unit vectors at right angles whose combinations are the vectors', () => {
    const given = random(6, 20, 1);
    const { q, r } = orthonormalise(copy(given));
    expect(worst(gram(q), identity(6))).toBeLessThan(1e-14);
    const made = given.map((_, j) =>
      Array.from({ length: 20 }, (_, k) => q.reduce((s, v, i) => s + v[k]! * r[i]![j]!, 0)),
    );
    expect(
      worst(
        made,
        given.map((vector) => [...vector]),
      ),
    ).toBeLessThan(1e-14);
  });

  it('keeps right angles between vectors that nearly are one', () => {
    const [first] = random(1, 30, 2);
    const near = Array.from({ length: 5 }, (_, i) => first!.map((x, k) => x + 1e-9 * Math.sin((i + 1) * (k + 1))));
    expect(worst(gram(orthonormalise(near).q), identity(5))).toBeLessThan(1e-13);
  });

  it('makes zeros of vectors that depend on earlier ones, and of more vectors than they have entries', () => {
    const [a, b] = random(2, 9, 3);
    const { q, r } = orthonormalise([a!.slice(), b!.slice(), a!.map((x, i) => 2 * x - b![i]!)]);
    expect([...q[2]!].every((x) => x === 0)).toBe(true);
    expect([...r[2]!]).toEqual([0, 0, 0]);
    const many = orthonormalise(random(5, 3, 4)).q.filter((vector) => vector.some((x) => x !== 0));
    expect(many).toHaveLength(3);
  });
});

describe('svd', () => {
  it('takes a matrix apart into unit vectors and falling values', () => {
    const rows = random(12, 12, 5);
    const { u, s, v } = svd(copy(rows));
    expect(worst(gram(u), identity(12))).toBeLessThan(1e-13);
    expect(worst(gram(v), identity(12))).toBeLessThan(1e-13);
    expect([...s]).toEqual([...s].sort((a, b) => b - a));
    const made = product(
      u.map((x, k) => x.map((y) => y * s[k]!)),
      v,
    );
    expect(
      worst(
        made,
        rows.map((row) => [...row]),
      ),
    ).toBeLessThan(1e-13);
  });

  it('finds known values, tiny ones to full relative precision', () => {
    const c = Math.SQRT1_2;
    // U diag(3, 1e-9) Vᵀ with rotations of 45° on the left, none on the right.
    const { s } = svd([Float64Array.of(3 * c, -1e-9 * c), Float64Array.of(3 * c, 1e-9 * c)]);
    expect(s[0]).toBeCloseTo(3, 13);
    expect(s[1]! / 1e-9).toBeCloseTo(1, 6);
  });

  it('bears zeros, equal rows and one entry', () => {
    expect([...svd([new Float64Array(2), new Float64Array(2)]).s]).toEqual([0, 0]);
    const equal = svd([Float64Array.of(1, 1), Float64Array.of(1, 1)]).s;
    expect(equal[0]).toBeCloseTo(2, 14);
    expect(equal[1]).toBeCloseTo(0, 14);
    expect([...svd([Float64Array.of(-5)]).s]).toEqual([5]);
  });
});

describe('truncate', () => {
  it('changes nothing at full rank', () => {
    const [left, right] = [random(4, 9, 6), random(4, 7, 7)];
    const cut = truncate({ left: copy(left), right: copy(right) }, 4);
    expect(worst(product(cut.left, cut.right), product(left, right))).toBeLessThan(1e-13);
    expect(cut.kept).toBeCloseTo(1, 14);
  });

  it('drops the smallest singular values and no more: the error is their squares', () => {
    const [left, right] = [random(6, 15, 8), random(6, 11, 9)];
    const full = product(left, right);
    const { s } = svd(Array.from({ length: 15 }, (_, i) => Float64Array.from([...full[i]!, 0, 0, 0, 0])));
    const cut = truncate({ left: copy(left), right: copy(right) }, 3);
    cut.values.forEach((value, k) => {
      expect(value).toBeCloseTo(s[k]!, 12);
    });
    const made = product(cut.left, cut.right);
    const error = squares(full.map((row, i) => row.map((x, j) => x - made[i]![j]!)));
    const dropped = s.slice(3).reduce((sum, x) => sum + x * x, 0);
    expect(error).toBeCloseTo(dropped, 10);
    expect(cut.kept).toBeCloseTo(1 - dropped / squares(full), 12);
  });

  it('gives both sides the root of the singular values', () => {
    const cut = truncate({ left: random(3, 8, 10), right: random(3, 8, 11) }, 2);
    cut.values.forEach((value, k) => {
      for (const side of [cut.left, cut.right]) expect(Math.hypot(...side[k]!)).toBeCloseTo(Math.sqrt(value), 12);
    });
  });

  it('bears more terms than the matrix has rows, and nothing but zeros', () => {
    const [left, right] = [random(7, 3, 12), random(7, 5, 13)];
    const cut = truncate({ left: copy(left), right: copy(right) }, 3);
    expect(worst(product(cut.left, cut.right), product(left, right))).toBeLessThan(1e-13);
    const nothing = truncate({ left: [new Float64Array(3)], right: [new Float64Array(4)] }, 1);
    expect(nothing.kept).toBe(1);
    expect([...nothing.left[0]!, ...nothing.right[0]!]).toEqual([0, 0, 0, 0, 0, 0, 0]);
  });
});
