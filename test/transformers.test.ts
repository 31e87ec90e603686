import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Recipe, Slice } from '@amalgam/contracts';
import { executeMerge, type ModelInput, planMerge, writeArtifacts } from '@amalgam/engine';
import { describeCheckpoint, localFolder } from '@amalgam/tensors';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { FAMILIES, type Family, type TinyModel, writeModel } from '../libs/architecture/test/models/index.js';

/** What transformers make of our results. */

// Importing transformers takes seconds.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

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

describe.skipIf(missing !== null)('results in transformers (SKIPPED without a Python that has them)', () => {
  const dir = mkdtempSync(join(tmpdir(), 'amalgam-transformers-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  let loaded: Record<string, { problems: unknown; dtypes: string[] }>;
  const folderOf = (what: string, name: string) => join(dir, `${what}-${name}`);

  async function merge(out: string, recipe: Recipe, models: Record<'a' | 'b', TinyModel>): Promise<void> {
    const open = async (name: 'a' | 'b', seed: number): Promise<ModelInput & { folder: string }> => {
      const folder = `${out}-${name}`;
      await writeModel(folder, models[name], { seed });
      const checkpoint = await describeCheckpoint(localFolder(folder, name));
      return { reference: name, identity: folder, name, checkpoint, folder };
    };
    const inputs = [await open('a', 1), await open('b', 2)];
    const plan = planMerge(recipe, { base: null, models: inputs, adapters: [null, null] }, { threads: 1 });
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
    const folders = [...families.flatMap((name) => [folderOf('average', name), folderOf('stack', name)])].concat(
      folderOf('average', 'tied'),
      folderOf('average', 'untied'),
      folderOf('stack', 'untied'),
    );
    const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', HF_HUB_OFFLINE: '1' };
    const ran = spawnSync(PYTHON, [SCRIPT, ...folders], { env, maxBuffer: 2 ** 26 });
    expect(ran.status, ran.stderr.toString()).toBe(0);
    loaded = JSON.parse(ran.stdout.toString()) as typeof loaded;
  });

  test.each([...families, 'tied', 'untied'])('an average of %s loads, in the dtype that was asked for', (name) => {
    expect(loaded[folderOf('average', name)]).toEqual({ problems: {}, dtypes: ['torch.bfloat16'] });
  });

  test.each([...families, 'untied'])('a stack of layers of %s loads', (name) => {
    expect(loaded[folderOf('stack', name)]).toEqual({ problems: {}, dtypes: ['torch.float32'] });
  });
});
