import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AmalgamError, type Recipe } from '@amalgam/contracts';
import { localFolder, writeSafetensors } from '@amalgam/tensors';
import { describe, expect, it } from 'vitest';
import { describePlan, executeMerge, planMerge, writeArtifacts } from '../src/index.js';
import { input, type Loaded, type Model, tempDir, writeModel } from './support.js';

const SIZE = 6;
const matrix = (seed: number, rows = SIZE, columns = SIZE) => ({
  dtype: 'F32' as const,
  shape: [rows, columns],
  values: Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(seed + i * 1.3)),
});

async function writeAdapter(name: string, rank: number, seed: number, modules = ['h.0.q']): Promise<Loaded> {
  const dir = join(tempDir(), name);
  mkdirSync(dir);
  writeFileSync(join(dir, 'adapter_config.json'), JSON.stringify({ peft_type: 'LORA', r: rank, lora_alpha: 2 * rank }));
  const tensors = modules.flatMap((module) => [
    { name: `base_model.model.${module}.lora_A.weight`, ...matrix(seed, rank, SIZE) },
    { name: `base_model.model.${module}.lora_B.weight`, ...matrix(seed + 1, SIZE, rank) },
  ]);
  const encoded = tensors.map(({ values, ...rest }) => ({ ...rest, data: new Uint8Array(values.buffer) }));
  await writeSafetensors(join(dir, 'adapter_model.safetensors'), encoded);
  return input(dir, name);
}

const models = (inputs: Loaded[], parameters: Record<string, unknown>[] = []): Recipe['models'] =>
  inputs.map(({ reference }, i) => ({
    model: reference,
    ...(parameters[i] !== undefined && { parameters: parameters[i] }),
  }));

/** Plans, writes, and adds what belongs to a result. */
async function run(recipe: Recipe, base: Loaded | null, inputs: Loaded[]) {
  const plan = planMerge(recipe, { base, models: inputs });
  const outDir = tempDir();
  const all = base === null ? inputs : [base, ...inputs];
  const result = await executeMerge(plan, {
    outDir,
    pathOf: (at, file) => (all[at]!.path.endsWith('.safetensors') ? all[at]!.path : join(all[at]!.path, file)),
  });
  const others = await writeArtifacts(plan, result, {
    outDir,
    folderOf: () => localFolder(outDir),
    digestOf: () => null,
  });
  return { plan, result, others, outDir, made: await input(outDir, 'made') };
}

const problem = (work: () => unknown): AmalgamError => {
  try {
    work();
  } catch (error) {
    if (error instanceof AmalgamError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('merge_lora', () => {
  it('makes an adapter with all that belongs to one, and reports its modules', async () => {
    const adapters = [await writeAdapter('a', 2, 1), await writeAdapter('b', 1, 5)];
    const recipe: Recipe = { method: 'merge_lora', models: models(adapters), parameters: { rank: 2 } };
    const { plan, result, others, outDir, made } = await run(recipe, null, adapters);
    expect(describePlan(plan)).toMatchObject({
      tensors: { merged: 2, copied: 0, heads: 0 },
      parameters: 2 * 2 * SIZE,
      files: [{ path: 'adapter_model.safetensors', tensors: 2 }],
    });
    expect(made.checkpoint.kind).toBe('adapter');
    expect(made.checkpoint.adapterConfig).toMatchObject({ r: 2, lora_alpha: 2, target_modules: ['h.0.q'] });
    expect(result.files[0]).toMatchObject({ path: 'adapter_model.safetensors', bytes: plan.bytesWritten });
    const [module] = result.report.adapter!.modules;
    expect(module).toMatchObject({ name: 'h.0.q', rank: 2 });
    expect(module!.kept).toBeGreaterThan(0.5);
    expect(result.report.adapter!.kept).toBeCloseTo(module!.kept!, 12);
    expect(others.map(({ path }) => path)).toEqual(['adapter_config.json', 'recipe.json', 'report.json', 'README.md']);
    expect(readFileSync(join(outDir, 'README.md'), 'utf8')).toMatch(
      /library_name: peft[\s\S]*adapter of 1 modules, of rank 2/,
    );
  });

  it('takes no parts of recipes for models', async () => {
    const adapters = [await writeAdapter('a', 2, 1)];
    const recipe: Recipe = {
      method: 'merge_lora',
      models: models(adapters),
      shard_bytes: 4096,
      merge: { include: ['*'] },
      tokenizer: { source: 'union' },
    };
    const error = problem(() => planMerge(recipe, { base: null, models: adapters }));
    expect(error.code).toBe('invalid_recipe');
    expect(error.errors.map(({ pointer }) => pointer)).toEqual(['/tokenizer', '/shard_bytes', '/merge']);
  });
});

describe('extract_lora', () => {
  const model = (seed: number): Model => ({
    'h.0.q.weight': matrix(seed),
    'h.0.norm.weight': { ...matrix(seed, 1), shape: [SIZE] },
  });

  it('makes an adapter that is the model’s difference from its base', async () => {
    const dir = tempDir();
    const base = await input(await writeModel(dir, 'base', model(1)), 'base');
    const tuned = await input(await writeModel(dir, 'tuned', model(2)), 'tuned');
    const recipe: Recipe = {
      method: 'extract_lora',
      base: 'base',
      models: models([tuned]),
      parameters: { rank: SIZE, save: ['*norm*'] },
      out_dtype: 'bfloat16',
    };
    const { plan, result, made } = await run(recipe, base, [tuned]);
    expect(result.report.adapter).toMatchObject({
      kept: expect.closeTo(1, 5),
      modules: [{ name: 'h.0.q', rank: SIZE }],
    });
    expect(result.report.copied).toEqual(['h.0.norm.weight']);
    expect(describePlan(plan).parameters).toBe(2 * SIZE * SIZE);
    expect(made.checkpoint.dtypes).toEqual({ BF16: 2 * SIZE * SIZE, F32: SIZE });
    expect(made.checkpoint.adapterConfig).toMatchObject({
      base_model_name_or_path: 'base',
      modules_to_save: ['h.0.norm'],
    });
  });

  it('takes no adapters', async () => {
    const base = await input(await writeModel(tempDir(), 'base', model(1)), 'base');
    const adapter = await writeAdapter('a', 2, 1);
    const recipe: Recipe = { method: 'extract_lora', base: 'base', models: models([adapter]) };
    const error = problem(() => planMerge(recipe, { base, models: [adapter] }));
    expect(error.errors).toMatchObject([
      { pointer: '/models/0/model', detail: expect.stringContaining('is a LoRA adapter') },
    ]);
  });
});
