import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { ADAPTER_FILE, type AdapterPlanOptions, type ExtractionSettings, planExtraction } from '../src/index.js';
import { svd } from '../src/linear/svd.js';
import {
  applyDensely,
  expectSameModel,
  type Opened,
  open,
  type Spec,
  tempDir,
  values,
  writeBase,
  writeWeights,
} from './support.js';
import { write } from './write.js';

const SHAPES: Record<string, number[]> = {
  'model.embed_tokens.weight': [20, 12],
  'model.layers.0.q.weight': [12, 12],
  'model.layers.0.up.weight': [30, 12],
  'model.layers.1.down.weight': [12, 30],
  'model.layers.1.norm.weight': [12],
  'lm_head.weight': [20, 12],
};
const LAYERS = ['model.layers.0.q.weight', 'model.layers.0.up.weight', 'model.layers.1.down.weight'];

const spec = (make: (shape: number[], seed: number) => Float32Array): Spec =>
  Object.fromEntries(Object.entries(SHAPES).map(([name, shape], i) => [name, { shape, values: make(shape, i) }]));
const count = (shape: number[]) => shape.reduce((all, size) => all * size, 1);

/** base + a change that is given by entries. */
async function pair(change: (shape: number[], seed: number) => Float32Array): Promise<[Opened, Opened]> {
  const base = await writeBase(spec((shape, seed) => values(count(shape), seed)));
  const path = join(tempDir(), 'model.safetensors');
  await writeWeights(
    path,
    spec((shape, seed) => {
      const delta = change(shape, seed);
      return values(count(shape), seed).map((x, i) => x + delta[i]!);
    }),
  );
  return [base, await open(path)];
}

/** Of rank 2: two products of random vectors. */
const lowRank = (shape: number[], seed: number): Float32Array => {
  const [rows = 1, columns = 1] = shape;
  const [a, b] = [values(rows * 2, seed + 50), values(columns * 2, seed + 60)];
  return Float32Array.from({ length: count(shape) }, (_, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    return (a[i]! * b[j]! + a[rows + i]! * b[columns + j]!) / 4;
  });
};
/** Of full rank, with singular values that fall slowly, as a fine-tune's do. */
const fullRank = (shape: number[], seed: number) => values(count(shape), seed + 70).map((x) => x / 8);

const settings = (change: Partial<ExtractionSettings> = {}): ExtractionSettings => ({
  rank: 4,
  include: [],
  exclude: [],
  save: [],
  dtype: 'F32',
  seed: 0,
  powerIterations: 2,
  oversampling: 8,
  ...change,
});
const toInput = ({ description }: Opened, reference: string) => ({ reference, checkpoint: description });
const planOf = ([base, model]: Opened[], change: Partial<ExtractionSettings> = {}, options = {}) =>
  planExtraction({ base: toInput(base!, 'B'), model: toInput(model!, 'M') }, settings(change), options);

describe('a LoRA extracted from a fine-tune', () => {
  it('is the fine-tune where that changed no more than the rank can say', async () => {
    const [base, model] = await pair(lowRank);
    const { adapter, modules } = await write(planOf([base, model]), [base, model]);
    const made = applyDensely(base, adapter);
    for (const name of LAYERS)
      expectSameModel(new Map([[name, made.get(name)!]]), new Map([[name, model.tensors.get(name)!]]), 3e-6);
    expect(modules.map(({ module }) => `${module}.weight`).sort()).toEqual([...LAYERS].sort());
    for (const { kept } of modules) expect(kept).toBeCloseTo(1, 6);
  });

  it.each([
    [
      'the repository of the hub that it is',
      { hub: { repo: 'org/base', revision: 'a1' }, from: 'org/other' },
      'org/base',
      'a1',
    ],
    ['the name of the hub in its config.json', { from: 'org/base-7B' }, 'org/base-7B', null],
    ['what the recipe calls it, where the config has a path', { from: './checkpoints/9' }, 'B', null],
    ['what the recipe calls it, without a config', {}, 'B', null],
  ])(
    'names its base by %s',
    async (_, { hub, from }: { hub?: { repo: string; revision: string }; from?: string }, name, revision) => {
      const [base, model] = await pair(lowRank);
      const config = from === undefined ? null : { _name_or_path: from };
      const described = { ...toInput(base, 'B'), checkpoint: { ...base.description, config }, ...(hub && { hub }) };
      const plan = planExtraction({ base: described, model: toInput(model, 'M') }, settings());
      expect(plan.config).toMatchObject({ base_model_name_or_path: name, revision });
    },
  );

  it('keeps nearly what the best product of its rank keeps, and says how much', async () => {
    const [base, model] = await pair(fullRank);
    const { adapter, modules } = await write(planOf([base, model]), [base, model]);
    const made = applyDensely(base, adapter);
    for (const { module, kept, squares } of modules) {
      const name = `${module}.weight`;
      const [rows, columns] = SHAPES[name] as [number, number];
      const delta = model.tensors.get(name)!.values.map((x, i) => x - base.tensors.get(name)!.values[i]!);
      const size = Math.max(rows, columns);
      const square = Array.from({ length: size }, (_, i) =>
        Float64Array.from({ length: size }, (_, j) => (i < rows && j < columns ? delta[i * columns + j]! : 0)),
      );
      const all = [...svd(square).s].map((x) => x * x);
      const total = all.reduce((sum, x) => sum + x, 0);
      const best = all.slice(0, 4).reduce((sum, x) => sum + x, 0) / total;
      expect(squares! / total).toBeCloseTo(1, 5);
      // No product of this rank keeps more; the randomised search misses little of it.
      expect(kept).toBeLessThanOrEqual(best + 1e-6);
      expect(kept).toBeGreaterThan(best * 0.999);
      const lost = model.tensors
        .get(name)!
        .values.reduce((sum, x, i) => sum + (x - made.get(name)!.values[i]!) ** 2, 0);
      expect(kept).toBeCloseTo(1 - lost / total, 5);
    }
  });

  it('gives both factors the root of the singular values', async () => {
    const [base, model] = await pair(lowRank);
    const { adapter } = await write(planOf([base, model], { rank: 2 }), [base, model]);
    const b = adapter.tensors.get('base_model.model.model.layers.0.up.lora_B.weight')!.values;
    const a = adapter.tensors.get('base_model.model.model.layers.0.up.lora_A.weight')!.values;
    for (const k of [0, 1]) {
      const sizeOfA = Math.hypot(...a.subarray(k * 12, k * 12 + 12));
      expect(Math.hypot(...b.filter((_, i) => i % 2 === k)) / sizeOfA).toBeCloseTo(1, 5);
    }
  });

  it('takes the matrices of numbered layers, or what the globs select; embeddings in PEFT’s form', async () => {
    const [base, model] = await pair(lowRank);
    const plan = planOf([base, model]);
    expect(plan.warnings.join()).toMatch(
      /3 tensors stay the base's.*"lm_head.weight", "model.embed_tokens.weight", "model.layers.1.norm/,
    );
    const some = planOf([base, model], { include: ['*'], exclude: ['*layers.0*'] });
    expect(some.modules.map(({ module }) => module)).toEqual(['lm_head', 'model.embed_tokens', 'model.layers.1.down']);
    expect(some.warnings.join()).toMatch(/1 of the selected tensors are no matrices.*norm/);
    const { adapter } = await write(some, [base, model]);
    expect(adapter.tensors.get('base_model.model.model.embed_tokens.lora_embedding_A')!.shape).toEqual([4, 20]);
    const made = applyDensely(base, adapter);
    for (const name of ['model.embed_tokens.weight', 'lm_head.weight']) {
      expectSameModel(new Map([[name, made.get(name)!]]), new Map([[name, model.tensors.get(name)!]]), 3e-6);
    }
  });

  it('takes whole tensors along where it is told to, so that nothing is lost of them', async () => {
    const [base, model] = await pair(fullRank);
    const plan = planOf([base, model], { rank: 12, save: ['lm_head*', '*norm*', '*embed*'] });
    expect(plan.config['modules_to_save']).toEqual(['lm_head', 'model.embed_tokens', 'model.layers.1.norm']);
    const { adapter } = await write(plan, [base, model]);
    // With all ranks that the matrices have, the whole model is there again.
    expectSameModel(applyDensely(base, adapter), model.tensors, 3e-6);
  });

  it('turns the factors for weights that are stored [in, out]', async () => {
    const shapes = { 'h.0.c_attn.weight': [6, 18], 'h.0.c_attn.bias': [18], 'h.0.c_proj.weight': [6, 6] };
    const make = (seed: number): Spec =>
      Object.fromEntries(
        Object.entries(shapes).map(([name, shape], i) => [name, { shape, values: values(count(shape), seed + i) }]),
      );
    const base = await writeBase(make(1));
    const path = join(tempDir(), 'model.safetensors');
    await writeWeights(path, make(11));
    const model = await open(path);
    const plan = planOf([base, model], { rank: 6, save: ['*bias'] });
    expect(plan.config['fan_in_fan_out']).toBe(true);
    const { adapter } = await write(plan, [base, model]);
    expect(adapter.tensors.get('base_model.model.h.0.c_attn.lora_A.weight')!.shape).toEqual([6, 6]);
    expect(adapter.tensors.get('base_model.model.h.0.c_attn.lora_B.weight')!.shape).toEqual([18, 6]);
    expectSameModel(applyDensely(base, adapter), model.tensors, 3e-6);
  });

  it('is the same bytes for any number of threads and any memory, and others for another seed', async () => {
    const [base, model] = await pair(fullRank);
    const bytes = async (change: Partial<ExtractionSettings>, options: AdapterPlanOptions, cacheBytes?: number) => {
      const plan = planOf([base, model], change, options);
      const { adapter } = await write({ ...plan, cacheBytes: cacheBytes ?? plan.cacheBytes }, [base, model]);
      return readFileSync(join(adapter.path, ADAPTER_FILE));
    };
    const first = await bytes({}, { threads: 1 });
    expect(first.equals(await bytes({}, { threads: 3 }))).toBe(true);
    // Every tensor is read again for each multiplication, or kept.
    expect(planOf([base, model]).cacheBytes).toBe(4 * 30 * 12);
    expect(first.equals(await bytes({}, {}, 0))).toBe(true);
    expect(first.equals(await bytes({ seed: 1 }, {}))).toBe(false);
  });

  it('goes through matrices of many chunks, and through wider ones than a chunk', async () => {
    const shapes: Record<string, number[]> = { 'h.0.a.weight': [3001, 700], 'h.0.b.weight': [5, 300_001] };
    const make = (extra: number): Spec =>
      Object.fromEntries(
        Object.entries(shapes).map(([name, [rows = 1, columns = 1]], s) => {
          const all = values(rows * columns, s);
          const [u, v] = [values(rows, s + 5), values(columns, s + 6)];
          for (let i = 0; i < all.length; i++) all[i]! += extra * u[Math.floor(i / columns)]! * v[i % columns]!;
          return [name, { shape: [rows, columns], values: all }];
        }),
      );
    const base = await writeBase(make(0));
    const path = join(tempDir(), 'model.safetensors');
    await writeWeights(path, make(0.5));
    const model = await open(path);
    const { modules } = await write(planOf([base, model], { rank: 1, powerIterations: 0 }), [base, model]);
    for (const { kept } of modules) expect(kept).toBeCloseTo(1, 5);
  });

  it('of a model that is its base is zero', async () => {
    const [base] = await pair(lowRank);
    const { adapter, modules } = await write(planOf([base, base]), [base, base]);
    expect(modules.every(({ kept, squares }) => kept === 1 && squares === 0)).toBe(true);
    expect([...adapter.tensors.values()].every((tensor) => tensor.values.every((x) => x === 0))).toBe(true);
  });

  it('refuses a difference that is not finite, and models without matrices', async () => {
    const [base, model] = await pair((shape) => new Float32Array(count(shape)).fill(Number.POSITIVE_INFINITY));
    await expectError(() => write(planOf([base, model]), [base, model]), 'invalid_checkpoint', 'NaN or infinite');
    const error = await expectError(
      () => planOf([base, model], { include: ['nothing'] }),
      'invalid_recipe',
      'no matrix',
    );
    expect(error.errors[0]?.pointer).toBe('/merge/include');
  });
});
