import { getFloat, getInt } from '@amalgam/onnx';
import type { Builder } from '../builder.js';
import type { Call, Rules } from '../rule.js';
import { product } from '../types.js';

export const MATRIX: Rules = {
  MatMul: (call) => [() => leftOfMatMul(call), () => rightOfMatMul(call)],
  Gemm: (call) => {
    const { b, dy, node, x } = call;
    const [p, q, c] = x;
    const alpha = getFloat(node, 'alpha', 1);
    const transA = getInt(node, 'transA', 0) !== 0;
    const transB = getInt(node, 'transB', 0) !== 0;
    return [
      () =>
        transA ? b.gemm(q, dy, { transA: transB, transB: true, alpha }) : b.gemm(dy, q, { transB: !transB, alpha }),
      () =>
        transB ? b.gemm(dy, p, { transA: true, transB: transA, alpha }) : b.gemm(p, dy, { transA: !transA, alpha }),
      () => b.mul(b.unbroadcast(dy, c), getFloat(node, 'beta', 1)),
    ];
  },
};

/** A tensor as a matrix of its last axis. */
function rows(b: Builder, x: string): string {
  const dims = b.dims(x);
  return b.reshape(x, [product(dims.slice(0, -1)), dims.at(-1)!]);
}

/** Vectors as MatMul takes them: a row on the left, a column on the right; the gradient with that axis. */
function promoted({ b, dy, x: [p, q] }: Call): [p: string, q: string, dy: string] {
  const [left, right] = [b.dims(p), b.dims(q)];
  const out = [...b.dims(dy)];
  if (right.length === 1) out.push(1);
  if (left.length === 1) out.splice(out.length - 1, 0, 1);
  return [
    left.length === 1 ? b.reshape(p, [1, ...left]) : p,
    right.length === 1 ? b.reshape(q, [...right, 1]) : q,
    b.reshape(dy, out),
  ];
}

/** dp = dy qᵀ. A matrix on the right makes it one product of matrices: no transpose, and nothing to sum. */
function leftOfMatMul(call: Call): string {
  const { b, x } = call;
  const [p, q, dy] = promoted(call);
  const back = b.rank(q) === 2 ? b.gemm(rows(b, dy), q, { transB: true }) : b.unbroadcast(b.matmul(dy, b.swap(q)), p);
  return b.reshape(back, b.dims(x[0]));
}

/** dq = pᵀ dy. With a matrix on the right the batch axes are rows like the others. */
function rightOfMatMul(call: Call): string {
  const { b, x } = call;
  const [p, q, dy] = promoted(call);
  const back = b.rank(q) === 2 ? transposedProduct(b, p, dy) : b.unbroadcast(b.matmul(b.swap(p), dy), q);
  return b.reshape(back, b.dims(x[1]));
}

/**
 * pᵀ q of tensors as matrices of their last axis. The runtime's product of matrices would transpose its left factor anew for every
 * block of columns, so the narrower of the two is transposed beforehand: pᵀ q = (qᵀ p)ᵀ. That happens before its other axes
 * become rows, because the runtime takes a transposed matrix back into the product.
 */
function transposedProduct(b: Builder, p: string, q: string): string {
  if (b.rank(p) === 2) return b.gemm(p, q, { transA: true });
  const columns = (x: string) => {
    const dims = b.dims(x);
    return b.reshape(b.moveAxis(x, dims.length - 1, 0), [dims.at(-1)!, product(dims.slice(0, -1))]);
  };
  const [left, right] = [b.dims(p).at(-1)!, b.dims(q).at(-1)!];
  if (typeof left === 'string' || typeof right === 'string' || left <= right) return b.gemm(columns(p), rows(b, q), {});
  return b.swap(b.gemm(columns(q), rows(b, p), {}));
}
