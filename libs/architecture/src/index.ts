export { arrange, type Takes } from './arrange.js';
export type { ArrangedInput, ArrangedInputs, ArrangedTensor, Arrangement } from './arrangement.js';
export { type Architecture, describeArchitecture } from './describe.js';
export { editConfig } from './edit-config.js';
export type { Module, Modules } from './modules.js';
export type { Stack } from './stacks.js';
export type { VocabularyTensor } from './vocabulary.js';
