import { getInt } from '@amalgam/onnx';
import type { Rules, Site } from '../rule.js';
import { normalAxis } from '../types.js';

/** From opset 13 on, one axis; opsets before that are refused for the whole graph. */
export function softmaxAxis({ b, node, x }: Site): number[] {
  return [normalAxis(getInt(node, 'axis', -1), b.rank(x[0]))];
}

export const SOFTMAX: Rules = {
  // dx = y (dy - Σ y dy)
  Softmax: (call) => [
    () => {
      const { b, dy, y } = call;
      const weighted = b.mul(dy, y[0]);
      return b.sub(weighted, b.mul(y[0], b.sum(weighted, softmaxAxis(call))));
    },
  ],
  // dx = dy - eʸ Σ dy
  LogSoftmax: (call) => [
    () => {
      const { b, dy, y } = call;
      return b.sub(dy, b.mul(b.exp(y[0]), b.sum(dy, softmaxAxis(call))));
    },
  ],
};
