import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Recipe, Slice } from '@amalgam/contracts';
import { executeMerge, type ModelInput, planMerge, writeArtifacts } from '@amalgam/engine';
import {
  bytesSource,
  describeCheckpoint,
  encodeSafetensors,
  fromFloat32,
  localFolder,
  readSafetensors,
  toFloat32,
} from '@amalgam/tensors';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { FAMILIES, type Family, type TinyModel, writeModel } from '../libs/architecture/test/models/index.js';

/** What transformers make of our results. */

// Importing transformers takes seconds.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const COMPARE = fileURLToPath(new URL('support/same_weights.py', import.meta.url));
const SCRIPT = fileURLToPath(new URL('support/load_results.py', import.meta.url));
const PYTHON = process.env['AMALGAM_PYTHON'] ?? 'python3';
const imports = spawnSync(PYTHON, ['-c', 'import transformers, torch, safetensors']);
const missing = imports.status === 0 ? null : `${PYTHON} cannot import transformers, torch and safetensors`;
if (missing !== null) console.warn(`SKIPPED: results in transformers — ${missing}; AMALGAM_PYTHON names another`);

const families = Object.keys(FAMILIES) as Family[];
/** Those of several stacks, and what their stacks' modules are called. */
const STACKS: Partial<Record<Family, string[]>> = {
  t5: ['encoder', 'decoder'],
  clip: ['text_model', 'vision_model'],
  llava: ['text_decoder', 'vision_tower'],
};

/** More layers than the model has, out of their order and from both models. */
const CUT: Slice[] = [
  { sources: [{ model: 'a', layer_range: [0, 3] }] },
  { sources: [{ model: 'b', layer_range: [1, 3] }] },
  { sources: [{ model: 'b', layer_range: [0, 1] }] },
];

function stacked(family: Family): Partial<Recipe> {
  const names = STACKS[family];
  if (names === undefined) return { slices: CUT };
  return { modules: Object.fromEntries(names.map((name) => [name, { slices: CUT }])) };
}

const BOTH = [{ model: 'a' }, { model: 'b' }];
const average: Recipe = { method: 'linear', models: BOTH, out_dtype: 'bfloat16' };

/** Of a tiny model: its dimensions are multiples of it, which transformers insist on. */
const FP8_BLOCK = 4;

/** Rewrites a model as transformers' fp8: matrices of layers as float8, a scale for each block. */
async function quantise(folder: string, { config }: TinyModel): Promise<void> {
  const path = join(folder, 'model.safetensors');
  const tensors = await readSafetensors(bytesSource(path, readFileSync(path)));
  const written = [...tensors].flatMap(([name, { shape, dtype, data }]) => {
    if (!name.endsWith('_proj.weight')) return [{ name, shape, dtype, data }];
    const grid = shape.map((size) => size / FP8_BLOCK);
    const [across = 1, columns = 1] = [grid[1], shape[1]];
    const scales = Float32Array.from({ length: (grid[0] ?? 1) * across }, (_, i) => 0.01 * (1 + Math.sin(i) / 2));
    const units = toFloat32(dtype, data).map((x, at) => {
      const block = Math.floor(at / columns / FP8_BLOCK) * across + Math.floor((at % columns) / FP8_BLOCK);
      return x / (scales[block] ?? 1);
    });
    const scale = { name: `${name}_scale_inv`, dtype: 'F32' as const, shape: grid, data: fromFloat32('F32', scales) };
    return [{ name, dtype: 'F8_E4M3' as const, shape, data: fromFloat32('F8_E4M3', units) }, scale];
  });
  writeFileSync(path, encodeSafetensors(written, { format: 'pt' }));
  const quantization_config = { quant_method: 'fp8', weight_block_size: [FP8_BLOCK, FP8_BLOCK] };
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, quantization_config }, null, 2));
}

describe.skipIf(missing !== null)('results in transformers (SKIPPED without a Python that has them)', () => {
  const dir = mkdtempSync(join(tmpdir(), 'amalgam-transformers-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  let loaded: Record<string, { problems: unknown; dtypes: string[] }>;
  const folderOf = (what: string, name: string) => join(dir, `${what}-${name}`);

  async function merge(
    out: string,
    recipe: Recipe,
    models: Record<'a' | 'b', TinyModel>,
    quantised: readonly string[] = [],
  ): Promise<void> {
    const open = async (name: 'a' | 'b', seed: number): Promise<ModelInput & { folder: string }> => {
      const folder = `${out}-${name}`;
      await writeModel(folder, models[name], { seed });
      if (quantised.includes(name)) await quantise(folder, models[name]);
      const checkpoint = await describeCheckpoint(localFolder(folder, name));
      return { reference: name, identity: folder, name, checkpoint, folder };
    };
    const inputs = [await open('a', 1), await open('b', 2)];
    const used = inputs.slice(0, recipe.models.length);
    const plan = planMerge(recipe, { base: null, models: used, adapters: used.map(() => null) }, { threads: 1 });
    mkdirSync(out);
    const folder = (i: number) => inputs[i]?.folder ?? '';
    const pathOf = (i: number, file: string) => join(folder(i), file);
    const result = await executeMerge(plan, { outDir: out, pathOf, digests: false });
    await writeArtifacts(plan, result, { outDir: out, folderOf: (i) => localFolder(folder(i)), digestOf: () => null });
  }

  beforeAll(async () => {
    for (const family of families) {
      const models = { a: FAMILIES[family](), b: FAMILIES[family]() };
      await merge(folderOf('average', family), average, models);
      await merge(folderOf('stack', family), { method: 'passthrough', models: BOTH, ...stacked(family) }, models);
    }
    const [tied, untied] = [FAMILIES.llama({ tied: true }), FAMILIES.llama({ tied: false })];
    await merge(folderOf('average', 'tied'), average, { a: tied, b: tied });
    await merge(folderOf('average', 'untied'), average, { a: tied, b: untied });
    await merge(
      folderOf('stack', 'untied'),
      { method: 'passthrough', models: BOTH, slices: CUT },
      { a: tied, b: untied },
    );
    await merge(folderOf('average', 'fp8'), average, { a: untied, b: untied }, ['b']);
    const alone: Recipe = { method: 'passthrough', models: [{ model: 'a' }], out_dtype: 'bfloat16' };
    await merge(folderOf('weights', 'fp8'), alone, { a: untied, b: untied }, ['a']);
    const folders = [...families.flatMap((name) => [folderOf('average', name), folderOf('stack', name)])].concat(
      folderOf('average', 'tied'),
      folderOf('average', 'untied'),
      folderOf('average', 'fp8'),
      folderOf('stack', 'untied'),
    );
    const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', HF_HUB_OFFLINE: '1' };
    const ran = spawnSync(PYTHON, [SCRIPT, ...folders], { env, maxBuffer: 2 ** 26 });
    expect(ran.status, ran.stderr.toString()).toBe(0);
    loaded = JSON.parse(ran.stdout.toString()) as typeof loaded;
  });

  test.each([...families, 'tied', 'untied', 'fp8'])(
    'an average of %s loads, in the dtype that was asked for',
    (name) => {
      expect(loaded[folderOf('average', name)]).toEqual({ problems: {}, dtypes: ['torch.bfloat16'] });
    },
  );

  test('float8 with scales becomes the very weights that transformers make of it', () => {
    const ours = folderOf('weights', 'fp8');
    const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', HF_HUB_OFFLINE: '1' };
    const ran = spawnSync(PYTHON, [COMPARE, ours, `${ours}-a`], { env });
    expect(ran.status, ran.stderr.toString()).toBe(0);
    expect(JSON.parse(ran.stdout.toString())).toEqual({ weights: expect.any(Number) as number, differing: [] });
  });

  test.each([...families, 'untied'])('a stack of layers of %s loads', (name) => {
    expect(loaded[folderOf('stack', name)]).toEqual({ problems: {}, dtypes: ['torch.float32'] });
  });
});
