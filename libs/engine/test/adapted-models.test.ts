import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Recipe } from '@amalgam/contracts';
import { bytesSource, readSafetensors, toFloat32 } from '@amalgam/tensors';
import { describe, expect, it } from 'vitest';
import { executeMerge, planMerge } from '../src/index.js';
import type { PlanOptions } from '../src/types.js';
import { input, type Loaded, tempDir } from './support.js';

/** Bases and adapters that PEFT has saved, and what its merge_and_unload makes of them (libs/adapters/test/fixtures/make.py). */
const FIXTURES = fileURLToPath(new URL('../../adapters/test/fixtures/', import.meta.url));
const fixture = async (name: string) => ({
  base: await input(join(FIXTURES, name, 'base.safetensors'), 'base'),
  adapter: await input(join(FIXTURES, name), 'adapter'),
});

type Tensors = Map<string, { shape: number[]; values: Float32Array }>;

async function read(path: string): Promise<Tensors> {
  const tensors = await readSafetensors(bytesSource(path, readFileSync(path)));
  return new Map(
    [...tensors].map(([name, { dtype, shape, data }]) => [name, { shape, values: toFloat32(dtype, data) }]),
  );
}

interface Inputs {
  base?: Loaded;
  models: { model: Loaded; adapter?: Loaded; parameters?: Record<string, unknown> }[];
}

/** Merges local files; the path of the result's only file. */
async function merge(recipe: Pick<Recipe, 'method' | 'parameters'>, inputs: Inputs, options: PlanOptions = {}) {
  const full: Recipe = {
    ...recipe,
    ...(inputs.base !== undefined && { base: inputs.base.reference }),
    models: inputs.models.map(({ model, adapter, parameters }) => ({
      model: model.reference,
      ...(adapter !== undefined && { adapter: adapter.reference }),
      ...(parameters !== undefined && { parameters }),
    })),
  };
  const plan = planMerge(
    full,
    {
      base: inputs.base ?? null,
      models: inputs.models.map(({ model }) => model),
      adapters: inputs.models.map(({ adapter }) => adapter ?? null),
    },
    options,
  );
  const outDir = tempDir();
  const paths = (plan.inputs as Loaded[]).map(({ path }) => path);
  await executeMerge(plan, {
    outDir,
    pathOf: (i, file) => (paths[i]!.endsWith('.safetensors') ? paths[i]! : join(paths[i]!, file)),
  });
  return join(outDir, 'model.safetensors');
}

/** The largest difference, relative to 1 or to the size of what is wanted. */
function distance(found: Tensors, wanted: Tensors): number {
  expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
  return Math.max(
    ...[...wanted].map(([name, { shape, values }]) => {
      expect(found.get(name)!.shape).toEqual(shape);
      const other = found.get(name)!.values;
      return values.reduce((most, x, i) => Math.max(most, Math.abs(x - other[i]!) / Math.max(1, Math.abs(x))), 0);
    }),
  );
}

describe('a model with an adapter', () => {
  it.each(['patterns', 'rslora', 'whole', 'conv1d', 'convolutions', 'headless'])(
    'is what PEFT makes of the two: %s',
    async (name) => {
      const { base, adapter } = await fixture(name);
      const merged = await read(join(FIXTURES, name, 'merged.safetensors'));
      const beside = await merge({ method: 'passthrough' }, { models: [{ model: base, adapter }] });
      expect(distance(await read(beside), merged)).toBeLessThan(1e-6);
      // An adapter in a model's place stands for the base with it: base + 1 · ((base + delta) − base).
      const alone = await merge(
        { method: 'task_arithmetic', parameters: { lambda: 1 } },
        { base, models: [{ model: adapter }] },
      );
      expect(distance(await read(alone), merged)).toBeLessThan(3e-6);
    },
  );

  it.each<[string, Record<string, unknown>]>([
    ['task_arithmetic', { lambda: 0.7 }],
    ['ties', { density: 0.4 }],
    ['dare_ties', { density: 0.5, seed: 7 }],
    ['della', { density: 0.5, epsilon: 0.2 }],
    ['breadcrumbs', {}],
    ['model_stock', {}],
    ['karcher', {}],
  ])('merges to the same bytes as a file of the two does: %s', async (method, parameters) => {
    const { base, adapter } = await fixture('patterns');
    const { adapter: other } = await fixture('rslora');
    const dense = await Promise.all(
      [adapter, other].map(async (one, i) =>
        input(await merge({ method: 'passthrough' }, { models: [{ model: base, adapter: one }] }), `dense${i}`),
      ),
    );
    const wanted = readFileSync(
      await merge({ method, parameters }, { base, models: dense.map((model) => ({ model })) }),
    );
    const models = [{ model: base, adapter }, { model: other }];
    for (const options of [{ threads: 1 }, { threads: 3, chunkElements: 2048 }]) {
      const found = readFileSync(await merge({ method, parameters }, { base, models }, options));
      expect(found.equals(wanted)).toBe(true);
    }
  });
});
