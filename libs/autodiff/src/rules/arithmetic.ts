import { fixedNumbers } from '../fixed.js';
import type { Call, Gradient, Rules } from '../rule.js';

/** Operators of several operands that are broadcast to one shape. */
export const ARITHMETIC: Rules = {
  Add: ({ b, dy, x: [p, q] }) => [() => b.unbroadcast(dy, p), () => b.unbroadcast(dy, q)],
  Sub: ({ b, dy, x: [p, q] }) => [() => b.unbroadcast(dy, p), () => b.neg(b.unbroadcast(dy, q))],
  Mul: ({ b, dy, x: [p, q] }) => [() => b.unbroadcast(b.mul(dy, q), p), () => b.unbroadcast(b.mul(dy, p), q)],
  // y = p / q: dp = dy / q, dq = -y dy / q.
  Div: ({ b, dy, x: [p, q], y: [y] }) => [
    () => b.unbroadcast(b.div(dy, q), p),
    () => b.neg(b.unbroadcast(b.mul(b.div(dy, q), y), q)),
  ],
  // y = p - n q for a whole n.
  Mod: ({ b, dy, x: [p, q], y: [y] }) => [
    () => b.unbroadcast(dy, p),
    () => b.unbroadcast(b.mul(dy, b.div(b.sub(y, p), q)), q),
  ],
  Pow: (call) => [() => powBase(call), () => powExponent(call)],

  Sum: ({ b, dy, node }) => node.input.map((input) => () => b.unbroadcast(dy, input)),
  Mean: ({ b, dy, node }) => node.input.map((input) => () => b.unbroadcast(b.div(dy, node.input.length), input)),
  Max: extreme,
  Min: extreme,

  Where: ({ b, dy, x: [condition, p, q] }) => [
    null,
    () => b.unbroadcast(b.where(condition, dy, 0), p),
    () => b.unbroadcast(b.where(condition, b.scalar(0, dy), dy), q),
  ],
  // Subgradient 1 at the bounds.
  Clip: ({ b, dy, x: [x, low, high] }) => [
    () => {
      const above = low === '' ? dy : b.where(b.compare('GreaterOrEqual', x, low), dy, 0);
      return high === '' ? above : b.where(b.compare('LessOrEqual', x, high), above, 0);
    },
    () => b.unbroadcast(b.where(b.compare('Less', x, low), dy, 0), low),
    () => b.unbroadcast(b.where(b.compare('Greater', x, high), dy, 0), high),
  ],
  PRelu: ({ b, dy, x: [x, slope] }) => {
    const above = () => b.compare('Greater', x, 0);
    return [
      () => b.where(above(), dy, b.mul(dy, slope)),
      () => b.unbroadcast(b.where(above(), b.scalar(0, x), b.mul(dy, x)), slope),
    ];
  },
};

/** d(p^q)/dp = q p^(q-1), and 0 where q is 0. The exponent may be of another dtype. */
function powBase({ b, dy, x: [p, q] }: Call): string {
  const fixed = b.rank(q) === 0 || b.dims(q).every((dim) => dim === 1) ? fixedNumbers(b, q) : null;
  const power = fixed?.[0];
  let slope: string;
  if (power === undefined) {
    const exponent = b.cast(q, b.dtype(p));
    const raised = b.mul(exponent, b.pow(p, b.sub(exponent, 1)));
    slope = b.where(b.compare('Equal', exponent, 0), b.scalar(0, p), raised);
  } else if (power === 0) return b.zeros(b.dims(p), p);
  else if (power === 1) return b.unbroadcast(dy, p);
  else slope = b.mul(power === 2 ? p : b.pow(p, power - 1), power);
  return b.unbroadcast(b.mul(dy, slope), p);
}

/** d(p^q)/dq = p^q log p, and 0 where p is 0. */
function powExponent({ b, dy, x: [p, q], y: [y] }: Call): string {
  const safe = b.where(b.compare('Equal', p, 0), b.scalar(1, p), p);
  return b.unbroadcast(b.cast(b.mul(b.mul(dy, y), b.unary('Log', safe)), b.dtype(q)), q);
}

/** Max and Min: to the operands that are the extreme one, in equal parts. */
function extreme({ b, dy, node, y: [y] }: Call): Gradient[] {
  let share: string | undefined;
  const mask = (input: string) => b.cast(b.compare('Equal', input, y), b.dtype(y));
  const each = () => {
    share ??= b.div(
      dy,
      node.input.map(mask).reduce((total, next) => b.add(total, next)),
    );
    return share;
  };
  return node.input.map((input) => () => b.unbroadcast(b.mul(each(), mask(input)), input));
}
