import { fileChanged, isAmalgamError } from '@amalgam/contracts';
import type { FolderFile, ReadableFolder } from '@amalgam/tensors';
import {
  extendAddedTokens,
  extendDecoder,
  extendSentencepiece,
  extendVocabJson,
  extendVocabText,
  type Tokens,
} from './extend-files.js';
import { extendTokenizerJson } from './extend-json.js';
import { jsonText } from './json-text.js';
import { type NewToken, tokensById } from './plan-vocabulary.js';
import { readTokenizer } from './read-tokenizer.js';
import { TokenizerFiles } from './tokenizer-files.js';
import type { TokenizerDescription } from './types.js';

const CONFIG = 'tokenizer_config.json';

export interface RebuildOptions {
  /** Tokens that come in, as `planVocabulary` says. */
  extra: readonly NewToken[];
  /** Null: what the files say. */
  chatTemplate: string | null;
  /** SHA-256 of files that must be as they were, by path. */
  digests: Readonly<Record<string, string>>;
}

/**
 * All tokenizer files of a result, by path, made from those of one model: copies where nothing changes, else with the tokens
 * that come in and the chat template that the recipe asks for. What was in the files stays in them.
 *
 * @throws AmalgamError `checkpoint_changed` when a file is not the one that was planned with; `invalid_checkpoint` when one is not what its
 * name says; what reading throws
 */
export async function rebuildTokenizer(
  folder: ReadableFolder,
  files: readonly FolderFile[],
  options: RebuildOptions,
): Promise<Map<string, Uint8Array>> {
  const own = new TokenizerFiles(folder, files);
  const now = await own.digests();
  for (const [path, planned] of Object.entries(options.digests)) {
    if (now[path] !== planned) throw fileChanged(own.nameOf(path), 'has another content');
  }
  const donor = options.extra.length === 0 ? null : await readTokenizer(own);
  const written = new Map<string, Uint8Array>();
  for (const path of own.paths) written.set(path, await own.read(path));
  const put = (path: string, content: string | Uint8Array) =>
    written.set(path, typeof content === 'string' ? new TextEncoder().encode(content) : content);
  if (donor !== null) await extendVocabulary(own, donor, options.extra, put);
  if (options.chatTemplate !== null) await setChatTemplate(own, options.chatTemplate, written, put);
  return written;
}

type Put = (path: string, content: string | Uint8Array) => void;

async function extendVocabulary(
  files: TokenizerFiles,
  donor: TokenizerDescription,
  extra: readonly NewToken[],
  put: Put,
): Promise<void> {
  const added = new Map(donor.added);
  for (const token of extra) if (token.added !== null) added.set(token.content, token.added);
  const tokens: Tokens = { byId: tokensById(donor, extra), added };
  const hasJson = files.has('tokenizer.json');
  if (hasJson) {
    put('tokenizer.json', jsonText(extendTokenizerJson(await files.object('tokenizer.json'), donor, extra)));
  }

  const config = await files.objectIfAny(CONFIG);
  // Without tokenizer.json these two are where added tokens are found, the donor's too.
  const known = hasJson
    ? []
    : [...donor.added.keys()].map((token): [string, number] => [token, donor.tokens.get(token) ?? 0]);
  if (config !== null && (!hasJson || 'added_tokens_decoder' in config)) {
    put(CONFIG, jsonText(extendDecoder(config, extra, known, tokens)));
  }
  if (files.has('added_tokens.json') || (!hasJson && config === null)) {
    const before = (await files.objectIfAny('added_tokens.json')) ?? {};
    put('added_tokens.json', jsonText(extendAddedTokens(before, extra, known)));
  }
  if (extra.some((token) => token.added === null)) await extendPlainFiles(files, donor, config, extra, tokens, put);
}

/** The files of other readers, which know tokens of a model's own vocabulary from there. */
async function extendPlainFiles(
  files: TokenizerFiles,
  donor: TokenizerDescription,
  config: Record<string, unknown> | null,
  extra: readonly NewToken[],
  tokens: Tokens,
  put: Put,
): Promise<void> {
  if (files.has('vocab.json')) put('vocab.json', jsonText(extendVocabJson(await files.object('vocab.json'), extra)));
  if (files.has('vocab.txt')) put('vocab.txt', extendVocabText(await files.text('vocab.txt'), tokens));
  // T5's readers count their sentinels from the last piece on.
  if (typeof config?.['extra_ids'] === 'number' && config['extra_ids'] > 0) return;
  for (const path of ['tokenizer.model', 'spiece.model']) {
    if (!files.has(path)) continue;
    const bytes = await files.read(path);
    try {
      put(
        path,
        extendSentencepiece(bytes, tokens, (rule) => files.refuse(path, rule)),
      );
    } catch (error) {
      // Some put the vocabulary of another library there. It stays: who reads it, knows the donor's tokens.
      if (donor.format === 'sentencepiece' || !isAmalgamError(error)) throw error;
    }
  }
}

/** Readers look in the files of their own first, which are there only when they were. */
async function setChatTemplate(
  files: TokenizerFiles,
  template: string,
  written: ReadonlyMap<string, Uint8Array>,
  put: Put,
): Promise<void> {
  const before = written.get(CONFIG);
  const config = before === undefined ? {} : (JSON.parse(new TextDecoder().decode(before)) as Record<string, unknown>);
  put(CONFIG, jsonText({ ...config, chat_template: template }));
  if (files.has('chat_template.jinja')) put('chat_template.jinja', template);
  if (files.has('chat_template.json')) {
    put('chat_template.json', jsonText({ ...(await files.object('chat_template.json')), chat_template: template }));
  }
}
