import { describe, expect, it } from 'vitest';
import { AmalgamError, fromPlain, joinDetails, problemsError, toPlain } from '../src/index.js';

const many = Array.from({ length: 10_000 }, (_, i) => ({
  code: 'tensor_missing' as const,
  pointer: `/slices/${i}`,
  detail: `layer ${i} is not there`,
}));

describe('errors', () => {
  it('list a hundred problems at most, and say how many there are', () => {
    const error = problemsError(many);
    expect(error.code).toBe('tensor_missing');
    expect(error.detail).toBe('layer 0 is not there (and 9999 more)');
    expect(error.errors).toHaveLength(100);
    expect(error.errors[99]).toEqual({ pointer: '/slices/99', detail: 'layer 99 is not there' });
    expect(problemsError(many.slice(0, 1)).detail).toBe('layer 0 is not there');
  });

  it('are cut whoever makes them, and pass between threads as they are', () => {
    const error = new AmalgamError('invalid_recipe', 'no', { errors: many });
    expect(error.errors).toHaveLength(100);
    expect(fromPlain(toPlain(error)).errors).toEqual(error.errors);
  });

  it('say the first eight things in a sentence, and how many more there are', () => {
    expect(joinDetails(['a', 'b'])).toBe('a; b');
    expect(joinDetails(many.map(({ pointer }) => pointer))).toBe(
      '/slices/0; /slices/1; /slices/2; /slices/3; /slices/4; /slices/5; /slices/6; /slices/7; and 9992 more',
    );
  });
});
