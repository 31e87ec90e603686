import { describe, expect, it } from 'vitest';
import { addScores, EMPTY_TALLY, entropyOf } from '../src/scoring.js';
import { numbersFrom } from './support/numbers.js';

/** -Σ p log p as it is written, for logits that exp can bear. */
function byDefinition(logits: Float32Array): number {
  const weights = Array.from(logits, Math.exp);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return -weights.reduce((sum, weight) => sum + (weight / total) * Math.log(weight / total), 0);
}

describe('entropyOf', () => {
  it('is -Σ p log p of the softmax', () => {
    const next = numbersFrom(1);
    for (let classes = 2; classes <= 40; classes++) {
      const logits = Float32Array.from({ length: classes }, () => 6 * next());
      expect(entropyOf(logits).entropy).toBeCloseTo(byDefinition(logits), 12);
    }
  });

  it('does not change when all logits are raised', () => {
    const { entropy } = entropyOf(Float32Array.of(1, 2, 3));
    expect(entropyOf(Float32Array.of(1025, 1026, 1027)).entropy).toBe(entropy);
  });

  it.each([2, 3, 1000])('of %i equal logits is ln of their number', (classes) => {
    for (const logit of [0, -1e4, 1e4, 3e38]) {
      expect(entropyOf(new Float32Array(classes).fill(logit)).entropy).toBeCloseTo(Math.log(classes), 12);
    }
  });

  it('is 0 where one logit is far above the others', () => {
    expect(entropyOf(Float32Array.of(1e4, 0, -1e4)).entropy).toBe(0);
    expect(entropyOf(Float32Array.of(-3e38, 3e38)).entropy).toBe(0);
  });

  it('counts a class at minus infinity as impossible', () => {
    expect(entropyOf(Float32Array.of(5, Number.NEGATIVE_INFINITY, 5)).entropy).toBeCloseTo(Math.LN2, 12);
  });

  it('is not a number where a logit is not', () => {
    expect(entropyOf(Float32Array.of(1, Number.NaN)).entropy).toBeNaN();
    expect(entropyOf(Float32Array.of(1, Number.POSITIVE_INFINITY)).entropy).toBeNaN();
  });

  it('names the first of the largest logits', () => {
    expect(entropyOf(Float32Array.of(1, 7, 7, 2)).largest).toBe(1);
  });
});

describe('addScores', () => {
  const logits = Float32Array.of(2, 1, 0, 5, 1, 1);

  it('counts right and wrong predictions, batch after batch', () => {
    const first = addScores(EMPTY_TALLY, { logits, classes: 2, mask: null, labels: [0, 1, 0] });
    expect(first).toMatchObject({ count: 3, labelled: 3, right: 3 });
    const second = addScores(first, { logits, classes: 2, mask: null, labels: [1, 1, 1] });
    expect(second).toMatchObject({ count: 6, labelled: 6, right: 4 });
    expect(second.entropy).toBeCloseTo(2 * first.entropy, 12);
  });

  it('leaves masked positions out of everything', () => {
    const mask = Float32Array.of(0, 1, 0);
    const tally = addScores(EMPTY_TALLY, { logits, classes: 2, mask, labels: [0, 0, 0] });
    expect(tally).toEqual({ count: 1, entropy: entropyOf(logits.subarray(2, 4)).entropy, labelled: 1, right: 0 });
  });

  it('leaves positions labelled -100 out of the accuracy alone', () => {
    const tally = addScores(EMPTY_TALLY, { logits, classes: 2, mask: null, labels: [-100, 1, -100] });
    expect(tally).toMatchObject({ count: 3, labelled: 1, right: 1 });
  });

  it('without labels has nothing to be right about', () => {
    const tally = addScores(EMPTY_TALLY, { logits, classes: 2, mask: null, labels: null });
    expect(tally).toMatchObject({ count: 3, labelled: 0, right: 0 });
  });

  it('leaves the tally given as it is', () => {
    addScores(EMPTY_TALLY, { logits, classes: 2, mask: null, labels: null });
    expect(EMPTY_TALLY).toEqual({ count: 0, entropy: 0, labelled: 0, right: 0 });
  });
});
