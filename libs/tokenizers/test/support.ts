import { bytesSource, type FolderFile, type ReadableFolder } from '@amalgam/tensors';
import { readTokenizer, type TokenizerDescription, TokenizerFiles } from '../src/index.js';

export type Content = string | Uint8Array | Record<string, unknown>;

/** A folder in memory with its list of files; objects are written as JSON. */
export function folderOf(files: Record<string, Content>, label = 'M'): { folder: ReadableFolder; files: FolderFile[] } {
  const contents = new Map(Object.entries(files).map(([path, content]) => [path, toBytes(content)]));
  const list = [...contents].map(([path, bytes]) => ({ path, bytes: bytes.length }));
  const folder: ReadableFolder = {
    label,
    list: async () => list,
    source: (path) => bytesSource(`${label}/${path}`, contents.get(path) ?? new Uint8Array()),
    localPath: () => null,
  };
  return { folder, files: list };
}

function toBytes(content: Content): Uint8Array {
  if (content instanceof Uint8Array) return content;
  return Buffer.from(typeof content === 'string' ? content : JSON.stringify(content));
}

export async function read(files: Record<string, Content>): Promise<TokenizerDescription> {
  const { folder, files: list } = folderOf(files);
  const tokenizer = await readTokenizer(new TokenizerFiles(folder, list));
  if (tokenizer === null) throw new Error('the folder has no tokenizer');
  return tokenizer;
}

export interface AddedSpec {
  id: number;
  content: string;
  special?: boolean;
  normalized?: boolean;
}

const added = (tokens: readonly AddedSpec[]) =>
  tokens.map(({ id, content, special = true, normalized = false }) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized,
    special,
  }));

const ids = (tokens: readonly string[]) => Object.fromEntries(tokens.map((token, id) => [token, id]));

/** tokenizer.json of byte-level BPE: its letters, then what each merge makes, then added tokens. */
export function bpe(letters: readonly string[], merges: readonly string[], extra: readonly AddedSpec[] = []) {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added(extra),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: ids([...letters, ...merges.map((merge) => merge.replace(' ', ''))]),
      merges: merges.map((merge) => merge.split(' ')),
    },
  };
}

/** tokenizer.json of WordPiece. */
export function wordpiece(tokens: readonly string[], extra: readonly AddedSpec[] = []) {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added(extra),
    normalizer: null,
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: null,
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: ids(tokens),
    },
  };
}

/** tokenizer.json of Unigram; unknown is the first piece. */
export function unigram(pieces: readonly (readonly [string, number])[], extra: readonly AddedSpec[] = []) {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added(extra),
    normalizer: null,
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    post_processor: null,
    decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    model: { type: 'Unigram', unk_id: 0, vocab: pieces, byte_fallback: false },
  };
}
