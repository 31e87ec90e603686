import { isAmalgamError } from '@amalgam/contracts';
import type { DatasetDescription } from '@amalgam/tensors';
import { expect, it } from 'vitest';
import { checkTaskData, type DescribedTask } from '../src/index.js';

const graph = (opset: number | null = 20, width = 3) => ({
  opset,
  producer: 'test',
  inputs: [{ name: 'x', dtype: 'F32' as const, shape: ['batch', width] }],
  outputs: [{ name: 'logits', dtype: 'F32' as const, shape: ['batch', 10] }],
  nodes: 1,
  initializers: 0,
  parameters: 0,
  operators: {},
});
const dataset = (rows: number, width = 3): DatasetDescription => ({
  file: 'd.npz',
  format: 'npz',
  bytes: 0,
  rows,
  labelled: false,
  tensors: [{ name: 'x', dtype: 'F32', shape: [rows, width], bytes: 0, begin: 0, compressed: null }],
});
const task = (name: string, more: Partial<DescribedTask> = {}): DescribedTask => ({
  task: { name, model: 'm', graph: 'g', data: 'd', ...(more.evaluation ? { evaluation: 'e' } : {}) },
  graph: graph(),
  data: dataset(32),
  evaluation: null,
  ...more,
});

/** Code and pointers of the refusal; null when there is none. */
function refusal(tasks: DescribedTask[], batch: number | null): [string, string[]] | null {
  try {
    checkTaskData(tasks, batch);
    return null;
  } catch (error) {
    if (!isAmalgamError(error)) throw error;
    return [error.code, error.errors.map(({ pointer }) => pointer)];
  }
}

it('takes tasks that fit', () => {
  expect(refusal([task('a'), task('b', { evaluation: dataset(2) })], 16)).toBeNull();
  expect(refusal([], 16)).toBeNull();
});

it('collects what is wrong with all of them', () => {
  const tasks = [task('a', { data: dataset(8) }), task('b'), task('c', { evaluation: dataset(8, 4) })];
  expect(refusal(tasks, 16)).toEqual(['invalid_dataset', ['/tasks/0/data', '/tasks/2/evaluation']]);
});

it('asks for a batch and a recent opset only where something is learned', () => {
  expect(refusal([task('a', { data: dataset(8) })], null)).toBeNull();
  expect(refusal([task('a', { graph: graph(15) })], null)).toBeNull();
  expect(refusal([task('a'), task('b', { graph: graph(15) })], 16)).toEqual(['unsupported_graph', ['/tasks/1/graph']]);
  expect(refusal([task('a', { graph: graph(null) })], 16)).toEqual(['unsupported_graph', ['/tasks/0/graph']]);
});

it('asks for one opset where tasks are learned from together', () => {
  const tasks = [task('a'), task('b', { graph: graph(17) }), task('c')];
  expect(refusal(tasks, 16)).toEqual(['unsupported_graph', ['/tasks/1/graph']]);
  expect(refusal(tasks, null)).toBeNull();
});

it('says once what is wrong with a graph, whichever dataset it was held against', () => {
  const scalar = { ...graph(), outputs: [{ name: 'logits', dtype: 'I64' as const, shape: ['batch', 10] }] };
  expect(refusal([task('a', { graph: scalar, evaluation: dataset(4) })], 16)).toEqual([
    'invalid_graph',
    ['/tasks/0/graph'],
  ]);
});

it('warns of operators without a gradient, only where something is learned', () => {
  const onPath = { logits: ['Floor', 'Gelu', 'MatMul', 'NonMaxSuppression', 'com.microsoft.Attention'] };
  const tasks = [task('a', { graph: { ...graph(), onPath } }), task('b')];
  expect(checkTaskData(tasks, null)).toEqual([]);
  expect(checkTaskData(tasks, 16)).toEqual([
    expect.stringMatching(/task "a".*"NonMaxSuppression", "com.microsoft.Attention" of opset 20/),
  ]);
});
