import { AmalgamError, quote, type TokenizerRecipe } from '@amalgam/contracts';
import type { InputRow } from './row-picks.js';
import type { TokenizerDescription } from './types.js';

/** A model that takes part: the base, when there is one, then the recipe's models. */
export interface VocabularyInput {
  /** What the recipe calls it. */
  reference: string;
  tokenizer: TokenizerDescription | null;
  /** Rows of its embeddings; null: it has none. */
  rows: number | null;
}

/** An input whose tokenizer is known. */
export interface Speaker extends VocabularyInput {
  tokenizer: TokenizerDescription;
}

/** Row of a token in an input's embeddings, -1 when it has none. */
export function rowIn({ tokenizer, rows }: Speaker, token: string): number {
  const id = tokenizer.tokens.get(token);
  return id !== undefined && id < (rows ?? 0) ? id : -1;
}

/** What inputs that lack a token get in its row: rows of which the mean is taken, none for zeros. */
export type Fallback = readonly InputRow[];

/** The base's row, else the mean over the models that have the token, of which there is mostly one; else zeros. */
export function defaultFallback(speakers: readonly Speaker[], hasBase: boolean, token: string): Fallback {
  const owners: InputRow[] = [];
  for (const [input, speaker] of speakers.entries()) {
    const row = rowIn(speaker, token);
    if (row < 0) continue;
    if (hasBase && input === 0) return [{ input, row }];
    owners.push({ input, row });
  }
  return owners;
}

type TokenRule = NonNullable<TokenizerRecipe['tokens']>[string];

/**
 * What the recipe says of one token.
 *
 * @throws AmalgamError `invalid_recipe` naming the token, when a source is no model of the recipe or does not have the token
 */
export function statedFallback(
  speakers: readonly Speaker[],
  find: (reference: string) => number | null,
  token: string,
  { source }: TokenRule,
): Fallback {
  const at = `/tokenizer/tokens/${token.replaceAll('~', '~0').replaceAll('/', '~1')}/source`;
  const refuse = (pointer: string, rule: string): AmalgamError => {
    const detail = `tokenizer: token ${quote(token)}: ${rule}`;
    return new AmalgamError('invalid_recipe', detail, { errors: [{ pointer, detail: rule }] });
  };
  const speakerOf = (pointer: string, reference: string) => {
    const input = find(reference);
    const speaker = input === null ? undefined : speakers[input];
    if (input === null || speaker === undefined) {
      throw refuse(pointer, `${quote(reference)} is none of the recipe's models, nor its base`);
    }
    return { input, speaker };
  };
  const rowOf = (pointer: string, { input, speaker }: { input: number; speaker: Speaker }, wanted: string) => {
    const row = rowIn(speaker, wanted);
    if (row < 0) throw refuse(pointer, `${quote(speaker.reference)} has no embedding of ${quote(wanted)}`);
    return [{ input, row }];
  };
  if (typeof source === 'string') return rowOf(at, speakerOf(at, source), token);
  if (source.kind === 'zero') return [];
  const owner = speakerOf(`${at}/model`, source.model);
  if (source.token !== undefined && source.token_id === undefined) return rowOf(`${at}/token`, owner, source.token);
  if (source.token_id === undefined || source.token !== undefined) throw refuse(at, 'needs either token or token_id');
  if (source.token_id >= (owner.speaker.rows ?? 0)) {
    const rows = owner.speaker.rows ?? 0;
    throw refuse(`${at}/token_id`, `${quote(source.model)} has ${rows} rows, none with index ${source.token_id}`);
  }
  return [{ input: owner.input, row: source.token_id }];
}
