import type { Found, Rank } from '@amalgam/methods';
import type { Cut, Naming, Span, SurveyTask, Task } from './job.js';

/** What searches are told, and what they find. */

export type RunTask = <T>(task: Task) => Promise<T>;

/** Tensors that share an order: all of them, or one. */
export interface Group {
  tensors: { index: number; elements: number }[];
  elements: number;
}

/** What is ordered, the largest first. */
export interface Order {
  /** Place of a ranking in the method's list of surveys; null: magnitudes of the inputs. */
  survey: number | null;
  /** By value; otherwise by magnitude. */
  signed: boolean;
  /** What the searches call models by. */
  naming: Naming;
  /** By tensor: what earlier surveys found. */
  found: Found[][];
  /** Does it matter where the entries end that are equal to what lies at a place? */
  tiesMatter: boolean;
}

/** A place in the order of a group's entries to be found: `rank` of a model's entries lie up to it. A ranking may have one for all models: 0. */
export interface Search {
  model: number;
  rank: Rank;
}

/** The rank where as many entries are not 0; null: there is none. */
export function toRank(rank: Rank, nonzero: number): number | null {
  if (typeof rank === 'number') return rank;
  return nonzero === 0 ? null : Math.max(1, Math.floor(nonzero * rank.shareOfNonzero));
}

/** The key at a place, and the tensor and index in it where the entries equal to it that come no later end. */
export interface Place {
  key: number;
  tensor: number;
  end: number;
}

/** A place as it falls in a tensor. */
export function cutAt({ key, tensor, end }: Place, index: number): Cut {
  if (index === tensor) return { key, tieEnd: end };
  return { key, tieEnd: index < tensor ? Number.MAX_SAFE_INTEGER : 0 };
}

/** Keys of magnitudes are below 2^31, those of values below 2^32; no window reaches further. */
export function lastKey({ signed }: Order): number {
  return signed ? 0xffffffff : 0x7fffffff;
}

export function toSurvey({ survey, found }: Order, spans: Span[]): SurveyTask | null {
  return survey === null ? null : { index: survey, found: spans.map(({ tensor }) => found[tensor]!) };
}

const someBits = new Uint32Array(1);
const sameBits = new Float32Array(someBits.buffer);

/** The value whose key it is. */
export function keyToValue(key: number, signed: boolean): number {
  someBits[0] = !signed ? key : key >= 2 ** 31 ? key - 2 ** 31 : ~key;
  return sameBits[0]!;
}

/** A place whose entries of equal key end at index `end` of the spans, one behind the other; where the order goes on, later ones come later. */
export function placeAt(key: number, spans: Span[], end: number): Place {
  let left = end;
  for (const { tensor, start, count } of spans) {
    if (left <= count) return { key, tensor, end: start + left };
    left -= count;
  }
  throw new RangeError(`the spans have no entry ${end}`);
}

/** A place before which all entries of its key lie. */
export function withAllEquals(key: number): Place {
  return { key, tensor: Number.MAX_SAFE_INTEGER, end: 0 };
}
