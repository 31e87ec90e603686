import { getFloat } from '@amalgam/onnx';
import type { Builder } from '../builder.js';
import type { Call, Rule, Rules } from '../rule.js';

/** dx for y = f(x), element by element. */
type Derivative = (b: Builder, dy: string, x: string, y: string, call: Call) => string;

const of =
  (derivative: Derivative): Rule =>
  (call) => [() => derivative(call.b, call.dy, call.x[0], call.y[0], call)];

/** sign(x), which is 0 at 0. Not every provider has a kernel for Sign. */
export function sign({ b, options }: Pick<Call, 'b' | 'options'>, x: string): string {
  if (!options.portable) return b.unary('Sign', x);
  return b.where(b.compare('Greater', x, 0), b.scalar(1, x), b.where(b.compare('Less', x, 0), b.scalar(-1, x), 0));
}

/** At kinks the subgradient is PyTorch's: 0 for Abs and Relu, the negative side's slope for the others. */
export const ELEMENTWISE: Rules = {
  Neg: of((b, dy) => b.neg(dy)),
  Exp: of((b, dy, _, y) => b.mul(dy, y)),
  Log: of((b, dy, x) => b.div(dy, x)),
  Sqrt: of((b, dy, _, y) => b.div(b.mul(dy, 0.5), y)),
  Reciprocal: of((b, dy, _, y) => b.neg(b.mul(dy, b.mul(y, y)))),
  Abs: of((b, dy, x, _, call) => b.mul(dy, sign(call, x))),
  Erf: of((b, dy, x) => b.mul(dy, b.mul(b.exp(b.neg(b.mul(x, x))), 2 / Math.sqrt(Math.PI)))),

  Sin: of((b, dy, x) => b.mul(dy, b.unary('Cos', x))),
  Cos: of((b, dy, x) => b.neg(b.mul(dy, b.unary('Sin', x)))),
  Tan: of((b, dy, _, y) => b.mul(dy, b.add(b.mul(y, y), 1))),
  Asin: of((b, dy, x) => b.div(dy, b.unary('Sqrt', b.sub(1, b.mul(x, x))))),
  Acos: of((b, dy, x) => b.neg(b.div(dy, b.unary('Sqrt', b.sub(1, b.mul(x, x)))))),
  Atan: of((b, dy, x) => b.div(dy, b.add(b.mul(x, x), 1))),
  Sinh: of((b, dy, x) => b.mul(dy, b.unary('Cosh', x))),
  Cosh: of((b, dy, x) => b.mul(dy, b.unary('Sinh', x))),
  Asinh: of((b, dy, x) => b.div(dy, b.unary('Sqrt', b.add(b.mul(x, x), 1)))),
  Acosh: of((b, dy, x) => b.div(dy, b.unary('Sqrt', b.sub(b.mul(x, x), 1)))),
  Atanh: of((b, dy, x) => b.div(dy, b.sub(1, b.mul(x, x)))),

  Tanh: of((b, dy, _, y) => b.mul(dy, b.sub(1, b.mul(y, y)))),
  Sigmoid: of((b, dy, _, y) => b.mul(dy, b.mul(y, b.sub(1, y)))),
  Softplus: of((b, dy, x) => b.mul(dy, b.unary('Sigmoid', x))),
  Softsign: of((b, dy, x) => {
    const bottom = b.add(b.unary('Abs', x), 1);
    return b.div(dy, b.mul(bottom, bottom));
  }),
  Relu: of((b, dy, x) => positive(b, x, dy, 0)),
  LeakyRelu: of((b, dy, x, _, { node }) => positive(b, x, dy, b.mul(dy, getFloat(node, 'alpha', 0.01)))),
  ThresholdedRelu: of((b, dy, x, _, { node }) => b.where(b.compare('Greater', x, getFloat(node, 'alpha', 1)), dy, 0)),
  // 0 around 0; elsewhere moved by a constant.
  Shrink: of((b, dy, x, _, { node }) =>
    b.where(b.compare('Greater', b.unary('Abs', x), getFloat(node, 'lambd', 0.5)), dy, 0),
  ),
  // Below 0: alpha (eˣ - 1).
  Elu: of((b, dy, x, y, { node }) => positive(b, x, dy, b.mul(dy, b.add(y, getFloat(node, 'alpha', 1))))),
  // Below 0: gamma alpha (eˣ - 1); above: gamma x.
  Selu: of((b, dy, x, y, { node }) => {
    const [alpha, gamma] = [getFloat(node, 'alpha', 1.6732631921768188), getFloat(node, 'gamma', GAMMA)];
    return positive(b, x, b.mul(dy, gamma), b.mul(dy, b.add(y, alpha * gamma)));
  }),
  // Below 0: alpha (e^(x / alpha) - 1).
  Celu: of((b, dy, x, y, { node }) => {
    const slope = b.add(b.div(y, getFloat(node, 'alpha', 1)), 1);
    return positive(b, x, dy, b.mul(dy, slope));
  }),
  HardSigmoid: of((b, dy, _, y, { node }) => {
    const inside = b.binary('And', b.compare('Greater', y, 0), b.compare('Less', y, 1));
    return b.where(inside, b.mul(dy, getFloat(node, 'alpha', 0.2)), 0);
  }),

  Identity: of((_, dy) => dy),
  Cast: of((b, dy, x) => b.cast(dy, b.dtype(x))),
  // Of the second input only the dtype counts.
  CastLike: ({ b, dy, x: [x, like] }) => [() => b.cast(dy, b.dtype(x)), () => b.zeros(b.dims(like), like)],
};

const GAMMA = 1.0507010221481323;

/** `above` where x > 0, otherwise `below`. */
function positive(b: Builder, x: string, above: string, below: string | number): string {
  return b.where(b.compare('Greater', x, 0), above, below);
}
