import { describe, expect, it } from 'vitest';
import { MAX_RETRY_AFTER_MS, nextAttempt, parseRetryAfter, STANDARD_SCHEDULE } from '../src/index.js';

const now = new Date('2026-11-23T12:00:00Z');
const middle = () => 0.5;

describe('schedule', () => {
  it('is that of Standard Webhooks', () => {
    const pauses = STANDARD_SCHEDULE.map((_, made) => nextAttempt(made, now, null, middle)!.getTime() - now.getTime());
    const minute = 60_000;
    expect(pauses).toEqual(
      [0, 5_000 / minute, 5, 30, 120, 300, 600, 840, 1_200, 1_440].map((minutes) => minutes * minute),
    );
    expect(nextAttempt(10, now)).toBeNull();
    expect(nextAttempt(11, now, 1_000)).toBeNull();
  });

  it('varies a pause by a tenth and the first attempt not at all', () => {
    expect(nextAttempt(2, now, null, () => 0)!.getTime() - now.getTime()).toBe(270_000);
    expect(nextAttempt(2, now, null, () => 1)!.getTime() - now.getTime()).toBe(330_000);
    expect(nextAttempt(0, now, null, () => 1)).toEqual(now);
  });

  it('honours Retry-After when it asks for more, within bounds', () => {
    expect(nextAttempt(1, now, 60_000, middle)!.getTime() - now.getTime()).toBe(60_000);
    expect(nextAttempt(2, now, 60_000, middle)!.getTime() - now.getTime()).toBe(300_000);
    expect(nextAttempt(1, now, 1e15, middle)!.getTime() - now.getTime()).toBe(MAX_RETRY_AFTER_MS);
    expect(nextAttempt(1, now, -5, middle)!.getTime() - now.getTime()).toBe(5_000);
  });

  it('takes another schedule', () => {
    expect(nextAttempt(1, now, null, middle, [0, 10])!.getTime() - now.getTime()).toBe(10);
    expect(nextAttempt(2, now, null, middle, [0, 10])).toBeNull();
  });

  it('reads Retry-After', () => {
    expect(parseRetryAfter('120', now)).toBe(120_000);
    expect(parseRetryAfter(' 0 ', now)).toBe(0);
    expect(parseRetryAfter('Mon, 23 Nov 2026 12:00:30 GMT', now)).toBe(30_000);
    expect(parseRetryAfter('Mon, 23 Nov 2026 11:00:00 GMT', now)).toBe(0);
    for (const header of [undefined, '', 'soon', '-1', '1.5', '2030', '99999999999999', '1e3']) {
      expect(parseRetryAfter(header, now)).toBe(header === '2030' ? 2_030_000 : null);
    }
  });
});
