import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { ADAPTER_FILE, type AdapterMergeSettings, planAdapterMerge } from '../src/index.js';
import {
  applyDensely,
  expectSameModel,
  type Model,
  type Opened,
  type Spec,
  writeAdapter,
  writeBase,
} from './support.js';
import { write } from './write.js';

const BASE: Spec = {
  'model.layers.0.q.weight': { shape: [7, 5] },
  'model.layers.1.q.weight': { shape: [7, 5] },
  'model.embed.weight': { shape: [9, 4] },
  'model.conv.weight': { shape: [4, 3, 2, 2] },
};
const of = (module: string) => `base_model.model.model.${module}`;
const linear = (module: string, rank: number): Spec => ({
  [`${of(module)}.lora_A.weight`]: { shape: [rank, 5] },
  [`${of(module)}.lora_B.weight`]: { shape: [7, rank] },
});
const embedding = (rank: number): Spec => ({
  [`${of('embed')}.lora_embedding_A`]: { shape: [rank, 9] },
  [`${of('embed')}.lora_embedding_B`]: { shape: [4, rank] },
});
const convolution = (rank: number): Spec => ({
  [`${of('conv')}.lora_A.weight`]: { shape: [rank, 3, 2, 2] },
  [`${of('conv')}.lora_B.weight`]: { shape: [4, rank, 1, 1] },
});

/** Different ranks, scales and targets. */
const three = () =>
  Promise.all([
    writeAdapter(
      { r: 2, lora_alpha: 3, base_model_name_or_path: 'b', task_type: 'CAUSAL_LM' },
      { ...linear('layers.0.q', 2), ...embedding(2), ...convolution(2) },
    ),
    writeAdapter(
      { r: 3, lora_alpha: 1, use_rslora: true, base_model_name_or_path: 'b', rank_pattern: { embed: 1 } },
      { ...linear('layers.0.q', 3), ...linear('layers.1.q', 3), ...embedding(1) },
    ),
    writeAdapter(
      { r: 1, lora_alpha: 2, base_model_name_or_path: 'b' },
      { ...linear('layers.0.q', 1), ...convolution(1) },
    ),
  ]);
const WEIGHTS = [0.5, -1.25, 2];

const settings = (change: Partial<AdapterMergeSettings> = {}): AdapterMergeSettings => ({
  coefficients: WEIGHTS,
  combine: 'products',
  rank: null,
  dtype: 'F32',
  ...change,
});
const inputsOf = (adapters: Opened[]) =>
  adapters.map(({ description }, i) => ({ reference: `a${i}`, checkpoint: description }));

/** base + Σ weight · (what each adapter makes of the base − base), in float64. */
function weightedSum(base: Opened, adapters: Opened[], weights: number[]): Model {
  const applied = adapters.map((adapter) => applyDensely(base, adapter));
  const result: Model = new Map();
  for (const [name, { shape, values }] of base.tensors) {
    const sum = values.map((value, i) =>
      applied.reduce((all, model, k) => all + weights[k]! * (model.get(name)!.values[i]! - value), value),
    );
    result.set(name, { shape, values: sum });
  }
  return result;
}

describe('adapters merged into an adapter', () => {
  it('add up in product space without loss: ranks add up, scales and weights are in B', async () => {
    const [base, adapters] = [await writeBase(BASE), await three()];
    const plan = planAdapterMerge(inputsOf(adapters), settings());
    expect(plan.modules.map(({ module, rank }) => [module, rank])).toEqual([
      ['model.conv', 3],
      ['model.embed', 3],
      ['model.layers.0.q', 6],
      ['model.layers.1.q', 3],
    ]);
    const { adapter, modules } = await write(plan, adapters);
    expectSameModel(applyDensely(base, adapter), weightedSum(base, adapters, WEIGHTS), 3e-6);
    expect(modules.every(({ kept }) => kept === 1)).toBe(true);
  });

  it('are cut to a rank by the singular values of their sum', async () => {
    const [base, adapters] = [await writeBase(BASE), await three()];
    const whole = await write(planAdapterMerge(inputsOf(adapters), settings({ rank: 5 })), adapters);
    const exact = weightedSum(base, adapters, WEIGHTS);
    // Rank 5 is all that a matrix of 7 × 5 can have.
    expectSameModel(applyDensely(base, whole.adapter), exact, 3e-6);

    const cut = await write(planAdapterMerge(inputsOf(adapters), settings({ rank: 2 })), adapters);
    const made = applyDensely(base, cut.adapter);
    for (const { module, rank, kept, squares } of cut.modules) {
      const name = `${module}.weight`;
      const [of, wanted, found] = [base.tensors.get(name)!, exact.get(name)!, made.get(name)!];
      const sum = (values: (i: number) => number) => of.values.reduce((all, _, i) => all + values(i) ** 2, 0);
      const total = sum((i) => wanted.values[i]! - of.values[i]!);
      const lost = sum((i) => wanted.values[i]! - found.values[i]!);
      expect(rank).toBeLessThanOrEqual(2);
      expect(squares! / total).toBeCloseTo(1, 4);
      expect(kept).toBeCloseTo(1 - lost / total, 4);
      expect(kept).toBeLessThan(1);
    }
  });

  it('add up factor by factor only when asked to, with the cross terms that this brings', async () => {
    const base = await writeBase({ 'model.layers.0.q.weight': { shape: [7, 5] } });
    const adapters = await Promise.all(
      [1, 2].map((alpha) => writeAdapter({ r: 2, lora_alpha: 2 * alpha }, linear('layers.0.q', 2))),
    );
    const plan = planAdapterMerge(inputsOf(adapters), settings({ combine: 'factors', coefficients: [1, -2] }));
    expect(plan.modules.map(({ rank }) => rank)).toEqual([2]);
    const { adapter, modules } = await write(plan, adapters);
    expect(modules[0]!.kept).toBeNull();
    const name = 'model.layers.0.q.weight';
    const factor = (opened: Opened, which: string) =>
      opened.tensors.get(`${of('layers.0.q')}.lora_${which}.weight`)!.values;
    // Coefficients 1 · 1 and −2 · 2: roots 1 and 2, the sign in B.
    const a = factor(adapters[0]!, 'A').map((x, i) => x + 2 * factor(adapters[1]!, 'A')[i]!);
    const b = factor(adapters[0]!, 'B').map((x, i) => x - 2 * factor(adapters[1]!, 'B')[i]!);
    const wanted = base.tensors.get(name)!.values.map((x, at) => {
      const [i, j] = [Math.floor(at / 5), at % 5];
      return x + b[i * 2]! * a[j]! + b[i * 2 + 1]! * a[5 + j]!;
    });
    expectSameModel(applyDensely(base, adapter), new Map([[name, { shape: [7, 5], values: wanted }]]), 3e-6);
  });

  it('write what PEFT loads: ranks by module, scales of 1, what the adapters agree on', async () => {
    const adapters = await three();
    const { config } = planAdapterMerge(inputsOf(adapters), settings());
    expect(config).toMatchObject({
      peft_type: 'LORA',
      r: 3,
      lora_alpha: 3,
      rank_pattern: { 'model.layers.0.q': 6 },
      alpha_pattern: { 'model.layers.0.q': 6 },
      base_model_name_or_path: 'b',
      task_type: null,
      target_modules: ['model.conv', 'model.embed', 'model.layers.0.q', 'model.layers.1.q'],
    });
  });

  it('anchor a name in the patterns that another module ends with', async () => {
    const spec = (module: string, rank: number): Spec => ({
      [`base_model.model.${module}.lora_A.weight`]: { shape: [rank, 4] },
      [`base_model.model.${module}.lora_B.weight`]: { shape: [4, rank] },
    });
    const adapter = await writeAdapter(
      { r: 1, lora_alpha: 1, rank_pattern: { '^q': 3 } },
      { ...spec('q', 3), ...spec('a.q', 1), ...spec('b.q', 1) },
    );
    const plan = planAdapterMerge(inputsOf([adapter]), settings({ coefficients: [1] }));
    expect(plan.config['rank_pattern']).toEqual({ '^q': 3 });
    const { adapter: made } = await write(plan, [adapter]);
    expect(planAdapterMerge(inputsOf([made]), settings({ coefficients: [1] })).modules.map(({ rank }) => rank)).toEqual(
      [1, 1, 3],
    );
  });

  it('leave out the embedding that PEFT saves along with its factors', async () => {
    const copy = { [`${of('embed')}.base_layer.weight`]: { shape: [9, 4] } };
    const adapter = await writeAdapter({ r: 2 }, { ...embedding(2), ...copy });
    const plan = planAdapterMerge(inputsOf([adapter]), settings({ coefficients: [1] }));
    expect(plan.whole).toEqual([]);
    expect(plan.warnings).toEqual(['copies of the base\'s own tensors are left out: "model.embed.weight"']);
  });

  it('are the same bytes for any number of threads, and in the dtype that was asked for', async () => {
    const adapters = await three();
    const files = await Promise.all(
      [1, 3].map(async (threads) => {
        const plan = planAdapterMerge(inputsOf(adapters), settings({ rank: 2, dtype: 'BF16' }), { threads });
        const { adapter, sha256 } = await write(plan, adapters);
        expect(Object.keys(adapter.description.dtypes)).toEqual(['BF16']);
        const bytes = readFileSync(join(adapter.path, ADAPTER_FILE));
        expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
        return bytes;
      }),
    );
    expect(files[0]!.equals(files[1]!)).toBe(true);
  });

  it('report how far they are, and end when they are told to', async () => {
    const adapters = await three();
    const plan = planAdapterMerge(inputsOf(adapters), settings());
    const seen: number[] = [];
    await write(plan, adapters, { onProgress: (done, total) => seen.push(done / total) });
    expect(seen.at(-1)).toBeGreaterThan(0.5);
    const aborted = AbortSignal.abort();
    await expectError(() => write(plan, adapters, { signal: aborted }), 'canceled');
  });
});

describe('adapters that cannot be merged into one', () => {
  const plan = async (adapters: Opened[], change: Partial<AdapterMergeSettings> = {}) =>
    planAdapterMerge(inputsOf(adapters), settings({ coefficients: adapters.map(() => 1), ...change }));

  it('are full models', async () => {
    const error = await expectError(async () => plan([await writeBase(BASE)]), 'invalid_recipe', 'is a full model');
    expect(error.errors[0]?.pointer).toBe('/models/0/model');
  });

  it('are of different bases', async () => {
    const other = await writeAdapter(
      { r: 2 },
      {
        [`${of('layers.0.q')}.lora_A.weight`]: { shape: [2, 6] },
        [`${of('layers.0.q')}.lora_B.weight`]: { shape: [7, 2] },
      },
    );
    const one = await writeAdapter({ r: 2 }, linear('layers.0.q', 2));
    await expectError(
      () => plan([one, other]),
      'shape_mismatch',
      /A of shapes \[2, 5\] and \[2, 6\] in "a0" and in "a1"/,
    );
  });

  it('have tensors that were trained whole', async () => {
    const spec = { ...linear('layers.0.q', 2), 'base_model.model.lm_head.weight': { shape: [9, 5] } };
    const adapter = await writeAdapter({ r: 2, modules_to_save: ['lm_head'] }, spec);
    const error = await expectError(() => plan([adapter]), 'invalid_recipe', 'lm_head.weight', 'by giving the base');
    expect(error.errors[0]?.pointer).toBe('/models/0/model');
  });

  it('have factors of different ranks that are to be added', async () => {
    await expectError(
      async () => plan(await three(), { combine: 'factors' }),
      'shape_mismatch',
      /ranks .*add products/,
    );
  });

  it('hold values that are not finite, where singular values are asked for', async () => {
    const spec = linear('layers.0.q', 2);
    spec[`${of('layers.0.q')}.lora_B.weight`]!.values = new Float32Array(14).fill(Number.NaN);
    const adapter = await writeAdapter({ r: 2 }, spec);
    const cut = await plan([adapter], { rank: 1 });
    await expectError(() => write(cut, [adapter]), 'invalid_checkpoint', '"model.layers.0.q" hold NaN');
  });

  it('take more memory than they may', async () => {
    await expectError(
      async () => planAdapterMerge(inputsOf(await three()), settings(), { memoryBytes: 50e6 }),
      'memory_limit',
      /50 MB is too small: "model.*" takes \d+ MB/,
    );
  });
});
