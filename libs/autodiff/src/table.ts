import { ACTIVATIONS } from './lower/activations.js';
import { ATTENTION } from './lower/attention.js';
import { NORMALIZATIONS } from './lower/normalizations.js';
import { REARRANGEMENTS } from './lower/rearrangements.js';
import type { Lowerings, Rules } from './rule.js';
import { ARITHMETIC } from './rules/arithmetic.js';
import { COLUMNS } from './rules/columns.js';
import { CONVOLUTION } from './rules/convolution.js';
import { dropout } from './rules/dropout.js';
import { EINSUM } from './rules/einsum.js';
import { ELEMENTWISE } from './rules/elementwise.js';
import { MATRIX } from './rules/matrix.js';
import { NORMALIZATION } from './rules/normalization.js';
import { PICK } from './rules/pick.js';
import { POOLING } from './rules/pooling.js';
import { REDUCTION } from './rules/reduction.js';
import { RESIZE } from './rules/resize.js';
import { SHAPE } from './rules/shape.js';
import { SOFTMAX } from './rules/softmax.js';

/** How each standard operator is differentiated. */
export const RULES: Rules = {
  ...ELEMENTWISE,
  ...ARITHMETIC,
  ...MATRIX,
  ...EINSUM,
  ...REDUCTION,
  ...SOFTMAX,
  ...NORMALIZATION,
  ...SHAPE,
  ...PICK,
  ...CONVOLUTION,
  ...POOLING,
  ...RESIZE,
  ...COLUMNS,
  Dropout: dropout,
};

/** Operators that are, always or for some provider or dtype, replaced by simpler ones first. */
export const LOWERINGS: Lowerings = {
  ...ACTIVATIONS,
  ...NORMALIZATIONS,
  ...REARRANGEMENTS,
  ...ATTENTION,
};

/** Float outputs that do not change with small changes of the inputs, and outputs that are no floats. */
export const CONSTANT_ALMOST_EVERYWHERE: ReadonlySet<string> = new Set([
  ...['Sign', 'Floor', 'Ceil', 'Round', 'Shape', 'Size', 'ConstantOfShape', 'EyeLike', 'RandomNormalLike'],
  ...['RandomUniformLike', 'ArgMax', 'ArgMin', 'NonZero', 'IsNaN', 'IsInf', 'Equal', 'Greater', 'GreaterOrEqual'],
  ...['Less', 'LessOrEqual', 'Hardmax', 'OneHot', 'Bernoulli'],
]);

/** Operators whose rules look at the gradients of all outputs. Of others, only the first may have one. */
export const SEVERAL_OUTPUTS: ReadonlySet<string> = new Set(['Split']);

/** Names of the operators that `gradients` can differentiate, sorted. */
export function differentiable(): string[] {
  return [...new Set([...Object.keys(RULES), ...Object.keys(LOWERINGS)])].sort();
}

/** Which of these operators, as `GraphDescription.onPath` names them, stand in the way of a gradient. */
export function withoutGradient(operators: readonly string[]): string[] {
  return operators.filter((name) => !(name in RULES || name in LOWERINGS || CONSTANT_ALMOST_EVERYWHERE.has(name)));
}
