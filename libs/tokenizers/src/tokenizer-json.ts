import { quote } from '@amalgam/contracts';
import { TokenTable, toAddedToken } from './token-table.js';
import { isObject, type TokenizerFiles } from './tokenizer-files.js';
import type { TokenizerKind } from './types.js';

const FILE = 'tokenizer.json';

const KINDS: Readonly<Record<string, TokenizerKind>> = {
  BPE: 'bpe',
  WordPiece: 'wordpiece',
  Unigram: 'unigram',
  WordLevel: 'word_level',
};

export interface Vocabulary {
  kind: TokenizerKind;
  table: TokenTable;
  unk: string | null;
  /** Set when the file says so of merges: a word that is a token is taken without them. */
  ignoresMerges?: boolean;
}

/**
 * The vocabulary of a tokenizer.json, as the `tokenizers` library writes it: the model's tokens and the added ones.
 *
 * @throws AmalgamError `invalid_checkpoint` naming the token and the rule
 */
export async function readTokenizerJson(files: TokenizerFiles): Promise<Vocabulary> {
  const document = await files.object(FILE);
  const refuse = (rule: string) => files.refuse(FILE, rule);
  const { model } = document;
  if (!isObject(model)) throw refuse('"model" must be an object');
  const kind = kindOf(model);
  if (kind === null) throw refuse(`there is no tokenizer model ${quote(String(model['type']))}`);
  const table = new TokenTable(refuse);
  const { vocab } = model;
  if (kind === 'unigram') {
    if (!Array.isArray(vocab)) throw refuse('"model.vocab" of a Unigram model must be a list');
    for (const [id, entry] of vocab.entries()) table.set(pieceOf(entry, id, refuse), id);
  } else {
    if (!isObject(vocab)) throw refuse('"model.vocab" must be an object');
    for (const [token, id] of Object.entries(vocab)) table.set(token, id);
  }
  const added = document['added_tokens'] ?? [];
  if (!Array.isArray(added)) throw refuse('"added_tokens" must be a list');
  for (const [i, entry] of added.entries()) {
    const token = isObject(entry) ? toAddedToken(entry, false) : null;
    if (token === null) throw refuse(`added_tokens/${i} has no content`);
    table.add(token, (entry as Record<string, unknown>)['id']);
  }
  return { kind, table, unk: unknownOf(model, kind, table), ignoresMerges: model['ignore_merges'] === true };
}

/** Files of old versions do not name the type. */
function kindOf(model: Record<string, unknown>): TokenizerKind | null {
  const type = model['type'];
  if (typeof type === 'string') return Object.hasOwn(KINDS, type) ? KINDS[type]! : null;
  if (Array.isArray(model['vocab'])) return 'unigram';
  if ('merges' in model) return 'bpe';
  return 'continuing_subword_prefix' in model ? 'wordpiece' : 'word_level';
}

function pieceOf(entry: unknown, id: number, refuse: (rule: string) => Error): string {
  if (Array.isArray(entry) && typeof entry[0] === 'string' && typeof entry[1] === 'number') return entry[0];
  throw refuse(`model.vocab/${id} must be a piece and its score`);
}

function unknownOf(model: Record<string, unknown>, kind: TokenizerKind, table: TokenTable): string | null {
  if (kind === 'unigram') {
    for (const [token, id] of table.tokens) if (id === model['unk_id']) return token;
    return null;
  }
  return typeof model['unk_token'] === 'string' ? model['unk_token'] : null;
}
