import { quote } from '@amalgam/contracts';
import { getFloat, getString } from '@amalgam/onnx';
import type { Lowerings } from '../rule.js';

/** Activations made of simpler ones. */
export const ACTIVATIONS: Lowerings = {
  // x Φ(x): Φ by erf, or approximated by tanh.
  Gelu: ({ b, node, x: [x], refuse }) => {
    const kind = getString(node, 'approximate', 'none');
    const half = b.binary('Mul', x, 0.5);
    if (kind === 'none') return [b.mul(half, b.add(b.unary('Erf', b.mul(x, Math.SQRT1_2)), 1))];
    if (kind !== 'tanh') throw refuse(`approximation ${quote(kind)}`);
    // √(2/π) (x + 0.044715 x³)
    const inner = b.mul(b.mul(x, b.add(b.mul(b.mul(x, x), 0.044715), 1)), Math.sqrt(2 / Math.PI));
    return [b.mul(half, b.add(b.unary('Tanh', inner), 1))];
  },
  Swish: ({ b, node, x: [x] }) => {
    const alpha = getFloat(node, 'alpha', 1);
    return [b.mul(x, b.unary('Sigmoid', b.mul(x, alpha)))];
  },
  Mish: ({ b, x: [x] }) => [b.mul(x, b.unary('Tanh', b.unary('Softplus', x)))],
  // x max(0, min(1, x / 6 + 1 / 2)), where 1 / 6 is HardSigmoid's attribute, which is a float32.
  HardSwish: ({ b, x: [x] }) => {
    const gate = b.add(b.mul(x, Math.fround(1 / 6)), 0.5);
    return [b.mul(x, b.op('Clip', [gate, b.scalar(0, x), b.scalar(1, x)], b.type(x)))];
  },
};
