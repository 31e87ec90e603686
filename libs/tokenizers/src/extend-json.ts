import type { NewToken } from './plan-vocabulary.js';
import { isObject } from './tokenizer-files.js';
import type { AddedToken, TokenizerDescription } from './types.js';

/** So far below the worst piece that no text with another way to be cut, over hundreds of characters, is cut with it. */
const SCORE_BELOW = 10_000;

interface AddedEntry extends AddedToken {
  id: number;
}

/**
 * tokenizer.json with more tokens. The donor's merges and scores stay, so that text is cut as before:
 * - added tokens become added tokens;
 * - tokens of other models' own vocabularies get an id and no merge (BPE), or a score below all others (Unigram). Only where
 *   whole words are looked up (WordPiece, BPE with `ignore_merges`) can text meet them.
 */
export function extendTokenizerJson(
  document: Record<string, unknown>,
  donor: TokenizerDescription,
  extra: readonly NewToken[],
): Record<string, unknown> {
  const model = isObject(document['model']) ? document['model'] : {};
  const added = addedEntries(document, donor, extra);
  const own = extra.filter((token) => token.added === null);
  const vocab = model['vocab'];
  if (own.length === 0 && idsFollow(vocab, added)) return { ...document, added_tokens: added };
  // Readers number added tokens by counting; those that are in the vocabulary keep their number there.
  const ids = new Map(added.map(({ content, id }): [string, number] => [content, id]));
  for (const { content, id } of own) ids.set(content, id);
  const extended = Array.isArray(vocab) ? withPieces(vocab, ids) : withIds(isObject(vocab) ? vocab : {}, ids);
  return { ...document, added_tokens: added, model: { ...model, vocab: extended } };
}

/** The file's entries, what only other files said, and the new ones, in this order. */
function addedEntries(
  document: Record<string, unknown>,
  donor: TokenizerDescription,
  extra: readonly NewToken[],
): AddedEntry[] {
  const present = Array.isArray(document['added_tokens']) ? (document['added_tokens'] as AddedEntry[]) : [];
  const known = new Set(present.map(({ content }) => content));
  const others = [...donor.added.values()].filter(({ content }) => !known.has(content));
  const late = others.map((token) => ({ id: donor.tokens.get(token.content) ?? 0, ...token }));
  const fresh = extra.flatMap(({ id, added }) => (added === null ? [] : [{ id, ...added }]));
  return [...present, ...late.sort((a, b) => a.id - b.id), ...fresh];
}

/** Does a reader that numbers added tokens one after the other, from the vocabulary's count on, come to the same ids? */
function idsFollow(vocab: unknown, added: readonly AddedEntry[]): boolean {
  const ids = vocabularyIds(vocab);
  let last = -1;
  for (const { content, id } of added) {
    const given = ids.get(content) ?? Math.max(ids.size, last + 1);
    if (given !== id) return false;
    last = Math.max(last, given);
  }
  return true;
}

function vocabularyIds(vocab: unknown): Map<string, number> {
  if (Array.isArray(vocab)) return new Map((vocab as [string, number][]).map(([piece], id) => [piece, id]));
  return new Map(Object.entries((vocab ?? {}) as Record<string, number>));
}

function withIds(vocab: Record<string, unknown>, ids: ReadonlyMap<string, number>): Record<string, unknown> {
  // Not by assignment: a token may be called __proto__.
  return Object.fromEntries([...Object.entries(vocab), ...[...ids].filter(([token]) => !Object.hasOwn(vocab, token))]);
}

function withPieces(vocab: readonly unknown[], ids: ReadonlyMap<string, number>): unknown[] {
  const pieces = vocab as [string, number][];
  const lowest = pieces.reduce((least, [, score]) => Math.min(least, score), 0) - SCORE_BELOW;
  const byId = new Map([...ids].map(([token, id]) => [id, token]));
  const size = [...byId.keys()].reduce((most, id) => Math.max(most, id + 1), pieces.length);
  const behind = Array.from({ length: size - pieces.length }, (_, i) => {
    const id = pieces.length + i;
    return [byId.get(id) ?? hole(id), lowest];
  });
  return [...pieces, ...behind];
}

/** Stands for an id without token in files where a token's place is its id. */
export function hole(id: number): string {
  return `<unused_id_${id}>`;
}
