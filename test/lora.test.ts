import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, createClient } from '@amalgam/client';
import type { Merge, Recipe } from '@amalgam/contracts';
import { bytesSource, readSafetensors, toFloat32 } from '@amalgam/tensors';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestService, type TestService } from './support/service.js';

/** LoRA adapters over the API: as models, merged into an adapter, and extracted; with what PEFT has saved and merged. */

const FIXTURES = fileURLToPath(new URL('../libs/adapters/test/fixtures/', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'amalgam-lora-'));
let service: TestService;
let client: Client;
const ids: Record<string, string> = {};

beforeAll(async () => {
  service = await startTestService();
  client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
  const adapterFiles = (name: string) =>
    ['adapter_config.json', 'adapter_model.safetensors'].map((path) => ({
      path,
      file: join(FIXTURES, name, path),
    }));
  const modelFile = (file: string) => [{ path: 'model.safetensors', file: join(FIXTURES, 'rslora', file) }];
  for (const [name, files] of Object.entries({
    base: modelFile('base.safetensors'),
    merged: modelFile('merged.safetensors'),
    adapter: adapterFiles('rslora'),
    other: adapterFiles('headless'),
    foreign: adapterFiles('conv1d'),
  })) {
    ids[name] = (await client.checkpoints.upload({ name, files })).id;
  }
});
afterAll(async () => {
  await service.stop();
  rmSync(dir, { recursive: true, force: true });
});

type Tensors = Map<string, Float32Array>;

async function parse(bytes: Uint8Array): Promise<Tensors> {
  const tensors = await readSafetensors(bytesSource('file', bytes));
  return new Map([...tensors].map(([name, { dtype, data }]) => [name, toFloat32(dtype, data)]));
}
const fixture = (path: string) => parse(readFileSync(join(FIXTURES, path)));

async function merge(recipe: Recipe): Promise<Merge> {
  const { id } = await client.merges.create({ recipe });
  const done = await client.merges.waitFor(id, { timeoutMs: 50_000 });
  expect([done.state, done.error]).toEqual(['succeeded', null]);
  return done;
}

function distance(found: Tensors, wanted: Tensors): number {
  expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
  const far = (name: string, values: Float32Array) =>
    values.reduce((most, x, i) => Math.max(most, Math.abs(x - found.get(name)![i]!)), 0);
  return Math.max(...[...wanted].map(([name, values]) => far(name, values)));
}

describe('adapters as models', () => {
  test('one beside a model, and one in a model’s place, give what PEFT merges', async () => {
    const wanted = await fixture('rslora/merged.safetensors');
    const recipes: Recipe[] = [
      { method: 'passthrough', models: [{ model: ids['base']!, adapter: ids['adapter']! }] },
      {
        method: 'task_arithmetic',
        base: ids['base']!,
        models: [{ model: ids['adapter']! }],
        parameters: { lambda: 1 },
      },
    ];
    for (const recipe of recipes) {
      const { id } = await merge(recipe);
      expect(distance(await parse(await client.merges.download(id, 'model.safetensors')), wanted)).toBeLessThan(2e-6);
    }
  });

  test('one for another base is refused with the request', async () => {
    const recipe: Recipe = { method: 'passthrough', models: [{ model: ids['base']!, adapter: ids['foreign']! }] };
    const problem = await client.merges.create({ recipe }).then(
      () => 'accepted',
      (error: unknown) => error,
    );
    expect(problem).toMatchObject({
      code: 'tensor_missing',
      errors: [{ pointer: '/recipe/models/0/adapter' }, {}, {}, {}],
    });
  });
});

describe('results that are adapters', () => {
  test('an extracted one is a checkpoint that makes the fine-tune of its base again', async () => {
    const done = await merge({
      method: 'extract_lora',
      base: ids['base']!,
      models: [{ model: ids['merged']! }],
      parameters: { rank: 4 },
    });
    const report = await client.merges.report(done.id);
    expect(report.adapter?.kept).toBeCloseTo(1, 5);
    const extracted = done.result!.checkpoint_id;
    const { id } = await merge({ method: 'passthrough', models: [{ model: ids['base']!, adapter: extracted }] });
    const wanted = await fixture('rslora/merged.safetensors');
    expect(distance(await parse(await client.merges.download(id, 'model.safetensors')), wanted)).toBeLessThan(1e-5);
  });

  test('the same adapter twice is refused', async () => {
    const models = [{ model: ids['adapter']! }, { model: ids['adapter']!, parameters: { weight: -1 } }];
    const problem = await client.merges.create({ recipe: { method: 'merge_lora', models } }).then(
      () => 'accepted',
      (error: unknown) => error,
    );
    expect(problem).toMatchObject({ code: 'duplicate_model', errors: [{ pointer: '/recipe/models/1/model' }] });
  });

  test('a merged one has the digest that was reported, and can be registered by who downloads it', async () => {
    const done = await merge({ method: 'merge_lora', models: [{ model: ids['adapter']! }, { model: ids['other']! }] });
    expect(done.result!.files.map(({ path }) => path)).toEqual(
      expect.arrayContaining([
        'adapter_model.safetensors',
        'adapter_config.json',
        'recipe.json',
        'report.json',
        'README.md',
      ]),
    );
    for (const path of ['adapter_model.safetensors', 'adapter_config.json']) {
      const bytes = await client.merges.download(done.id, path);
      writeFileSync(join(dir, path), bytes);
      const { sha256 } = done.result!.files.find((file) => file.path === path)!;
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
    }
    const files = ['adapter_model.safetensors', 'adapter_config.json'].map((path) => ({ path, file: join(dir, path) }));
    const again = await client.checkpoints.upload({ name: 'again', files });
    expect(again).toMatchObject({ state: 'ready', tensors: 2 * 6 });
  });
});
