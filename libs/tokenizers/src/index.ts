export type { VocabularyInput } from './owners.js';
export { type NewToken, planVocabulary, type VocabularyPlan } from './plan-vocabulary.js';
export { readTokenizer } from './read-tokenizer.js';
export type { RowPicks } from './row-picks.js';
export { isTokenizerFile } from './tokenizer-files.js';
export type { AddedToken, SpecialTokens, Spelling, TokenizerDescription, TokenizerKind } from './types.js';
