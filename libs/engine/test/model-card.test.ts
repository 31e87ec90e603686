import type { Report } from '@amalgam/contracts';
import { expect, test } from 'vitest';
import { summarizeCoefficients } from '../src/coefficient-summary.js';
import { modelCard } from '../src/model-card.js';
import { input, merge, tempDir, tunedRecipe, writeModel } from './support.js';

const COEFFICIENTS = {
  tensors: ['u', 'w'],
  models: ['m0', 'm1'],
  values: [
    [-0.5, 0.25],
    [0.5, 0.75],
  ],
  clamp: [0, 1] as [number, number],
};

async function tunedMerge() {
  const dir = tempDir();
  const tensor = (...values: number[]) => ({ dtype: 'F32' as const, shape: [2], values });
  const [base, ...models] = await Promise.all(
    [0, 1, 2].map(async (k) =>
      input(await writeModel(dir, `m${k}`, { u: tensor(k, 1), w: tensor(2, k) }), k === 0 ? 'base' : `m${k - 1}`),
    ),
  );
  return merge(tunedRecipe({}, base!, models), base!, models, {
    coefficients: {
      tensors: COEFFICIENTS.tensors,
      values: [
        [0, 0.25],
        [0.5, 0.75],
      ],
    },
  });
}

/** The lines of a section of the card. */
const section = (card: string, title: string) => card.split(`## ${title}\n\n`)[1]?.split('\n\n#')[0];

test('a summary of coefficients is of those that entered the merge: clamped', () => {
  expect(summarizeCoefficients(COEFFICIENTS)).toEqual([
    { model: 'm0', mean: 0.25, min: 0, max: 0.5 },
    { model: 'm1', mean: 0.5, min: 0.25, max: 0.75 },
  ]);
  expect(summarizeCoefficients({ ...COEFFICIENTS, clamp: null })[0]).toEqual({
    model: 'm0',
    mean: 0,
    min: -0.5,
    max: 0.5,
  });
});

test('the model card of a tuned merge tells steps, losses and coefficients, and the scores on each task', async () => {
  const { plan, report } = await tunedMerge();
  const tuning: Report['tuning'] = {
    provider: 'cpu',
    threads: 1,
    steps: 2,
    resumed_at: [],
    seconds_per_step: 0.1,
    peak_rss_bytes: 1,
    task_vector_bytes: 1,
    insensitive: [],
    bindings: [],
  };
  const score = { entropy: 0.125, accuracy: 0.9 };
  const card = modelCard(plan, {
    ...report,
    tuning,
    coefficients: COEFFICIENTS,
    loss: [2.5, 1.25],
    tasks: [
      {
        name: 'first',
        model: 'm0',
        rows: 10,
        entropy: 0.5,
        accuracy: 0.8,
        individual: score,
        base: { entropy: null, accuracy: 0.1 },
      },
      {
        name: 'second',
        model: 'm1',
        rows: 7,
        entropy: 0.25,
        accuracy: null,
        individual: { ...score, accuracy: null },
        base: null,
      },
    ],
  });
  expect(section(card, 'Coefficients')).toBe(
    [
      'Learned in 2 steps, one for each of 2 tensors and each model; the loss went from 2.5000 to 1.2500.',
      '',
      '| model | mean | least | largest |',
      '|---|---|---|---|',
      '| `m0` | 0.2500 | 0.0000 | 0.5000 |',
      '| `m1` | 0.5000 | 0.2500 | 0.7500 |',
    ].join('\n'),
  );
  expect(card).toContain('| first | `m0` | 10 | 80.00 %, 0.5000 | 90.00 %, 0.1250 | 10.00 %, – |');
  expect(card).toContain('| second | `m1` | 7 | –, 0.2500 | –, 0.1250 | – |');
});

test('without tasks and tuning the card has neither section', async () => {
  const { plan, report } = await tunedMerge();
  const card = modelCard(plan, report);
  expect([section(card, 'Coefficients'), section(card, 'Tasks')]).toEqual([undefined, undefined]);
  expect(card).toContain('`recipe.json` holds the full recipe');
});
