import { readSentencepiece } from './sentencepiece.js';
import { addSideTokens, chatTemplateOf, type SideFiles, specialTokens } from './special-tokens.js';
import { spellingOf } from './token-table.js';
import type { TokenizerFiles } from './tokenizer-files.js';
import { readTokenizerJson, type Vocabulary } from './tokenizer-json.js';
import type { TokenizerDescription } from './types.js';
import { readVocabJson, readVocabText } from './vocabulary-files.js';

type Format = TokenizerDescription['format'];

/** Where a vocabulary may be, best first: tokenizer.json says everything, the others need what lies beside them. */
const PLACES: readonly { path: string; format: Format }[] = [
  { path: 'tokenizer.json', format: 'tokenizer.json' },
  { path: 'vocab.json', format: 'vocab.json' },
  { path: 'tokenizer.model', format: 'sentencepiece' },
  { path: 'spiece.model', format: 'sentencepiece' },
  { path: 'vocab.txt', format: 'vocab.txt' },
];

/**
 * The vocabulary of a model from the files beside its weights: tokenizer.json, else vocab.json with merges.txt, else a
 * sentencepiece model, else vocab.txt; with the tokens that tokenizer_config.json, special_tokens_map.json and
 * added_tokens.json add. Null when there is none.
 *
 * @throws AmalgamError `invalid_checkpoint` naming the file, the token and the rule; what reading throws
 */
export async function readTokenizer(own: TokenizerFiles): Promise<TokenizerDescription | null> {
  const place = PLACES.find(({ path }) => own.has(path));
  if (place === undefined) return null;
  const side = await readSideFiles(own);
  const { kind, table, unk, ignoresMerges } = await readVocabulary(own, place, side.config);
  addSideTokens(table, side);
  if (table.tokens.size === 0) throw own.refuse(place.path, 'has no tokens');
  return {
    kind,
    format: place.format,
    takesWholeWords: kind === 'bpe' ? ignoresMerges === true : kind !== 'unigram',
    spelling: spellingOf(table.tokens.keys()),
    tokens: table.tokens,
    added: table.added,
    size: table.size,
    special: specialTokens(table, side, unk),
    chatTemplate: chatTemplateOf(side),
  };
}

function readVocabulary(
  files: TokenizerFiles,
  { path, format }: { path: string; format: Format },
  config: Record<string, unknown> | null,
): Promise<Vocabulary> {
  switch (format) {
    case 'tokenizer.json':
      return readTokenizerJson(files);
    case 'vocab.json':
      return readVocabJson(files);
    case 'vocab.txt':
      return readVocabText(files);
    case 'sentencepiece':
      return readSentencepiece(files, path, config);
  }
}

async function readSideFiles(files: TokenizerFiles): Promise<SideFiles> {
  const [config, specialMap, added] = await Promise.all(
    ['tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json'].map((path) => files.objectIfAny(path)),
  );
  return {
    config: config ?? null,
    specialMap: specialMap ?? null,
    added: added ?? null,
    chatTemplate: await readChatTemplate(files),
  };
}

async function readChatTemplate(files: TokenizerFiles): Promise<string | null> {
  if (files.has('chat_template.jinja')) return files.text('chat_template.jinja');
  const template = (await files.objectIfAny('chat_template.json'))?.['chat_template'];
  return typeof template === 'string' ? template : null;
}
