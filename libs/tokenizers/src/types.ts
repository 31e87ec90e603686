/** How a vocabulary cuts text: merges by rank, the longest match, the most probable pieces, or whole words. */
export type TokenizerKind = 'bpe' | 'wordpiece' | 'unigram' | 'word_level';

/** How tokens show that a word begins or goes on: `Ġ` of byte-level vocabularies, `▁` of sentencepiece, `##` of WordPiece. */
export type Spelling = 'bytes' | 'metaspace' | 'wordpiece' | 'plain';

/** A token that is found in the text before anything else is cut. */
export interface AddedToken {
  content: string;
  special: boolean;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
}

export interface SpecialTokens {
  bos: string | null;
  eos: string | null;
  pad: string | null;
  unk: string | null;
}

/** What the files of a tokenizer say. Plain data: it passes between threads as it is. */
export interface TokenizerDescription {
  kind: TokenizerKind;
  /** Where the vocabulary was read from. */
  format: 'tokenizer.json' | 'vocab.json' | 'vocab.txt' | 'sentencepiece';
  spelling: Spelling;
  /** Is a word, or the beginning of one, that is a token never cut further? Then every token of the vocabulary is found in text. */
  takesWholeWords: boolean;
  /** Every token, added ones too; ids are different and may leave holes. */
  tokens: ReadonlyMap<string, number>;
  /** By content; each is among `tokens`. */
  added: ReadonlyMap<string, AddedToken>;
  /** One more than the largest id. */
  size: number;
  special: SpecialTokens;
  chatTemplate: string | null;
}
