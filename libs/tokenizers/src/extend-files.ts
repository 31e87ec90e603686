import { type AmalgamError, byCodeUnit } from '@amalgam/contracts';
import { hole } from './extend-json.js';
import type { NewToken } from './plan-vocabulary.js';
import { PIECE_TYPE, type Piece, piecesToAppend, readPieces } from './sentencepiece.js';
import { isObject } from './tokenizer-files.js';
import type { AddedToken } from './types.js';

/** The result's tokens by id, and which of them are added ones. */
export interface Tokens {
  byId: readonly (string | null)[];
  added: ReadonlyMap<string, AddedToken>;
}

/** vocab.json with the tokens that are no added ones. */
export function extendVocabJson(vocab: Record<string, unknown>, extra: readonly NewToken[]): Record<string, unknown> {
  const own = extra.filter(({ added }) => added === null);
  return Object.fromEntries([...Object.entries(vocab), ...own.map(({ content, id }) => [content, id])]);
}

/** vocab.txt with a line for each id behind its last one. */
export function extendVocabText(text: string, { byId }: Tokens): string {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  for (let id = lines.length; id < byId.length; id++) lines.push(byId[id] ?? hole(id));
  return `${lines.join('\n')}\n`;
}

/**
 * A sentencepiece model with a piece for each id behind its last one: added tokens as what they are, others as unused pieces,
 * which have an id and are never made from text. Their score is below all others: BPE joins letters to unused pieces too, before
 * it takes these apart again, and must not do that before its own merges.
 *
 * @throws AmalgamError by `refuse` when the bytes are no such model
 */
export function extendSentencepiece(
  bytes: Uint8Array,
  { byId, added }: Tokens,
  refuse: (rule: string) => AmalgamError,
): Uint8Array {
  const { pieces } = readPieces(bytes, refuse);
  const score = pieces.reduce((least, piece) => Math.min(least, piece.score), 0) - 1;
  const behind = byId.slice(pieces.length).map((token, i): Piece => {
    const text = token ?? hole(pieces.length + i);
    const entry = added.get(text);
    if (entry === undefined) return { text, score, type: PIECE_TYPE.unused };
    return { text, score, type: entry.special ? PIECE_TYPE.control : PIECE_TYPE.userDefined };
  });
  return Buffer.concat([bytes, piecesToAppend(behind)]);
}

/** added_tokens.json, by token. */
export function extendAddedTokens(
  file: Record<string, unknown>,
  extra: readonly NewToken[],
  known: readonly [string, number][],
): Record<string, unknown> {
  const fresh = extra.filter(({ added }) => added !== null).map(({ content, id }) => [content, id] as const);
  const all = new Map<string, unknown>([...known, ...Object.entries(file), ...fresh]);
  return Object.fromEntries([...all].sort(([a], [b]) => byCodeUnit(a, b)));
}

/** tokenizer_config.json's added_tokens_decoder, by id. */
export function extendDecoder(
  config: Record<string, unknown>,
  extra: readonly NewToken[],
  known: readonly [string, number][],
  { added }: Tokens,
): Record<string, unknown> {
  const before = isObject(config['added_tokens_decoder']) ? config['added_tokens_decoder'] : {};
  const fresh = extra.flatMap(({ content, id, added: entry }): [string, number][] =>
    entry === null ? [] : [[content, id]],
  );
  const entries = [...known, ...fresh].flatMap(([content, id]) => {
    const token = added.get(content);
    return token === undefined || String(id) in before ? [] : [[String(id), token] as const];
  });
  return { ...config, added_tokens_decoder: { ...before, ...Object.fromEntries(entries) } };
}
