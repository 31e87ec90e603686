import { createHash } from 'node:crypto';
import { AmalgamError, fileChanged } from '@amalgam/contracts';
import type { FolderFile, ReadableFolder } from '@amalgam/tensors';

/** Twice the largest tokenizer.json seen. */
const LARGEST_FILE = 64 * 2 ** 20;

const TOKENIZER_FILE =
  /^(tokenizer[A-Za-z0-9._-]*\.(json|model)|vocab\.(json|txt)|merges\.txt|special_tokens_map\.json|added_tokens\.json|chat_template\.(json|jinja)|[A-Za-z0-9._-]+\.model)$/;

const NAMED_MODEL = /^(tokenizer|spiece)\.model$/;

/** Is this side file of a model, by its path, part of the tokenizer? */
export function isTokenizerFile(path: string): boolean {
  return TOKENIZER_FILE.test(path);
}

/** A file that has the name of a sentencepiece model and the size of weights. */
function isSomethingElse(path: string, bytes: number): boolean {
  return bytes > LARGEST_FILE && path.endsWith('.model') && !NAMED_MODEL.test(path);
}

/** The tokenizer files of one model, read when they are asked for, once. */
export class TokenizerFiles {
  readonly #folder: ReadableFolder;
  readonly #bytes: ReadonlyMap<string, number>;
  readonly #read = new Map<string, Uint8Array>();

  /** `files`: those of the folder, with their sizes; `wanted`: which of them are seen. */
  constructor(
    folder: ReadableFolder,
    files: readonly FolderFile[],
    wanted: (path: string) => boolean = isTokenizerFile,
  ) {
    this.#folder = folder;
    const seen = files.filter(({ path, bytes }) => wanted(path) && !isSomethingElse(path, bytes));
    this.#bytes = new Map(seen.map(({ path, bytes }) => [path, bytes]));
  }

  get label(): string {
    return this.#folder.label;
  }

  /** Paths, in code unit order of the folder's list. */
  get paths(): string[] {
    return [...this.#bytes.keys()];
  }

  has(path: string): boolean {
    return this.#bytes.has(path);
  }

  nameOf(path: string): string {
    return `${this.#folder.label}/${path}`;
  }

  /**
   * @throws AmalgamError `invalid_checkpoint` when it is larger than any tokenizer's; `checkpoint_changed` when it has not the size that
   * was listed; what reading throws
   */
  async read(path: string): Promise<Uint8Array> {
    const known = this.#read.get(path);
    if (known !== undefined) return known;
    const bytes = this.#bytes.get(path) ?? 0;
    if (bytes > LARGEST_FILE) {
      throw new AmalgamError(
        'invalid_checkpoint',
        `${this.nameOf(path)}: has ${bytes} bytes; files of tokenizers have at most ${LARGEST_FILE}`,
      );
    }
    const source = this.#folder.source(path);
    try {
      const now = await source.size();
      if (now !== bytes) throw fileChanged(this.nameOf(path), `has ${now} bytes, not ${bytes}`);
      const content = await source.read(0, bytes);
      this.#read.set(path, content);
      return content;
    } finally {
      await source.close?.();
    }
  }

  /** SHA-256 of every file, by path, in the order of `paths`. */
  async digests(): Promise<Record<string, string>> {
    const digests: [string, string][] = [];
    for (const path of this.paths) {
      const content = await this.read(path);
      digests.push([path, createHash('sha256').update(content).digest('hex')]);
    }
    return Object.fromEntries(digests);
  }

  async text(path: string): Promise<string> {
    const bytes = await this.read(path);
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch (cause) {
      throw this.refuse(path, 'is not UTF-8', cause);
    }
  }

  /** A file that must hold a JSON object. */
  async object(path: string): Promise<Record<string, unknown>> {
    const text = await this.text(path);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw this.refuse(path, 'is not valid JSON', cause);
    }
    if (!isObject(value)) throw this.refuse(path, 'is not a JSON object');
    return value;
  }

  /** The same, or null when there is no such file. */
  async objectIfAny(path: string): Promise<Record<string, unknown> | null> {
    return this.has(path) ? this.object(path) : null;
  }

  refuse(path: string, rule: string, cause?: unknown): AmalgamError {
    return new AmalgamError('invalid_checkpoint', `${this.nameOf(path)}: ${rule}`, { cause });
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
