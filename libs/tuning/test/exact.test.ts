import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tuneMerge } from '../src/tune.js';
import { parametersOf, reference, zooMerge } from './support/zoo.js';

/** Differences of float32 arithmetic over 400 steps: PyTorch's own float32 and float64 runs are 3e-7 apart. */
const COEFFICIENTS = 1e-4;
const LOSSES = 1e-4;

let workDir: string;
beforeAll(async () => {
  workDir = await mkdtemp(join(tmpdir(), 'amalgam-tuning-'));
});
afterAll(() => rm(workDir, { recursive: true, force: true }));

describe('AdaMerging on the zoo, against PyTorch', { timeout: 600_000 }, () => {
  it.each(['adamerging_layer', 'adamerging_task', 'adamerging_pp_layer', 'adamerging_pp_task'])('%s', async (name) => {
    const { setting, parameters } = parametersOf(name);
    const { plan, tasks, pathOf } = await zooMerge('adamerging', parameters);
    const { report } = await tuneMerge(plan, { tasks, pathOf, workDir, provider: 'cpu', threads: 2 });

    const losses = setting.loss.map((loss, step) => Math.abs(report.loss[step]! - loss) / loss);
    expect(Math.max(...losses)).toBeLessThan(LOSSES);

    const { tensors, values } = report.coefficients;
    const order = name.endsWith('_layer') ? reference.merged_tensors.map((tensor) => tensors.indexOf(tensor)) : [0];
    // Rows without influence beyond rounding are nobody's to compare: PyTorch's Adam turned their noise into steps.
    const largest = Math.max(...setting.grad0.flat().map(Math.abs));
    const sensitive = setting.grad0.map((row) => Math.max(...row.map(Math.abs)) > 1e-6 * largest);
    const off = setting.coefficients.flatMap((row, r) =>
      sensitive[r] ? row.map((value, k) => Math.abs(value - values[order[r]!]![k]!)) : [],
    );
    expect(off.length).toBeGreaterThanOrEqual(reference.tasks.length);
    expect(Math.max(...off)).toBeLessThan(COEFFICIENTS);

    const left = reference.merged_tensors.filter((_, r) => name.endsWith('_layer') && !sensitive[r]);
    expect([...report.tuning.insensitive].sort()).toEqual(left.sort());
  });
});
