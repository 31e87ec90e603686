import { getFloat, getInt } from '@amalgam/onnx';
import type { Builder } from '../builder.js';
import type { Call, Rules } from '../rule.js';
import { normalAxis, range } from '../types.js';
import { sign } from './elementwise.js';

export const NORMALIZATION: Rules = {
  LayerNormalization: (call) => {
    const { b, dy, node, x } = call;
    const [input, weight, bias] = x;
    const rank = b.rank(input);
    const first = normalAxis(getInt(node, 'axis', -1), rank);
    const axes = range(first, rank);
    // The operator itself tells mean and 1 / deviation when it is asked to.
    const dims = b.dims(input).map((dim, axis) => (axis < first ? dim : 1));
    const type = { dtype: b.dtype(input), dims };
    let normal: string | undefined;
    const inverse = () => b.extraOutput(node, 2, type);
    const normalized = () => {
      normal ??= b.mul(b.sub(input, b.extraOutput(node, 1, type)), inverse());
      return normal;
    };
    return [
      () => normalizationGradient(b, b.mul(dy, weight), normalized(), inverse(), axes),
      () => b.unbroadcast(b.mul(dy, normalized()), weight),
      () => b.unbroadcast(dy, bias),
    ];
  },
  BatchNormalization: batchNormalization,
  LpNormalization: (call) => [
    () => {
      const { b, dy, node, x, y } = call;
      const axes = [normalAxis(getInt(node, 'axis', -1), b.rank(x[0]))];
      const p = getInt(node, 'p', 2);
      const norm = b.reduce(p === 1 ? 'ReduceL1' : 'ReduceL2', x[0], axes);
      const direction = p === 1 ? sign(call, x[0]) : y[0];
      const inner = b.sub(dy, b.mul(direction, b.sum(b.mul(dy, y[0]), axes)));
      return b.where(b.compare('Equal', norm, 0), b.scalar(0, dy), b.div(inner, norm));
    },
  ],
};

/** inv (g - mean(g) - x̂ mean(g x̂)), for x̂ = (x - mean) inv and its gradient g. */
function normalizationGradient(b: Builder, g: string, normal: string, inverse: string, axes: readonly number[]) {
  const along = b.mul(normal, b.mean(b.mul(g, normal), axes));
  return b.mul(inverse, b.sub(b.sub(g, b.mean(g, axes)), along));
}

/** Inference only: mean and variance are inputs like scale and bias, and models are merged in them too. */
function batchNormalization(call: Call): ReturnType<Rules[string]> {
  const { b, dy, node, x, refuse } = call;
  if (getInt(node, 'training_mode', 0) !== 0) throw refuse('training mode; export the model in eval mode');
  const [input, scale, bias, mean, variance] = x;
  const rank = b.rank(input);
  const others = range(0, rank).filter((axis) => axis !== 1);
  const alongAxis = (value: string) => b.reshape(value, [b.dims(value)[0]!, ...range(2, rank).map(() => 1)]);
  const perChannel = (value: string, like: string) => b.cast(b.sum(value, others, false), b.dtype(like));
  let inverses: string | undefined;
  const inverse = () => {
    const deviation = () => b.unary('Sqrt', b.add(variance, getFloat(node, 'epsilon', 1e-5)));
    inverses ??= b.unary('Reciprocal', deviation());
    return inverses;
  };
  const factor = () => b.mul(scale, inverse());
  const centred = () => b.sub(input, alongAxis(mean));
  return [
    () => b.mul(dy, alongAxis(b.cast(factor(), b.dtype(dy)))),
    () => b.mul(perChannel(b.mul(dy, centred()), scale), inverse()),
    () => perChannel(dy, bias),
    () => b.neg(b.mul(perChannel(dy, mean), factor())),
    () => {
      const inverseCubed = b.mul(inverse(), b.mul(inverse(), factor()));
      return b.mul(b.mul(perChannel(b.mul(dy, centred()), variance), inverseCubed), -0.5);
    },
  ];
}
