export { arrange } from './arrange.js';
export type { ArrangedInput, ArrangedInputs, ArrangedTensor, Arrangement } from './arrangement.js';
