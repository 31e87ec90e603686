import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MergedValues } from '../src/merged-values.js';
import { workFolder } from './support/folders.js';
import { floats } from './support/numbers.js';
import { smallMerge } from './support/small-merge.js';
import { tuneJobOf } from './support/stepping.js';

const [ORIGIN, A, B] = [floats(1, 6), floats(2, 6), floats(3, 6)];
const matrix = (values: Float32Array) => ({ w: { shape: [2, 3], values }, b: { shape: [6], values } });

/** Two models around a base, and what they are merged to with a matrix's and a vector's own coefficients. */
async function mergedWith(coefficients: number[][], dtype: string): Promise<MergedValues> {
  const folder = await workFolder();
  const given = { base: matrix(ORIGIN), models: { a: matrix(A), b: matrix(B) }, tasks: [] };
  const merge = await smallMerge(join(folder, 'inputs'), { ...given, parameters: { task_vector_dtype: dtype } });
  const { vectors } = await tuneJobOf(merge, folder);
  expect(vectors.tensors.map(({ name }) => name)).toEqual(['b', 'w']);
  return new MergedValues(vectors, coefficients);
}

const expected = (x: number, y: number) => ORIGIN.map((o, i) => o + x * (A[i]! - o) + y * (B[i]! - o));

function near(values: Float32Array, wanted: Float32Array, tolerance: number): void {
  for (const [i, value] of wanted.entries()) expect(Math.abs(values[i]! - value)).toBeLessThan(tolerance);
}

describe('base plus coefficients times task vectors', () => {
  it.each([
    ['float32', 1e-6],
    ['float16', 2e-3],
    ['bfloat16', 2e-2],
  ])('from task vectors in %s', async (dtype, tolerance) => {
    const coefficients = [
      [0.5, 0.25],
      [-1, 2],
    ];
    const merged = await mergedWith(coefficients, dtype);
    near(await merged.get('b', false), expected(0.5, 0.25), tolerance);
    near(await merged.get('w', false), expected(-1, 2), tolerance);
  });

  it('with one row for all tensors', async () => {
    const merged = await mergedWith([[0.5, 0.25]], 'float32');
    near(await merged.get('w', false), expected(0.5, 0.25), 1e-6);
  });

  it('with the axes of a matrix exchanged', async () => {
    const merged = await mergedWith([[0.5, 0.25]], 'float32');
    const [w, turned] = [await merged.get('w', false), await merged.get('w', true)];
    expect([...turned]).toEqual([0, 3, 1, 4, 2, 5].map((i) => w[i]!));
  });

  it('of merged tensors only', async () => {
    const merged = await mergedWith([[0, 0]], 'float32');
    expect([merged.has('w'), merged.has('head')]).toEqual([true, false]);
    await expect(merged.get('head', false)).rejects.toThrow('tensor "head" has no task vectors');
  });
});
