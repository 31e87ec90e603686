import { getInts, getString, hasAttribute, intAttribute, intsAttribute } from '@amalgam/onnx';
import type { Builder } from '../builder.js';
import type { Call, Rules, Site } from '../rule.js';
import { type Dim, product, range } from '../types.js';
import { groupOf, kernelOf, transposed, type Windows, windowsOf } from '../windows.js';

export const CONVOLUTION: Rules = {
  Conv: (call) => {
    const { b, dy, x } = call;
    const [input, weight, bias] = x;
    const windows = windowsOf(call, input, dy, kernelOf(call, weight));
    const group = groupOf(call);
    return [
      () => convTranspose(call, dy, weight, windows, group, b.dims(input)),
      () => weightGradient(b, input, dy, windows, group, b.dims(weight)),
      () => b.cast(perChannel(b, dy), b.dtype(bias)),
    ];
  },
  // The other way round: its input is what comes out of the windows.
  ConvTranspose: (call) => {
    const { b, dy, x } = call;
    const [input, weight] = x;
    const windows = transposeWindows(call);
    const group = groupOf(call);
    return [
      () => conv(b, dy, weight, windows, group, b.dims(input)),
      () => weightGradient(b, dy, input, windows, group, b.dims(weight)),
      () => perChannel(b, dy),
    ];
  },
};

function perChannel(b: Builder, dy: string): string {
  return b.sum(
    dy,
    range(0, b.rank(dy)).filter((axis) => axis !== 1),
    false,
  );
}

/** From what came out of windows back to what they moved over; for Conv's input and for pooling. */
export function convTranspose(
  { b, options, refuse }: Site,
  dy: string,
  weight: string,
  windows: Windows,
  group: number,
  dims: readonly Dim[],
): string {
  if (options.portable && windows.kernel.length > 2) {
    throw refuse('ConvTranspose over three axes is missing in an execution provider');
  }
  const { pads, outputPadding } = transposed(windows);
  const apply = (kernel: string, out: readonly Dim[]) =>
    b.op('ConvTranspose', [dy, kernel], { dtype: b.dtype(dy), dims: out }, [
      intsAttribute('kernel_shape', windows.kernel),
      intsAttribute('strides', windows.strides),
      intsAttribute('dilations', windows.dilations),
      intsAttribute('pads', pads),
      intsAttribute('output_padding', outputPadding),
      intAttribute('group', group),
    ]);
  const [count, each] = b.dims(weight);
  const [batch, , ...size] = dims;
  if (!options.portable || group === 1 || each !== 1 || count === group) return apply(weight, dims);
  // WebGPU takes groups that lead to one channel for depthwise and gets them wrong, so they get a second one.
  const two = apply(b.padAxis(weight, 1, 0, 1), [batch!, 2 * group, ...size]);
  return b.reshape(b.slice(b.reshape(two, [batch!, group, 2, ...size]), 2, 0, 1), dims);
}

export function conv(
  b: Builder,
  x: string,
  weight: string,
  { kernel, strides, dilations, before, after }: Omit<Windows, 'input' | 'output'>,
  group: number,
  dims: readonly Dim[],
): string {
  return b.op('Conv', [x, weight], { dtype: b.dtype(x), dims }, [
    intsAttribute('kernel_shape', kernel),
    intsAttribute('strides', strides),
    intsAttribute('dilations', dilations),
    intsAttribute('pads', [...before, ...after]),
    intAttribute('group', group),
  ]);
}

/**
 * dW of shape [M, C / group, k] for x [N, C, …] and dy [N, M, …]: a convolution in which batch and channels
 * change places, dy is the kernel, and strides and dilations are exchanged.
 */
function weightGradient(
  b: Builder,
  x: string,
  dy: string,
  windows: Windows,
  group: number,
  dims: readonly Dim[],
): string {
  if (group === 1 && isTiling(windows)) return tilingGradient(b, x, dy, windows, dims);
  const [batch, channels, ...size] = b.dims(x);
  const each = (channels as number) / group;
  const apart = b.reshape(x, [batch!, group, each, ...size]);
  const turned = b.transpose(apart, [2, 1, 0, ...range(3, 3 + size.length)]);
  const images = b.reshape(turned, [each, product([group, batch!]), ...size]);
  const kernels = b.moveAxis(dy, 0, 1);
  const swapped: Windows = {
    ...windows,
    kernel: windows.output,
    strides: windows.dilations,
    dilations: windows.strides,
  };
  const reach = windows.kernel.map((_, i) => kernelReach(windows, i));
  const wide = conv(b, images, kernels, swapped, group, [each, b.dims(dy)[1]!, ...reach]);
  // What the last stride left over would be further entries of the kernel.
  const cut = windows.kernel.reduce((value, k, i) => b.slice(value, 2 + i, 0, k), wide);
  return b.reshape(b.moveAxis(cut, 0, 1), dims);
}

function kernelReach({ input, output, strides, dilations, before, after }: Windows, i: number): number {
  const room = input[i]! + before[i]! + after[i]! - (output[i]! - 1) * strides[i]! - 1;
  return Math.floor(room / dilations[i]!) + 1;
}

/** True for patch embeddings: windows side by side that cover the image. */
function isTiling({ input, output, kernel, strides, dilations, before, after }: Windows): boolean {
  return kernel.every(
    (k, i) =>
      k === strides[i] &&
      (dilations[i] === 1 || k === 1) &&
      before[i] === 0 &&
      after[i] === 0 &&
      input[i] === output[i]! * k,
  );
}

/** Of windows side by side: one product of matrices. */
function tilingGradient(b: Builder, x: string, dy: string, { output, kernel }: Windows, dims: readonly Dim[]): string {
  const [batch, channels] = b.dims(x);
  const axes = range(0, kernel.length);
  const apart = b.reshape(x, [batch!, channels!, ...axes.flatMap((i) => [output[i]!, kernel[i]!])]);
  // [batch, places…, channels, kernel…]
  const turned = b.transpose(apart, [0, ...axes.map((i) => 2 + 2 * i), 1, ...axes.map((i) => 3 + 2 * i)]);
  const places = product([batch!, ...output]);
  const patches = b.reshape(turned, [places, product([channels!, ...kernel])]);
  const rows = b.reshape(b.moveAxis(dy, 1, b.rank(dy) - 1), [places, b.dims(dy)[1]!]);
  return b.reshape(b.gemm(rows, patches, { transA: true }), dims);
}

/** `output_shape` and `auto_pad` of ConvTranspose say by how much its output is cut. */
function transposeWindows(call: Call): Windows {
  const { node, x, dy } = call;
  const kernel = kernelOf(call, x[1]);
  const windows = windowsOf(call, dy, x[0], kernel);
  const mode = getString(node, 'auto_pad', 'NOTSET');
  if (mode === 'VALID' || (mode === 'NOTSET' && !hasAttribute(node, 'output_shape'))) return windows;
  const extra = getInts(
    node,
    'output_padding',
    kernel.map(() => 0),
  );
  const total = kernel.map((k, i) => {
    const reach = (k - 1) * windows.dilations[i]! + 1;
    return Math.max(0, (windows.output[i]! - 1) * windows.strides[i]! + extra[i]! + reach - windows.input[i]!);
  });
  const small = total.map((size) => Math.floor(size / 2));
  const large = total.map((size) => Math.ceil(size / 2));
  const upper = mode === 'SAME_UPPER';
  return { ...windows, before: upper ? small : large, after: upper ? large : small };
}
