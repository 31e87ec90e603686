import { findModel, isAmalgamError, type Recipe } from '@amalgam/contracts';
import type { FolderFile, ReadableFolder } from '@amalgam/tensors';
import { commonestTemplate, statedChatTemplate } from './chat-template.js';
import { compareVocabularies } from './compare-vocabularies.js';
import { type ConfigOwner, followVocabulary } from './follow-config.js';
import { type NewToken, planVocabulary, type VocabularyPlan } from './plan-vocabulary.js';
import { readTokenizer } from './read-tokenizer.js';
import { TokenizerFiles } from './tokenizer-files.js';
import type { TokenizerDescription } from './types.js';

const GENERATION = 'generation_config.json';

/** The base, when there is one, or one of the recipe's models. Plain data. */
export interface TokenInput {
  reference: string;
  /** Of its folder, with their sizes. */
  files: readonly FolderFile[];
  /** Its config.json. */
  config: Record<string, unknown> | null;
  /** Rows of its embeddings; null: it has none. */
  rows: number | null;
}

export interface TokenRequest {
  recipe: Pick<Recipe, 'base' | 'models' | 'tokenizer' | 'chat_template'>;
  inputs: readonly TokenInput[];
}

/** What becomes of tokens in a merge. Plain data; indices are those of `TokenRequest.inputs`. */
export interface TokenPlan {
  /** Whose tokenizer files the result gets, with `extra` added to their vocabulary. */
  donor: number;
  extra: NewToken[];
  /** Null: the recipe says nothing of the vocabulary, rows stay as they are. */
  vocabulary: Pick<VocabularyPlan, 'rows' | 'picks'> | null;
  /** SHA-256 of the donor's tokenizer files, by path, as they were when the plan was made; empty: it did not need them. */
  digests: Record<string, string>;
  /** Null: what the donor's files say. */
  chatTemplate: string | null;
  /** What must change in the first input's config.json and generation_config.json: dotted paths to values. */
  config: Record<string, unknown>;
  generation: Record<string, unknown>;
  warnings: string[];
}

/**
 * Plans what a recipe's `tokenizer` and `chat_template` ask for, from the inputs' small files; without them, warns of rows that
 * stand for different tokens. `open`: the folder of an input.
 *
 * @throws AmalgamError `invalid_recipe` as `planVocabulary` and `statedChatTemplate` say; `invalid_checkpoint` for a file that is not what
 * its name says; what reading throws
 */
export async function planTokens(
  { recipe, inputs }: TokenRequest,
  open: (input: number) => ReadableFolder,
): Promise<TokenPlan> {
  const stated = recipe.chat_template === undefined ? null : statedChatTemplate(recipe.chat_template);
  const plan: TokenPlan = {
    donor: 0,
    extra: [],
    vocabulary: null,
    digests: {},
    chatTemplate: stated,
    config: {},
    generation: {},
    warnings: [],
  };
  if (recipe.tokenizer === undefined && recipe.chat_template === undefined) {
    plan.warnings = await compare(inputs, open);
    return plan;
  }
  if (recipe.tokenizer === undefined && stated !== null) return plan;

  const { tokenizers, digests } = await readAll(inputs, open);
  plan.digests = digests[plan.donor] ?? {};
  if (recipe.chat_template === 'auto') {
    plan.chatTemplate = commonestTemplate(tokenizers);
    if (plan.chatTemplate === null) plan.warnings.push('no model has a chat template: the result gets none');
  }
  if (recipe.tokenizer === undefined) return plan;
  const first = recipe.base === undefined ? 0 : 1;
  const find = (reference: string): number | null => {
    const found = findModel(recipe, reference);
    if (found === null) return null;
    return found === 'base' ? 0 : found + first;
  };
  const speakers = inputs.map(({ reference, rows }, i) => ({ reference, rows, tokenizer: tokenizers[i] ?? null }));
  const vocabulary = planVocabulary(recipe.tokenizer, speakers, { hasBase: recipe.base !== undefined, find });
  const { donor, extra, rows, picks, warnings } = vocabulary;
  const files = await generationConfigs(inputs, donor, open);
  const owner = (input: number, config: ConfigOwner['config']): ConfigOwner => ({
    config,
    tokenizer: tokenizers[input] ?? null,
    rows: inputs[input]?.rows ?? null,
  });
  const follow = (configs: readonly [ConfigOwner['config'], ConfigOwner['config']]) =>
    followVocabulary(vocabulary, owner(0, configs[0]), donor === 0 ? null : owner(donor, configs[1]));
  return {
    ...plan,
    donor,
    extra,
    vocabulary: { rows, picks },
    digests: digests[donor] ?? {},
    config: follow([inputs[0]?.config ?? null, inputs[donor]?.config ?? null]),
    // It says nothing of rows.
    generation: donor === 0 ? {} : onlyIds(follow(files)),
    warnings: [...plan.warnings, ...warnings],
  };
}

/** In this mode nothing depends on tokenizers: one that cannot be read is none of the merge's business. */
async function compare(inputs: readonly TokenInput[], open: (input: number) => ReadableFolder): Promise<string[]> {
  try {
    const { tokenizers } = await readAll(inputs, open);
    return compareVocabularies(
      inputs.map(({ reference, rows }, i) => ({ reference, rows, tokenizer: tokenizers[i] ?? null })),
    );
  } catch (error) {
    if (!isAmalgamError(error) || error.code !== 'invalid_checkpoint') throw error;
    return [`vocabularies are not compared: ${error.detail}`];
  }
}

/** One after the other, as they may be large; those of equal files are one object. By input, with the digests of its files. */
async function readAll(
  inputs: readonly TokenInput[],
  open: (input: number) => ReadableFolder,
): Promise<{ tokenizers: (TokenizerDescription | null)[]; digests: Record<string, string>[] }> {
  const known = new Map<string, TokenizerDescription | null>();
  const tokenizers: (TokenizerDescription | null)[] = [];
  const digests: Record<string, string>[] = [];
  for (const [input, { files }] of inputs.entries()) {
    const own = new TokenizerFiles(open(input), files);
    const ofFiles = await own.digests();
    const key = JSON.stringify(ofFiles);
    if (!known.has(key)) known.set(key, await readTokenizer(own));
    tokenizers.push(known.get(key) ?? null);
    digests.push(ofFiles);
  }
  return { tokenizers, digests };
}

/** Of the first input and of the donor. */
async function generationConfigs(
  inputs: readonly TokenInput[],
  donor: number,
  open: (input: number) => ReadableFolder,
): Promise<readonly [ConfigOwner['config'], ConfigOwner['config']]> {
  if (donor === 0) return [null, null];
  const read = async (input: number) => {
    const files = inputs[input]?.files ?? [];
    return new TokenizerFiles(open(input), files, (path) => path === GENERATION).objectIfAny(GENERATION);
  };
  return [await read(0), await read(donor)];
}

function onlyIds(changes: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(changes).filter(([path]) => !path.endsWith('vocab_size')));
}
