import { TokenTable } from './token-table.js';
import type { TokenizerFiles } from './tokenizer-files.js';
import type { Vocabulary } from './tokenizer-json.js';

/** vocab.json: ids by token. With merges.txt, as GPT-2 has it, they are cut by merges; alone, tokens are whole words. */
export async function readVocabJson(files: TokenizerFiles): Promise<Vocabulary> {
  const table = new TokenTable((rule) => files.refuse('vocab.json', rule));
  for (const [token, id] of Object.entries(await files.object('vocab.json'))) table.set(token, id);
  return { kind: files.has('merges.txt') ? 'bpe' : 'word_level', table, unk: null };
}

/** vocab.txt, as BERT has it: a token a line, the first is 0. */
export async function readVocabText(files: TokenizerFiles): Promise<Vocabulary> {
  const table = new TokenTable((rule) => files.refuse('vocab.txt', rule));
  const lines = (await files.text('vocab.txt')).split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  // Some have empty lines or a token twice: the last one counts, as for those who load them.
  for (const [id, token] of lines.entries()) table.set(token, id);
  return { kind: 'wordpiece', table, unk: table.tokens.has('[UNK]') ? '[UNK]' : null };
}
