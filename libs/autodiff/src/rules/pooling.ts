import { getInt, getInts, intAttribute, stringAttribute } from '@amalgam/onnx';
import type { Builder } from '../builder.js';
import type { Call, Rules } from '../rule.js';
import { type Dim, product, range } from '../types.js';
import { type Windows, windowsOf } from '../windows.js';
import { conv, convTranspose } from './convolution.js';

export const POOLING: Rules = {
  AveragePool: (call) => [() => averagePool(call)],
  MaxPool: (call) => [() => (call.options.portable ? maxPoolByComparing(call) : maxPool(call))],
  GlobalAveragePool: ({ b, dy, x: [x] }) => [() => b.expand(b.div(dy, b.count(x, range(2, b.rank(x)))), b.dims(x))],
  GlobalMaxPool: ({ b, dy, x: [x], y: [y] }) => [
    () => {
      const mask = b.cast(b.compare('Equal', x, y), b.dtype(x));
      return b.mul(mask, b.div(dy, b.sum(mask, range(2, b.rank(x)))));
    },
  ],
};

function averagePool(call: Call): string {
  const { b, dy, node, x } = call;
  const windows = windowsOf(call, x[0], dy, getInts(node, 'kernel_shape'));
  const channels = channelsOf(call);
  const counts = windowCounts(windows, getInt(node, 'count_include_pad', 0) !== 0);
  const shares = b.constant(
    b.dtype(dy),
    [1, 1, ...windows.output],
    counts.map((count) => 1 / count),
  );
  const ones = b.constant(
    b.dtype(dy),
    [channels, 1, ...windows.kernel],
    channelCopies(windows, channels, () => 1),
  );
  return convTranspose(call, b.mul(dy, shares), ones, windows, channels, b.dims(x[0]));
}

function channelsOf({ b, x: [x], refuse }: Call): number {
  const channels = b.dims(x)[1];
  if (typeof channels !== 'number') throw refuse('the number of its channels must be fixed');
  return channels;
}

function channelCopies({ kernel }: Windows, channels: number, value: (place: number) => number): number[] {
  const size = product(kernel) as number;
  return range(0, channels * size).map((i) => value(i % size));
}

/** How many elements each window averages: those on the image, or with padding, but nothing beyond that. */
function windowCounts(windows: Windows, includePadding: boolean): number[] {
  const { input, output, kernel, strides, dilations, before, after } = windows;
  const perAxis = output.map((size, i) => {
    const low = includePadding ? -before[i]! : 0;
    const high = includePadding ? input[i]! + after[i]! : input[i]!;
    return range(0, size).map((place) => {
      const start = place * strides[i]! - before[i]!;
      const hits = range(0, kernel[i]!).map((k) => start + k * dilations[i]!);
      return hits.filter((at) => at >= low && at < high).length;
    });
  });
  return perAxis.reduce((counts, axis) => counts.flatMap((count) => axis.map((more) => count * more)), [1]);
}

/** The operator itself tells where each maximum was: a place in the whole tensor. */
function maxPool({ b, dy, node, x: [x], refuse }: Call): string {
  if (getInt(node, 'storage_order', 0) !== 0) throw refuse('column-major storage_order');
  const indices = b.extraOutput(node, 1, { dtype: 'I64', dims: b.dims(dy) });
  const empty = b.flatten(b.zeros(b.dims(x), x));
  const back = b.op('ScatterElements', [empty, b.flatten(indices), b.flatten(dy)], b.type(empty), [
    intAttribute('axis', 0),
    stringAttribute('reduction', 'add'),
  ]);
  return b.reshape(back, b.dims(x));
}

/**
 * Without the operator's indices, which some providers lack: a convolution with one-hot kernels lays out each
 * window's elements as channels, those that equal the maximum share its gradient, and the transposed convolution
 * adds them up where they came from. Channels are taken as images of their own.
 */
function maxPoolByComparing(call: Call): string {
  const { b, dy, node, x, y } = call;
  const windows = windowsOf(call, x[0], dy, getInts(node, 'kernel_shape'));
  const size = product(windows.kernel) as number;
  const images = product(b.dims(x[0]).slice(0, 2));
  const [wide, narrow]: Dim[][] = [
    [images, 1, ...windows.input],
    [images, 1, ...windows.output],
  ];
  // Beyond the image is less than everything on it. The last window may reach further still (ceil_mode).
  const after = windows.after.map((pad, i) => Math.max(pad, beyond(windows, i)));
  const lowest = b.dtype(x[0]) === 'F16' ? -6e4 : -3e38;
  const framed = b.pad(b.reshape(x[0], wide!), [0, 0, ...windows.before], [0, 0, ...after], lowest);
  const none = windows.kernel.map(() => 0);
  const oneHot = oneHotKernels(b, windows.kernel, x[0]);
  const spread = [images, size, ...windows.output];
  const elements = conv(b, framed, oneHot, { ...windows, before: none, after: none }, 1, spread);
  const mask = b.cast(b.compare('Equal', elements, b.reshape(y[0], narrow!)), b.dtype(dy));
  const shared = b.mul(mask, b.div(b.reshape(dy, narrow!), b.sum(mask, [1])));
  return b.reshape(convTranspose(call, shared, oneHot, windows, 1, wide!), b.dims(x[0]));
}

/** For each place of a window a kernel that picks its element: [places, 1, …]. */
export function oneHotKernels(b: Builder, kernel: readonly number[], like: string): string {
  const size = product(kernel) as number;
  const ones = range(0, size * size).map((i) => (i % (size + 1) === 0 ? 1 : 0));
  return b.constant(b.dtype(like), [size, 1, ...kernel], ones);
}

function beyond({ input, output, kernel, strides, dilations, before }: Windows, i: number): number {
  return (output[i]! - 1) * strides[i]! + (kernel[i]! - 1) * dilations[i]! + 1 - before[i]! - input[i]!;
}
