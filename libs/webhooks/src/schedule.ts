const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Pauses before the attempts of Standard Webhooks 1.0, in milliseconds: ten attempts within about 75 hours. */
export const STANDARD_SCHEDULE: readonly number[] = [
  0,
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];

/** A receiver may ask for a longer pause, but not for longer than this. */
export const MAX_RETRY_AFTER_MS = 24 * HOUR;

/** Share of a pause by which it varies, so that what failed together does not come back together. */
const JITTER = 0.1;

/**
 * When to try again after `attemptsMade` attempts (0: the first one); null when there is none left. The pause is
 * the schedule's, give or take a tenth, or the receiver's Retry-After when that is longer.
 */
export function nextAttempt(
  attemptsMade: number,
  now: Date,
  retryAfterMs: number | null = null,
  random: () => number = Math.random,
  schedule: readonly number[] = STANDARD_SCHEDULE,
): Date | null {
  const pause = schedule[attemptsMade];
  if (pause === undefined) return null;
  const jittered = pause * (1 + JITTER * (2 * random() - 1));
  const asked = Math.min(Math.max(retryAfterMs ?? 0, 0), MAX_RETRY_AFTER_MS);
  return new Date(now.getTime() + Math.round(Math.max(jittered, asked)));
}

/** The pause that a Retry-After header asks for: seconds or an HTTP date. Null when it says neither. */
export function parseRetryAfter(header: string | undefined, now: Date): number | null {
  if (header === undefined) return null;
  const text = header.trim();
  if (/^\d{1,12}$/.test(text)) return Number(text) * SECOND;
  // Date.parse takes many things; an HTTP date always names the day and ends with GMT.
  const date = /^[A-Z][a-z]{2}, .*GMT$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - now.getTime());
}
