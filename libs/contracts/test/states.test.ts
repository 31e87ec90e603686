import { expect, test } from 'vitest';
import { canTransition, ERRORS, isFinal, isId, isRetryable, MERGE_STATES } from '../src/index.js';

test('only failed and canceled merges leave a final state, by a retry', () => {
  for (const from of MERGE_STATES.filter(isFinal)) {
    const next = MERGE_STATES.filter((to) => canTransition(from, to));
    expect(next).toEqual(isRetryable(from) ? ['queued'] : []);
  }
});

test('a merge that was never running does not succeed', () => {
  expect(canTransition('queued', 'succeeded')).toBe(false);
  expect(canTransition('running', 'succeeded')).toBe(true);
});

test('every coded error has a status that HTTP knows and a title', () => {
  for (const [code, { status, title }] of Object.entries(ERRORS)) {
    expect(code).toMatch(/^[a-z_]+$/);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(600);
    expect(title.length).toBeGreaterThan(5);
  }
});

test('ids carry their kind', () => {
  expect(isId('merge', 'mrg_01ARZ3NDEKTSV4RRFFQ69G5FAV')).toBe(true);
  expect(isId('checkpoint', 'mrg_01ARZ3NDEKTSV4RRFFQ69G5FAV')).toBe(false);
  expect(isId('merge', 'mrg_01arz3ndektsv4rrffq69g5fav')).toBe(false);
});
