import { tensorOf } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { broadcastAxes, broadcastDims } from '../src/broadcast.js';
import { Builder } from '../src/builder.js';
import { fixedNumbers } from '../src/fixed.js';
import { type Dim, differ, product } from '../src/types.js';
import { transposed, type Windows } from '../src/windows.js';
import { modelWith, Runner } from './support/runtime.js';
import { Small } from './support/small.js';

describe('shapes', () => {
  it.each<[Dim[], Dim[], Dim[]]>([
    [[2, 3], [3], [2, 3]],
    [[2, 1], [4], [2, 4]],
    [
      ['N', 3],
      [1, 3],
      ['N', 3],
    ],
    [
      ['N', 3],
      [5, 3],
      [5, 3],
    ],
    [['N'], ['M'], ['?']],
    [[], [2], [2]],
  ])('%j and %j broadcast to %j', (a, b, expected) => {
    expect(broadcastDims(a, b, () => '?')).toEqual(expected);
    expect(broadcastDims(b, a, () => '?')).toEqual(expected);
  });

  it.each<[Dim[], Dim[], number[] | null]>([
    [[2, 3], [2, 3], []],
    [[2, 3], [3], [0]],
    [
      [2, 3, 4],
      [3, 1],
      [0, 2],
    ],
    [['N', 3], [1, 3], [0]],
    [['N', 3], ['N', 1], [1]],
    [[5, 3], ['N', 3], null],
    [['N', 3], ['M', 3], null],
    [['N', 3], [3], [0]],
    [[2, 1], [2, 1], []],
  ])('a gradient of %j is summed for %j over %j', (from, to, axes) => {
    expect(broadcastAxes(from, to)).toEqual(axes);
  });

  it('multiply, names standing for themselves', () => {
    expect(product([2, 3])).toBe(6);
    expect(product([])).toBe(1);
    expect(product(['N', 2, 'M', 3])).toBe('6*M*N');
    expect(product(['N', 0])).toBe(0);
  });

  it('differ by rank and by number', () => {
    expect(differ([2, 'N'], [2, 3])).toBe(false);
    expect(differ([2], [3])).toBe(true);
    expect(differ([2], [2, 1])).toBe(true);
  });
});

describe('Builder', () => {
  const builder = (dims: readonly Dim[] = ['N', 3]) => {
    const small = new Small();
    small.input('x', dims);
    return { small, b: new Builder(small.graph, new Map()) };
  };

  it('makes equal constants once, in the dtype of what they stand beside', () => {
    const { small, b } = builder();
    expect(b.scalar(2, 'x')).toBe(b.scalar(2, 'x'));
    expect(b.ints([1, 2])).toBe(b.ints([1, 2]));
    expect(b.scalar(3, 'x')).not.toBe(b.scalar(2, 'x'));
    expect(small.graph.initializers.size).toBe(3);
  });

  it('makes constants of 16 bits from float32', () => {
    const small = new Small();
    small.input('h', [2], 'BF16');
    const b = new Builder(small.graph, new Map());
    const value = b.scalar(1.5, 'h');
    expect(b.type(value)).toEqual({ dtype: 'BF16', dims: [] });
    expect(small.graph.producer(value)?.opType).toBe('Cast');
    expect(b.scalar(1.5, 'h')).toBe(value);
  });

  it('reads sizes while running, each once', async () => {
    const { small, b } = builder();
    const first = b.vector(['N', 1, 3]);
    expect(b.vector(['N', 1, 3])).toBe(first);
    b.vector([4, 'N']);
    expect(small.graph.nodes().map(({ opType }) => opType)).toEqual(['Shape', 'Gather', 'Concat', 'Concat']);
    const runner = await Runner.load(modelWith(small.graph, [first]));
    const result = await runner.run({ x: { dtype: 'F32', dims: [5, 3], values: new Float32Array(15) } });
    await runner.release();
    expect(result[first]!.values).toEqual([5, 1, 3]);
  });

  it('knows the types of what it makes', () => {
    const { b } = builder([2, 3]);
    expect(b.dims(b.sum('x', [-1]))).toEqual([2, 1]);
    expect(b.dims(b.mean('x', [0], false))).toEqual([3]);
    expect(b.dims(b.transpose('x', [1, 0]))).toEqual([3, 2]);
    expect(b.dims(b.matmul('x', b.swap('x')))).toEqual([2, 2]);
    expect(b.dims(b.gemm('x', 'x', { transA: true }))).toEqual([3, 3]);
    expect(b.dims(b.concat(['x', 'x'], 1))).toEqual([2, 6]);
    expect(b.dims(b.slice('x', 1, 1, 3))).toEqual([2, 2]);
    expect(b.dims(b.padAxis('x', 0, 1, 2))).toEqual([5, 3]);
    expect(b.dims(b.gather('x', 1, [0]))).toEqual([2, 1]);
    expect(b.type(b.compare('Less', 'x', 0))).toEqual({ dtype: 'BOOL', dims: [2, 3] });
    expect(b.type(b.positions('x'))).toEqual({ dtype: 'I64', dims: [2, 3] });
    expect(b.type(b.cast('x', 'F64'))).toEqual({ dtype: 'F64', dims: [2, 3] });
  });

  it('adds no node where there is nothing to do', () => {
    const { small, b } = builder([2, 3]);
    for (const value of [
      b.reshape('x', [2, 3]),
      b.transpose('x', [0, 1]),
      b.expand('x', [2, 3]),
      b.sum('x', []),
      b.mul('x', 1),
      b.cast('x', 'F32'),
      b.slice('x', 0, 0, 2),
      b.padAxis('x', 1, 0, 0),
      b.concat(['x'], 0),
      b.unbroadcast('x', 'x'),
    ]) {
      expect(value).toBe('x');
    }
    expect(small.graph.size).toBe(0);
  });

  it.each([
    [16, 'ReduceMean', ['axes', 'keepdims'], 1],
    [18, 'ReduceMean', ['keepdims'], 2],
    [16, 'ReduceSum', ['keepdims'], 2],
  ] as const)('writes for opset %i the axes of %s as it has them', (opset, opType, attributes, inputs) => {
    const small = new Small(opset);
    const b = new Builder(small.graph, new Map());
    small.input('x', [2, 3]);
    b.assume('x', { dtype: 'F32', dims: [2, 3] });
    const node = small.graph.producer(b.reduce(opType, 'x', [1]))!;
    expect(node.attribute.map(({ name }) => name)).toEqual(attributes);
    expect(node.input).toHaveLength(inputs);
  });
});

describe('fixedNumbers', () => {
  const small = new Small();
  const int64 = (name: string, ...values: number[]) => small.ints(name, ...values);
  small.input('x', ['N', 3, 4]);
  const [shape] = small.node('Shape', ['x'], [3], [], { type: 'int64' });
  const node = (opType: string, inputs: string[], dims = [1]) =>
    small.node(opType, inputs, dims, [], { type: 'int64' })[0]!;
  const index = small.graph.setInitializer(tensorOf('index', 'I64', [], [1]));
  const second = node('Gather', [shape!, index], []);
  const pairs = node('Reshape', [int64('pads', 1, 2, 3, 4, 5, 6), int64('pair', -1, 2)], [3, 2]);
  const backwards = [int64('last', -1), int64('before', -(2 ** 40)), int64('rows', 0), 'last'];
  const reversed = node('Slice', [pairs, ...backwards], [3, 2]);
  const values = {
    second,
    first: node('Gather', [shape!, int64('zero', 0)]),
    more: node('Concat', [node('Unsqueeze', [second, 'zero']), int64('minus', -1)]),
    tail: node('Slice', [int64('list', 5, 6, 7), int64('one', 1), int64('end', 2 ** 40)]),
    half: node('Div', [node('Add', [second, int64('four', 4)]), int64('two', 2)]),
    counted: node('Range', ['zero', second, 'one']),
    given: small.input('given', [1], 'I64'),
    // Padding from the last axis to the first, ends beside starts, as PyTorch's older exporter turns it round.
    turned: node('Reshape', [node('Transpose', [reversed], [2, 3])]),
    column: node('Slice', [reversed, 'one', int64('end2', 2), 'one'], [3, 1]),
    row: node('Gather', [reversed, index], [2]),
  };
  const b = new Builder(small.graph, small.shapes);

  it.each<[keyof typeof values, number[] | null]>([
    ['second', [3]],
    ['first', null],
    ['more', [3, -1]],
    ['tail', [6, 7]],
    ['half', [3]],
    ['counted', [0, 1, 2]],
    ['given', null],
    ['turned', [5, 3, 1, 6, 4, 2]],
    ['column', [6, 4, 2]],
    ['row', null],
  ])('%s: %j', (name, expected) => {
    expect(fixedNumbers(b, values[name])).toEqual(expected);
  });

  it('knows no initializer that an input may override', () => {
    const other = new Small();
    other.input('axes', [1], 'I64');
    other.ints('axes', 1);
    expect(fixedNumbers(new Builder(other.graph, new Map()), 'axes')).toBeNull();
  });
});

describe('transposed windows', () => {
  const windows = (changed: Partial<Windows>): Windows => ({
    ...{ input: [7], output: [3], kernel: [3], strides: [2], dilations: [1], before: [0], after: [0] },
    ...changed,
  });

  it('lead back to the input’s size', () => {
    expect(transposed(windows({}))).toEqual({ pads: [0, 0], outputPadding: [0] });
    expect(transposed(windows({ input: [8] }))).toEqual({ pads: [0, 0], outputPadding: [1] });
    expect(transposed(windows({ input: [5], before: [1], after: [1] }))).toEqual({ pads: [1, 1], outputPadding: [0] });
  });

  it('cut off what the last one has beyond the padding', () => {
    expect(transposed(windows({ input: [6] }))).toEqual({ pads: [0, 1], outputPadding: [0] });
  });
});
