import { getFloat, getInt, type OnnxDtype } from '@amalgam/onnx';
import type { Builder } from '../builder.js';
import type { Lowerings, Site } from '../rule.js';
import { softmaxAxis } from '../rules/softmax.js';
import { type Dim, normalAxis, product, range } from '../types.js';

export const NORMALIZATIONS: Lowerings = {
  // Its rule takes mean and deviation from the operator, which tells them in float32.
  LayerNormalization: (site) => {
    const { b, node, x } = site;
    if (b.dtype(x[0]) === 'F32' || optionalOutputs(site)) return null;
    const axes = trailing(b, x[0], getInt(node, 'axis', -1));
    const dtype = b.dtype(x[0]) === 'F64' ? 'F64' : stash(site);
    const normal = normalize(b, b.cast(x[0], dtype), axes, getFloat(node, 'epsilon', 1e-5));
    const scaled = b.mul(b.cast(normal, b.dtype(x[0])), x[1]);
    return [x[2] === '' ? scaled : b.add(scaled, x[2])];
  },
  // x / √(mean(x²) + ε), times the scale.
  RMSNormalization: (site) => {
    const { b, node, x } = site;
    const dtype = b.dtype(x[0]) === 'F64' ? 'F64' : stash(site);
    const wide = b.cast(x[0], dtype);
    const square = b.mean(b.mul(wide, wide), trailing(b, x[0], getInt(node, 'axis', -1)));
    const root = b.unary('Sqrt', b.add(square, getFloat(node, 'epsilon', 1e-5)));
    return [b.mul(b.cast(b.div(wide, root), b.dtype(x[1])), x[1])];
  },
  InstanceNormalization: ({ b, node, x: [x, scale, bias] }) => {
    const rank = b.rank(x);
    const normal = normalize(b, x, range(2, rank), getFloat(node, 'epsilon', 1e-5));
    return [affine(b, normal, scale, bias)];
  },
  GroupNormalization: ({ b, node, opset, x: [x, scale, bias] }) => {
    const dims = b.dims(x);
    const groups = getInt(node, 'num_groups');
    const grouped = b.reshape(x, [dims[0]!, groups, product([(dims[1] as number) / groups, ...dims.slice(2)])]);
    const normal = normalize(b, grouped, [2], getFloat(node, 'epsilon', 1e-5));
    // Scale and bias were one per group at first.
    if (opset < 21) return [b.identity(b.reshape(affine(b, normal, scale, bias), dims))];
    return [affine(b, b.reshape(normal, dims), scale, bias)];
  },
  // No kernel on WebGPU. The maximum cancels out of the gradient, so it takes no part in it.
  LogSoftmax: (site) => {
    const { b, options, x } = site;
    if (!options.portable) return null;
    const axes = softmaxAxis(site);
    const largest = b.reduce('ReduceMax', x[0], axes);
    b.stop(largest);
    const shifted = b.sub(x[0], largest);
    return [b.sub(shifted, b.unary('Log', b.sum(b.exp(shifted), axes)))];
  },
};

/** (x - mean) / √(variance + ε) */
function normalize(b: Builder, x: string, axes: readonly number[], epsilon: number): string {
  const centred = b.sub(x, b.mean(x, axes));
  const variance = b.mean(b.mul(centred, centred), axes);
  return b.div(centred, b.unary('Sqrt', b.add(variance, epsilon)));
}

/** Scale and bias, one per entry of axis 1. */
function affine(b: Builder, normal: string, scale: string, bias: string): string {
  const along = (value: string): string => {
    const dims: Dim[] = [b.dims(value)[0]!, ...range(2, b.rank(normal)).map(() => 1)];
    return b.reshape(value, dims);
  };
  return b.add(b.mul(normal, along(scale)), along(bias));
}

function trailing(b: Builder, x: string, axis: number): number[] {
  return range(normalAxis(axis, b.rank(x)), b.rank(x));
}

/** The dtype of the inner arithmetic. */
function stash({ b, node, x }: Site): OnnxDtype {
  return getInt(node, 'stash_type', 1) === 1 ? 'F32' : b.dtype(x[0]);
}

function optionalOutputs({ b, y }: Site): boolean {
  return [y[1], y[2]].some((value) => value !== '' && b.graph.isUsed(value));
}
