import { type AmalgamError, quote } from '@amalgam/contracts';
import type { AddedToken, Spelling } from './types.js';

/** Sixteen times the largest vocabulary seen: ids become rows of arrays, so a hostile one must not reach 2^31. */
const MAX_ID = 2 ** 22;

/** A vocabulary while it is read: token by id and id by token stay in step. */
export class TokenTable {
  readonly tokens = new Map<string, number>();
  readonly added = new Map<string, AddedToken>();
  readonly #byId = new Map<number, string>();
  readonly #refuse: (rule: string) => AmalgamError;

  constructor(refuse: (rule: string) => AmalgamError) {
    this.#refuse = refuse;
  }

  get size(): number {
    let size = 0;
    for (const id of this.tokens.values()) size = Math.max(size, id + 1);
    return size;
  }

  /** A token of the model itself. @throws `invalid_checkpoint` when the id is none, or another token's */
  set(token: string, id: unknown): void {
    const checked = this.#checkId(token, id);
    const other = this.#byId.get(checked);
    if (other !== undefined && other !== token) {
      throw this.#refuse(`tokens ${quote(other)} and ${quote(token)} both have id ${checked}`);
    }
    this.tokens.set(token, checked);
    this.#byId.set(checked, token);
  }

  /** An added token; one that the vocabulary has already keeps its id there, as the tokenizers that read these files do. */
  add(token: AddedToken, id: unknown): void {
    if (!this.tokens.has(token.content)) this.set(token.content, id);
    this.added.set(token.content, token);
  }

  /** What a second file says besides: what is there already, or has an id that is taken, is left as it is. */
  addIfFree(token: AddedToken, id: unknown): void {
    const known = this.tokens.get(token.content);
    if (known === undefined && this.#byId.has(this.#checkId(token.content, id))) return;
    if (known === undefined) this.set(token.content, id);
    if (!this.added.has(token.content)) this.added.set(token.content, token);
  }

  #checkId(token: string, id: unknown): number {
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < MAX_ID) return id;
    throw this.#refuse(`the id of token ${quote(token)} must be an integer from 0 to ${MAX_ID - 1}`);
  }
}

/** An added token as files write it, whole or as its content alone; null when it is neither. */
export function toAddedToken(value: unknown, special: boolean): AddedToken | null {
  if (typeof value === 'string') return plainToken(value, special);
  if (value === null || typeof value !== 'object') return null;
  const fields = value as Record<string, unknown>;
  const content = fields['content'];
  if (typeof content !== 'string') return null;
  const flag = (name: string, absent: boolean) => (typeof fields[name] === 'boolean' ? fields[name] : absent);
  return {
    content,
    special: flag('special', special),
    single_word: flag('single_word', false),
    lstrip: flag('lstrip', false),
    rstrip: flag('rstrip', false),
    normalized: flag('normalized', !special),
  };
}

export function plainToken(content: string, special: boolean): AddedToken {
  return { content, special, single_word: false, lstrip: false, rstrip: false, normalized: !special };
}

const MARKS: readonly [string, Spelling][] = [
  ['Ġ', 'bytes'],
  ['▁', 'metaspace'],
  ['##', 'wordpiece'],
];

/** Which mark most tokens begin with. */
export function spellingOf(tokens: Iterable<string>): Spelling {
  const counts = MARKS.map(() => 0);
  for (const token of tokens) {
    for (const [i, [mark]] of MARKS.entries()) if (token.startsWith(mark)) counts[i]! += 1;
  }
  const most = Math.max(...counts);
  return most === 0 ? 'plain' : MARKS[counts.indexOf(most)]![1];
}
