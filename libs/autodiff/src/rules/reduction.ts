import { getInt, getInts, hasAttribute, intAttribute } from '@amalgam/onnx';
import { fixedNumbers } from '../fixed.js';
import type { Call, Rule, Rules, Site } from '../rule.js';
import { normalAxis, range } from '../types.js';
import { sign } from './elementwise.js';

/** What a reduction's rule works with: y and dy have the reduced axes, of size 1. */
interface Reduced extends Call {
  axes: readonly number[];
  /** The output, with axes. */
  kept: string;
  /** Its gradient, with axes. */
  dkept: string;
}

const over =
  (gradient: (reduced: Reduced) => string): Rule =>
  (call) => [
    () => {
      const axes = reducedAxes(call);
      const { b, dy, x, y } = call;
      const dims = b.dims(x[0]).map((dim, axis) => (axes.includes(axis) ? 1 : dim));
      return gradient({ ...call, axes, kept: b.reshape(y[0], dims), dkept: b.reshape(dy, dims) });
    },
  ];

/** Axes of ReduceX: an attribute, an input from opset 18 on (ReduceSum: 13); without, all or none. */
export function reducedAxes({ b, node, x, refuse }: Site): number[] {
  const rank = b.rank(x[0]);
  let axes: number[] | null;
  if (x[1] !== '') axes = fixedNumbers(b, x[1]);
  else axes = hasAttribute(node, 'axes') ? getInts(node, 'axes') : [];
  if (axes === null) throw refuse('its axes are computed; they must be constant');
  if (axes.length === 0) return getInt(node, 'noop_with_empty_axes', 0) === 0 ? range(0, rank) : [];
  return axes.map((axis) => normalAxis(axis, rank));
}

/** To every element that is the largest or smallest, in equal parts. */
const extreme = over(({ b, x: [x], kept, dkept, axes }) => {
  const mask = b.cast(b.compare('Equal', x, kept), b.dtype(x));
  return b.mul(mask, b.div(dkept, b.sum(mask, axes)));
});

/** Every element has the product of the others: y / x, or, where x is the only 0, the product without it. */
function product({ b, x: [x], kept, dkept, axes }: Reduced): string {
  const none = b.compare('Equal', x, 0);
  const filled = b.where(none, b.scalar(1, x), x);
  const zeros = b.sum(b.cast(none, b.dtype(x)), axes);
  const alone = b.where(b.compare('Equal', zeros, 1), b.reduce('ReduceProd', filled, axes), 0);
  return b.mul(dkept, b.where(none, alone, b.div(kept, filled)));
}

export const REDUCTION: Rules = {
  ReduceSum: over(({ b, x: [x], dkept }) => b.expand(dkept, b.dims(x))),
  ReduceMean: over(({ b, x: [x], dkept, axes }) => b.expand(b.div(dkept, b.count(x, axes)), b.dims(x))),
  ReduceMax: extreme,
  ReduceMin: extreme,
  ReduceL1: over((call) => call.b.mul(sign(call, call.x[0]), call.dkept)),
  ReduceProd: over(product),
  // y = √Σx²: x dy / y, and 0 where all are 0.
  ReduceL2: over(({ b, x: [x], kept, dkept }) =>
    b.mul(x, b.where(b.compare('Equal', kept, 0), b.scalar(0, x), b.div(dkept, kept))),
  ),
  ReduceSumSquare: over(({ b, x: [x], dkept }) => b.mul(x, b.mul(dkept, 2))),
  // y = log Σx.
  ReduceLogSum: over(({ b, x: [x], kept, dkept }) => b.expand(b.div(dkept, b.exp(kept)), b.dims(x))),
  ReduceLogSumExp: over(({ b, x: [x], kept, dkept }) => b.mul(dkept, b.exp(b.sub(x, kept)))),
  // The sum of what comes after instead of before.
  CumSum: ({ b, dy, node, x: [x, axis] }) => [
    () =>
      b.op('CumSum', [dy, axis], b.type(x), [
        intAttribute('exclusive', getInt(node, 'exclusive', 0)),
        intAttribute('reverse', 1 - getInt(node, 'reverse', 0)),
      ]),
  ],
};
