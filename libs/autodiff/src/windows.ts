import { getInt, getInts, getString } from '@amalgam/onnx';
import type { Site } from './rule.js';
import { isStatic, range } from './types.js';

/** How a window moves over the spatial axes of a tensor, one number of each per axis. */
export interface Windows {
  /** Sizes of the axes it moves over, and of those that come out. */
  input: readonly number[];
  output: readonly number[];
  kernel: readonly number[];
  strides: readonly number[];
  dilations: readonly number[];
  /** Of padding. */
  before: readonly number[];
  after: readonly number[];
}

/**
 * The windows of Conv and of pooling, `auto_pad` resolved. `wide` is the tensor they move over, `narrow` what comes
 * out. Errors: `unsupported_graph` when spatial sizes are only known while running.
 */
export function windowsOf(site: Site, wide: string, narrow: string, kernel: readonly number[]): Windows {
  const { node } = site;
  const input = spatial(site, wide);
  const output = spatial(site, narrow);
  const ones = kernel.map(() => 1);
  const strides = getInts(node, 'strides', ones);
  const dilations = getInts(node, 'dilations', ones);
  const rank = kernel.length;
  const reach = kernel.map((size, i) => (size - 1) * dilations[i]! + 1);
  const mode = getString(node, 'auto_pad', 'NOTSET');
  let pads = getInts(
    node,
    'pads',
    range(0, 2 * rank).map(() => 0),
  );
  if (mode !== 'NOTSET') {
    const totals = range(0, rank).map((i) =>
      mode === 'VALID' ? 0 : Math.max(0, (output[i]! - 1) * strides[i]! + reach[i]! - input[i]!),
    );
    const small = totals.map((total) => Math.floor(total / 2));
    const large = totals.map((total) => Math.ceil(total / 2));
    pads = mode === 'SAME_LOWER' ? [...large, ...small] : [...small, ...large];
  }
  return { input, output, kernel, strides, dilations, before: pads.slice(0, rank), after: pads.slice(rank) };
}

/** What ConvTranspose needs to lead from `output` back to `input`. */
export function transposed({ input, output, kernel, strides, dilations, before, after }: Windows): {
  pads: number[];
  outputPadding: number[];
} {
  const excess = input.map(
    (size, i) =>
      size - ((output[i]! - 1) * strides[i]! + (kernel[i]! - 1) * dilations[i]! + 1 - before[i]! - after[i]!),
  );
  // The last window may reach beyond the padding (ceil_mode): what it has there is cut off.
  const cut = after.map((pad, i) => pad + Math.max(0, -excess[i]!));
  return { pads: [...before, ...cut], outputPadding: excess.map((size) => Math.max(0, size)) };
}

function spatial({ b, refuse }: Site, value: string): readonly number[] {
  const dims = b.dims(value).slice(2);
  if (!isStatic(dims)) throw refuse('its spatial sizes must be fixed');
  return dims;
}

/** `kernel_shape`, or the spatial axes of the weight. */
export function kernelOf(site: Site, weight: string): readonly number[] {
  return weight === '' ? getInts(site.node, 'kernel_shape') : spatial(site, weight);
}

export function groupOf({ node }: Site): number {
  return getInt(node, 'group', 1);
}
