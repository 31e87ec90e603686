import { AmalgamError, type ErrorCode, isAmalgamError, isNoSpace, type PlainError, toPlain } from '@amalgam/contracts';
import { isPassing } from '../patience.js';

/** What an error means for the merge. */
export type Verdict =
  /** The merge ends with this error. */
  | { kind: 'failed'; error: PlainError; discard: boolean }
  /** Something that the merge needs did not work: another attempt may fare better. */
  | { kind: 'trouble'; error: PlainError }
  /** A fault of ours: the user is told where to look, the log what happened. */
  | { kind: 'bug'; error: PlainError };

const TROUBLE = new Set<ErrorCode>(['unavailable', 'storage_error']);

/**
 * After these the stored shards are worth nothing: they would keep a full disk full, clash with the next attempt, or
 * hold what was read of an input that was being changed.
 */
const DISCARDING = new Set<ErrorCode>(['storage_full', 'object_exists', 'checkpoint_changed']);

export function judge(error: unknown, attemptId: string): Verdict {
  const known = isNoSpace(error) ? new AmalgamError('storage_full', toPlain(error).detail) : error;
  if (isAmalgamError(known) && known.code !== 'internal') {
    const plain = toPlain(known);
    if (TROUBLE.has(known.code)) return { kind: 'trouble', error: plain };
    return { kind: 'failed', error: plain, discard: DISCARDING.has(known.code) };
  }
  if (isPassing(known)) {
    return { kind: 'trouble', error: { code: 'unavailable', detail: 'the database did not answer' } };
  }
  const detail = `an unexpected error, which the worker's log names under ${attemptId}`;
  return { kind: 'bug', error: { code: 'internal', detail } };
}
