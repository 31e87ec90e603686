import { describe, expect, it } from 'vitest';
import type { Table } from '../src/adam.js';
import { workFolder } from './support/folders.js';
import { numbersFrom } from './support/numbers.js';
import { apart, openStep, type Step, slopeOf } from './support/stepping.js';
import { type ZooOptions, zooMerge } from './support/zoo.js';

const TWO = ['digits', 'location'];

async function stepOf(
  { names = TWO, ...zoo }: ZooOptions = {},
  parameters: Record<string, unknown> = {},
  options: Parameters<typeof openStep>[2] = {},
): Promise<Step> {
  const merge = await zooMerge('adamerging', { sampling: 'sequential', ...parameters }, { names, ...zoo });
  return openStep(merge, await workFolder(), options);
}

function someCoefficients({ table }: Step): Table {
  const next = numbersFrom(3);
  return table(0).map((row) => row.map(() => 0.3 + 0.1 * next()));
}

async function same(one: Step, other: Step, tolerance = 1e-5): Promise<void> {
  const at = someCoefficients(one);
  const [a, b] = [await one.run(at), await other.run(at)];
  expect(apart([a.losses], [b.losses])).toBeLessThan(tolerance);
  expect(apart(a.gradient, b.gradient)).toBeLessThan(tolerance);
}

describe('a vision transformer', () => {
  it.each([
    ['layer', false],
    ['task', false],
    ['layer', true],
    ['task', true],
  ])('has the slope of its losses as gradient: by %s, signs resolved: %s', async (granularity, signs) => {
    const step = await stepOf({}, { granularity, sign_resolve: signs });
    const at = someCoefficients(step);
    const { gradient } = await step.run(at);
    // Where float32 losses can tell: the three rows with the steepest slopes.
    const steepest = [...gradient.keys()]
      .sort((a, b) => Math.max(...gradient[b]!.map(Math.abs)) - Math.max(...gradient[a]!.map(Math.abs)))
      .slice(0, 3);
    const largest = Math.max(...gradient[steepest[0]!]!.map(Math.abs));
    for (const row of steepest) {
      for (const k of TWO.keys()) {
        const slope = await slopeOf(step, at, row, k);
        expect(Math.abs(slope - gradient[row]![k]!) / largest).toBeLessThan(0.01);
      }
    }
  });

  it('gives the same numbers whether tasks share its encoder', async () => {
    const shared = await stepOf();
    expect(shared.graph.shape).toEqual({ encoders: 1, largest: 2 });
    await same(shared, await stepOf({}, {}, { share: false }));
  });

  it('shares the encoder that the older exporter writes, too, and gives the same numbers', async () => {
    const legacy = await stepOf({ tasks: TWO.map((name) => ({ name, folder: 'legacy/' as const })) });
    expect(legacy.graph.shape).toEqual({ encoders: 1, largest: 2 });
    await same(legacy, await stepOf(), 1e-4);
  });

  it('gives the same numbers in portable form, signs resolved or not', async () => {
    for (const signs of [false, true]) {
      const parameters = { sign_resolve: signs };
      await same(await stepOf({}, parameters, { portable: true }), await stepOf({}, parameters));
    }
  });

  it('gives the same numbers with two batches a step, bounded activations or not', async () => {
    const parameters = { batches_per_step: 2 };
    const tight = await stepOf({}, parameters, { activationBytes: 1 });
    expect(tight.graph.shape).toEqual({ encoders: 2, largest: 1 });
    await same(tight, await stepOf({}, parameters));
  });
});
