import { type Graph, tensorOf } from '@amalgam/onnx';
import { expect } from 'vitest';
import { gradients } from '../../src/index.js';
import { type Case, prepare } from './cases.js';
import { random, sizeOf } from './random.js';
import { type FloatDtype, modelWith, PROVIDER, Runner, typesOf } from './runtime.js';

/**
 * Steps and tolerances of central differences, extrapolated from two steps so that their own error is of order h⁴.
 * Rounding adds about ε |y| / h: 1e-12 in float64, and 1e-5 in float32. Tolerances are relative to the largest entry
 * of the gradient, since small entries are differences of large terms.
 */
const STEP: Record<FloatDtype, number> = { F64: 1e-3, F32: 3e-2 };
export const TOLERANCE: Record<FloatDtype, number> = { F64: 1e-8, F32: 1e-3 };

/** d f / d x at x, one coordinate after the other. */
export async function centralDifferences(
  f: (values: number[]) => Promise<number>,
  at: ArrayLike<number>,
  h: number,
): Promise<number[]> {
  const result: number[] = [];
  for (let i = 0; i < at.length; i++) {
    const slope = async (step: number) => {
      const values = Array.from(at);
      values[i] = at[i]! + step;
      const up = await f(values);
      values[i] = at[i]! - step;
      return (up - (await f(values))) / (2 * step);
    };
    result.push((4 * (await slope(h / 2)) - (await slope(h))) / 3);
  }
  return result;
}

/** Adds Σ y w with fixed weights w, so that every element of y counts differently. */
export function weightedSum(
  graph: Graph,
  y: string,
  dims: readonly number[],
  dtype: FloatDtype,
): { loss: string; weights: number[] } {
  const draw = random(99);
  // Exact in float32, so that the graph and the test use the same numbers.
  const weights = Array.from({ length: sizeOf(dims) }, () => Math.fround(draw() + 0.25));
  const w = graph.setInitializer(tensorOf(graph.freshName('weights'), dtype, dims, weights));
  const product = graph.op('Mul', [y, w]);
  return { loss: graph.op('ReduceSum', [product]), weights };
}

/** Adds the mean of y², which takes no shape to be known. */
function meanSquare(graph: Graph, y: string): string {
  return graph.op('ReduceMean', [graph.op('Mul', [y, y])]);
}

/** Largest difference, relative to the largest entry. */
export function distance(found: readonly number[], expected: readonly number[]): number {
  expect(found.length).toBe(expected.length);
  const scale = Math.max(...expected.map(Math.abs), 1e-6);
  return Math.max(0, ...found.map((value, i) => Math.abs(value - expected[i]!) / scale));
}

/** Differentiates a case with respect to all of its variables and compares with central differences. */
export async function checkCase(original: Case): Promise<void> {
  if (original.cpuOnly && PROVIDER !== 'cpu') return;
  const test: Case = PROVIDER === 'cpu' ? original : { ...original, dtype: 'F32' };
  const isOpen = test.operands.some((operand) => operand !== '' && operand.kind === 'variable' && operand.open);
  const { graph, y, variables, feeds } = prepare(test);
  const forward = await Runner.load(modelWith(graph, [y]), 'disabled');
  const { dims } = (await forward.run(feeds))[y]!;
  const { weights } = weightedSum(graph, y, dims, test.dtype);
  const sumUp = (values: readonly number[]) =>
    isOpen
      ? values.reduce((total, entry) => total + entry * entry, 0) / values.length
      : values.reduce((total, entry, i) => total + entry * weights[i]!, 0);
  const expected = new Map<string, number[]>();
  for (const name of variables) {
    const feed = feeds[name]!;
    const f = async (values: number[]) =>
      sumUp((await forward.run({ ...feeds, [name]: { ...feed, values } }))[y]!.values);
    expected.set(name, await centralDifferences(f, feed.values, STEP[test.dtype]));
  }
  await forward.release();
  for (const portable of PROVIDER === 'cpu' ? [false, true] : [true]) {
    const { graph: fresh, y: output } = prepare(test);
    const loss = isOpen ? meanSquare(fresh, output) : weightedSum(fresh, output, dims, test.dtype).loss;
    const shapes = await typesOf(fresh, isOpen ? undefined : {});
    const { gradients: named } = gradients(fresh, { of: loss, wrt: variables, shapes, portable });
    if (portable) expect(missingKernels(fresh)).toEqual([]);
    const model = modelWith(fresh, [...named.values()]);
    // Open sizes are computed on the CPU by any provider.
    const runner =
      isOpen || test.mixed
        ? await Runner.load(model, 'all', 'provider or cpu')
        : await Runner.loadLike(modelWith(prepare(test).graph, [output]), model);
    const results = await runner.run(feeds);
    await runner.release();
    for (const [name, gradient] of named) {
      const found = results[gradient]!;
      expect(found.dims).toEqual(feeds[name]!.dims);
      const error = distance(found.values, expected.get(name)!);
      expect(error, `d / d ${name}, portable: ${portable}`).toBeLessThan(TOLERANCE[test.dtype]);
    }
  }
}

/** Nodes that WebGPU has no kernel for, those that the case itself began with left out. */
function missingKernels(graph: Graph): string[] {
  return graph
    .nodes()
    .filter(({ name }) => name?.startsWith('the ') !== true || name.includes('/'))
    .filter(({ opType, output }) => {
      if (opType === 'Sign' || opType === 'LogSoftmax') return true;
      return (opType === 'MaxPool' && output.length > 1) || (opType === 'Split' && output.length > 15);
    })
    .map(({ name, opType }) => `${name} (${opType})`);
}
