import { AmalgamError, quote, quoteList, type TokenizerRecipe } from '@amalgam/contracts';
import { defaultFallback, type Fallback, rowIn, type Speaker, statedFallback, type VocabularyInput } from './owners.js';
import { type InputRow, isUnchanged, type RowPicks, RowPicksBuilder } from './row-picks.js';
import { plainToken } from './token-table.js';
import type { AddedToken, TokenizerDescription } from './types.js';

/** A token of the result that the tokenizer of the donor does not have. */
export interface NewToken {
  content: string;
  id: number;
  /** Null: one of a model's own vocabulary, that only text of other tokenizers needs. */
  added: AddedToken | null;
}

export interface VocabularyPlan {
  /** Index of the input whose tokenizer files the result gets, with `extra` added to them. */
  donor: number;
  /** By id; null where an id has no token. */
  tokens: (string | null)[];
  extra: NewToken[];
  /** Rows of the result's embeddings, at least as many as ids. */
  rows: number;
  /** By input: the row of each of the result's ids there, -1 when it has none. */
  rowsOf: Int32Array[];
  /** By input: how its embeddings are re-indexed; null: they stay as they are. */
  picks: (RowPicks | null)[];
  warnings: string[];
}

/**
 * The vocabulary of a merge's result, and where every row of every input's embeddings comes from.
 *
 * - The tokens are those of the base (without a base: of the first model), of a named model, or for `union` those of the base
 *   and behind them what the models have besides, in their order. Tokens that the recipe names and nobody has are added last.
 * - A token that an input lacks gets the base's row, else the mean of the models that have it, else zeros, unless the
 *   recipe says from where.
 * - Ids without token, and the rows behind the last one that many models pad their embeddings with, keep what an input has
 *   there, else what the donor has, else zeros.
 * - The result has as many rows as the donor, more when tokens come in, or with `pad_to_multiple_of` as many as that says.
 *
 * `inputs`: the base, when there is one, then the recipe's models; `find`: index there of what a reference names.
 *
 * @throws AmalgamError `invalid_recipe` when a model has no tokenizer, or the recipe names what is not there
 */
export function planVocabulary(
  setting: TokenizerRecipe,
  inputs: readonly VocabularyInput[],
  { hasBase, find }: { hasBase: boolean; find: (reference: string) => number | null },
): VocabularyPlan {
  const warnings: string[] = [];
  const donor = donorOf(setting, find);
  const speakers = requireTokenizers(inputs, warnings);
  const stated = Object.entries(setting.tokens ?? {});
  const extra = newTokens(speakers, donor, setting.source === 'union', Object.keys(setting.tokens ?? {}));
  const tokens = tokensById(speakers[donor]!.tokenizer, extra);
  const rules = new Map(
    stated.map(([token, rule]) => [
      token,
      { fallback: statedFallback(speakers, find, token, rule), force: rule.force === true },
    ]),
  );
  const rows = rowCount(setting, tokens.length, speakers[donor]!.rows);
  const rowsOf = speakers.map((speaker) =>
    Int32Array.from(tokens, (token) => (token === null ? -1 : rowIn(speaker, token))),
  );

  const builders = speakers.map(() => new RowPicksBuilder());
  const spare = speakers.map(spareRows);
  const orphans: string[] = [];
  for (let id = 0; id < rows; id++) {
    const token = tokens[id] ?? null;
    const rule = token === null ? undefined : rules.get(token);
    let fallback: Fallback | undefined;
    for (const [input, builder] of builders.entries()) {
      const own = token === null ? (spare[input]!(id) ? id : -1) : rowsOf[input]![id]!;
      if (own >= 0 && rule?.force !== true) {
        builder.push([{ input, row: own }]);
        continue;
      }
      if (fallback === undefined) {
        if (token === null) fallback = spare[donor]!(id) ? [{ input: donor, row: id }] : NOTHING;
        else fallback = rule?.fallback ?? defaultFallback(speakers, hasBase, token);
        if (token !== null && rule === undefined && fallback.length === 0) orphans.push(token);
      }
      builder.push(fallback);
    }
  }
  if (orphans.length > 0) {
    warnings.push(`no model has an embedding of ${quoteList(orphans)}: zeros`);
  }
  warnings.push(...describeExtra(speakers, donor, extra));
  const picks = builders.map((builder, input) => {
    const found = builder.finish();
    const { rows: before } = speakers[input]!;
    return before === null || isUnchanged(found, input, before) ? null : found;
  });
  return { donor, tokens, extra, rows, rowsOf, picks, warnings };
}

const NOTHING: readonly InputRow[] = [];

function donorOf({ source }: TokenizerRecipe, find: (reference: string) => number | null): number {
  // Without a base the first model stands for it.
  if (source === 'base' || source === 'union') return 0;
  const donor = find(source);
  if (donor !== null) return donor;
  const detail = `${quote(source)} is neither base, nor union, nor one of the recipe's models`;
  throw new AmalgamError('invalid_recipe', `tokenizer.source: ${detail}`, {
    errors: [{ pointer: '/tokenizer/source', detail }],
  });
}

/** A model that brings no tokenizer and has as many rows as the first input is taken to have its vocabulary. */
function requireTokenizers(inputs: readonly VocabularyInput[], warnings: string[]): Speaker[] {
  const first = inputs[0];
  return inputs.map((input) => {
    const { reference, rows } = input;
    let { tokenizer } = input;
    if (
      tokenizer === null &&
      first !== undefined &&
      first.tokenizer !== null &&
      (rows === null || rows === first.rows)
    ) {
      tokenizer = first.tokenizer;
      if (rows !== null) {
        warnings.push(`${quote(reference)} has no tokenizer: it is taken to have that of ${quote(first.reference)}`);
      }
    }
    if (tokenizer === null) {
      const detail = `${quote(reference)} has no tokenizer (tokenizer.json, vocab.json, vocab.txt or tokenizer.model)`;
      throw new AmalgamError('invalid_recipe', `${detail}, which the recipe's "tokenizer" needs`, {
        errors: [{ pointer: '/tokenizer', detail }],
      });
    }
    const beyond = rows === null ? [] : [...tokenizer.tokens].filter(([, id]) => id >= rows).map(([token]) => token);
    if (beyond.length > 0) {
      const tokens = quoteList(beyond);
      warnings.push(`${quote(reference)} has ${rows} rows of embeddings and none for ${tokens}: they count as missing`);
    }
    return { ...input, tokenizer };
  });
}

/** What comes behind the donor's tokens. */
function newTokens(speakers: readonly Speaker[], donor: number, union: boolean, named: readonly string[]): NewToken[] {
  const { tokens, size } = speakers[donor]!.tokenizer;
  const extra = new Map<string, NewToken>();
  const add = (content: string, added: AddedToken | null) => {
    if (!tokens.has(content) && !extra.has(content)) extra.set(content, { content, id: size + extra.size, added });
  };
  if (union) {
    for (const speaker of speakers) {
      const { tokenizer } = speaker;
      const present = [...tokenizer.tokens].filter(([token]) => !tokens.has(token) && rowIn(speaker, token) >= 0);
      for (const [token] of present.sort((a, b) => a[1] - b[1])) add(token, tokenizer.added.get(token) ?? null);
    }
  }
  for (const token of named) {
    const owner = speakers.find(({ tokenizer }) => tokenizer.added.has(token));
    add(token, owner?.tokenizer.added.get(token) ?? plainToken(token, false));
  }
  return [...extra.values()];
}

/** By id; null where an id has no token. */
export function tokensById(donor: TokenizerDescription, extra: readonly NewToken[]): (string | null)[] {
  const tokens: (string | null)[] = new Array<string | null>(donor.size + extra.length).fill(null);
  for (const [token, id] of donor.tokens) tokens[id] = token;
  for (const { content, id } of extra) tokens[id] = content;
  return tokens;
}

function rowCount({ pad_to_multiple_of: multiple }: TokenizerRecipe, size: number, donorRows: number | null): number {
  if (multiple !== undefined) return Math.ceil(size / multiple) * multiple;
  return Math.max(size, donorRows ?? 0);
}

/** Which rows of an input belong to no token. */
function spareRows({ tokenizer, rows }: Speaker): (row: number) => boolean {
  const used = new Uint8Array(tokenizer.size);
  for (const id of tokenizer.tokens.values()) used[id] = 1;
  return (row) => row < (rows ?? 0) && used[row] !== 1;
}

/** Where tokens of other vocabularies may come to be found in text that the donor alone would have cut otherwise. */
function describeExtra(speakers: readonly Speaker[], donor: number, extra: readonly NewToken[]): string[] {
  const own = extra.filter(({ added }) => added === null).map(({ content }) => content);
  if (own.length === 0) return [];
  const { reference, tokenizer } = speakers[donor]!;
  const strangers = speakers.filter(({ tokenizer: { spelling } }) => spelling !== tokenizer.spelling);
  const warnings = strangers.map(
    (other) =>
      `the tokenizers of ${quote(reference)} (${tokenizer.spelling}) and ${quote(other.reference)} ` +
      `(${other.tokenizer.spelling}) spell words differently: few tokens are the same in both`,
  );
  if (tokenizer.takesWholeWords) {
    warnings.push(
      `${own.length} tokens of other vocabularies (${quoteList(own.slice(0, 3))}) join that of ${quote(reference)}, which ` +
        'takes a word that is a token whole: text with them is cut otherwise than before',
    );
  }
  return warnings;
}
