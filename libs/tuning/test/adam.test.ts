import { describe, expect, it } from 'vitest';
import { adamStep, clampGradient, clampTable, type Table } from '../src/adam.js';

/** Four steps of a [2, 2] table; entries of very different sizes, zeros, and signs that change. */
const GRADIENTS: Table[] = [
  [
    [0.5, -2e-4],
    [1, 0],
  ],
  [
    [-0.25, 3e-4],
    [1e-9, 2],
  ],
  [
    [0.125, 1e-4],
    [-3, 1e-12],
  ],
  [
    [0.5, -7e-4],
    [0, -2],
  ],
];

/** torch.optim.Adam of PyTorch 2.15.0 in float64, from [[0.3, 0.3], [0.1, -0.2]]: the parameters after each step. */
const PYTORCH = [
  {
    settings: { learningRate: 1e-3 },
    after: [
      [0.29900000002, 0.30099995000249985, 0.09900000001, -0.2],
      [0.29873366298707843, 0.30075225790071475, 0.09832994176459739, -0.20074413681830647],
      [0.2983932338491665, 0.3003969399559, 0.09877238919521568, -0.20131935673468304],
      [0.29780083107446753, 0.300772470857757, 0.09913481520798283, -0.20124124292502674],
    ],
  },
  {
    settings: { learningRate: 0.05, betas: [0.8, 0.95], epsilon: 1e-3 } as const,
    after: [
      [0.2500998003992016, 0.30833333333333335, 0.05004995004995005, -0.2],
      [0.23950385753892137, 0.3052375896082154, 0.01825770325813319, -0.2387624912405171],
      [0.2240864689564371, 0.30166144853021526, 0.04419947022527432, -0.26714462724522986],
      [0.19314198244110195, 0.30804575492275216, 0.06426859387873995, -0.258635787704638],
    ],
  },
];

const zeros = (): Table => [
  [0, 0],
  [0, 0],
];

describe('adamStep', () => {
  it.each(PYTORCH)('takes the steps that PyTorch takes: $settings', ({ settings, after }) => {
    const values: Table = [
      [0.3, 0.3],
      [0.1, -0.2],
    ];
    const moments = { first: zeros(), second: zeros() };
    for (const [t, gradient] of GRADIENTS.entries()) {
      adamStep(values, gradient, moments, t + 1, settings);
      for (const [i, value] of values.flat().entries()) expect(Math.abs(value - after[t]![i]!)).toBeLessThan(1e-14);
    }
  });

  it('goes on from moments that were stored as JSON as if nothing had happened', () => {
    const run = (breakAt: number | null) => {
      let state = { values: [[0.3, 0.3]] as Table, first: [[0, 0]] as Table, second: [[0, 0]] as Table };
      for (const [t, gradient] of GRADIENTS.entries()) {
        if (t === breakAt) state = JSON.parse(JSON.stringify(state)) as typeof state;
        adamStep(state.values, gradient.slice(0, 1), state, t + 1, { learningRate: 1e-3 });
      }
      return state;
    };
    expect(run(2)).toEqual(run(null));
  });

  it('leaves a value whose gradient was always zero exactly where it is', () => {
    const values: Table = [[0.1 + 0.2]];
    const moments = { first: [[0]], second: [[0]] };
    for (let step = 1; step <= 3; step++) adamStep(values, [[0]], moments, step, { learningRate: 1 });
    expect(values).toEqual([[0.1 + 0.2]]);
  });
});

describe('clamping', () => {
  const values = [[-0.1, 0, 0.5, 1, 1.1]];
  const gradient = [[1, 2, 3, 4, 5]];

  it('brings values to the bounds and leaves the table given as it is', () => {
    expect(clampTable(values, [0, 1])).toEqual([[0, 0, 0.5, 1, 1]]);
    expect(values[0]![0]).toBe(-0.1);
  });

  it('lets no gradient through outside the bounds, and all of it at them', () => {
    expect(clampGradient(gradient, values, [0, 1])).toEqual([[0, 2, 3, 4, 0]]);
  });

  it('without bounds changes nothing', () => {
    const copy = clampTable(values, null);
    expect(copy).toEqual(values);
    expect(copy[0]).not.toBe(values[0]);
    expect(clampGradient(gradient, values, null)).toEqual(gradient);
  });
});
