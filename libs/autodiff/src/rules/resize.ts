import { quote } from '@amalgam/contracts';
import { getInts, getString, hasAttribute } from '@amalgam/onnx';
import { fixedNumbers } from '../fixed.js';
import type { Call, Rules } from '../rule.js';
import { normalAxis, range } from '../types.js';

/** Attributes that say between which entries to interpolate, and how. */
const MANNERS = new Set([
  ...['mode', 'coordinate_transformation_mode', 'nearest_mode'],
  ...['cubic_coeff_a', 'exclude_outside', 'antialias'],
]);

export const RESIZE: Rules = {
  Resize: (call) => [() => resize(call)],
};

/** Each axis by itself is a product with a matrix, y = x Mᵀ; so dx = dy M, one axis after the other. */
function resize(call: Call): string {
  const { b, dy, node, x, refuse } = call;
  const [input, , scales, sizes] = x;
  const manner = getString(node, 'coordinate_transformation_mode', 'half_pixel');
  if (manner === 'tf_crop_and_resize') throw refuse(`coordinate transformation ${quote(manner)}`);
  const policy = getString(node, 'keep_aspect_ratio_policy', 'stretch');
  if (sizes !== '' && policy !== 'stretch') throw refuse(`keep_aspect_ratio_policy ${quote(policy)}`);
  const rank = b.rank(input);
  const factors = sizes === '' ? fixedNumbers(b, scales) : null;
  if (sizes === '' && factors === null) throw refuse('its scales are computed; they must be constant');
  const chosen = hasAttribute(node, 'axes') ? getInts(node, 'axes') : range(0, rank);
  return chosen.reduce((value, which, i) => {
    const axis = normalAxis(which, rank);
    const [from, to] = [b.dims(input)[axis]!, b.dims(dy)[axis]!];
    const factor = factors?.[i];
    if (factor === undefined ? from === to : factor === 1) return value;
    if (typeof from !== 'number' || typeof to !== 'number') throw refuse(`axis ${axis} has no fixed size`);
    // The runtime copies an image that keeps its size, so the matrix below would not say what it does.
    if (from === to) throw refuse(`axis ${axis} is scaled by ${factor} and keeps its size`);
    const back = b.matmul(b.moveAxis(value, axis, rank - 1), b.swap(matrix(call, from, to, factor)));
    return b.moveAxis(back, rank - 1, axis);
  }, dy);
}

/** Mᵀ, [from, to]: what the operator itself makes of the rows of an identity matrix. */
function matrix({ b, dy, node }: Call, from: number, to: number, factor: number | undefined): string {
  const ones = range(0, from * from).map((i) => (i % (from + 1) === 0 ? 1 : 0));
  // As an image, because not every mode takes matrices; only its width changes.
  const identity = b.constant(b.dtype(dy), [1, 1, from, from], ones);
  const target =
    factor === undefined
      ? [identity, '', '', b.ints([1, 1, from, to])]
      : [identity, '', b.constant('F32', [4], [1, 1, 1, factor])];
  const attributes = node.attribute.filter(({ name }) => MANNERS.has(name ?? ''));
  const image = b.op('Resize', target, { dtype: b.dtype(dy), dims: [1, 1, from, to] }, attributes);
  return b.reshape(image, [from, to]);
}
