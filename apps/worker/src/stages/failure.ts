import { AmalgamError, isAmalgamError, isNoSpace, type PlainError, toPlain } from '@amalgam/contracts';
import { isPassing } from '../patience.js';

/** What an error means for the merge. */
export type Verdict =
  /** The merge ends with this error. */
  | { kind: 'failed'; error: PlainError; discard: boolean }
  /** Something that the merge needs did not work: another attempt may fare better. */
  | { kind: 'trouble'; error: PlainError }
  /** A fault of ours: the user is told where to look, the log what happened. */
  | { kind: 'bug'; error: PlainError };

const TROUBLE = new Set(['unavailable', 'storage_error']);

export function judge(error: unknown, attemptId: string): Verdict {
  const known = isNoSpace(error) ? new AmalgamError('storage_full', toPlain(error).detail) : error;
  if (isAmalgamError(known) && known.code !== 'internal') {
    const plain = toPlain(known);
    if (TROUBLE.has(known.code)) return { kind: 'trouble', error: plain };
    // What was stored would keep a full disk full, and bytes that clash would clash with the next attempt, too.
    return { kind: 'failed', error: plain, discard: ['storage_full', 'object_exists'].includes(known.code) };
  }
  if (isPassing(known)) {
    return { kind: 'trouble', error: { code: 'unavailable', detail: 'the database did not answer' } };
  }
  const detail = `an unexpected error, which the worker's log names under ${attemptId}`;
  return { kind: 'bug', error: { code: 'internal', detail } };
}
