export { readTokenizer } from './read-tokenizer.js';
export { isTokenizerFile } from './tokenizer-files.js';
export type { AddedToken, SpecialTokens, Spelling, TokenizerDescription, TokenizerKind } from './types.js';
