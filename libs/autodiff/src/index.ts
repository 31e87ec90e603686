export { type GradientRequest, type Gradients, gradients } from './gradients.js';
export { differentiable, withoutGradient } from './table.js';
export type { Dim, GivenType } from './types.js';
