import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClient } from '@amalgam/client';
import type { Merge } from '@amalgam/contracts';
import { fromFloat32, toFloat32 } from '@amalgam/tensors';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestService, type TestService } from './support/service.js';
import { LAYERS, readTinyModel, type TinyTensor, writeTinyModels } from './support/tiny-models.js';

/** The recipes of examples/recipes/mergekit, as they stand, through the command line and the API. */

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const CLI = join(ROOT, 'apps/cli/dist/main.js');
const EXAMPLES = join(ROOT, 'examples/recipes/mergekit');
const MODELS = ['base', 'math', 'code', 'chat', 'adapter'];
const dir = mkdtempSync(join(tmpdir(), 'amalgam-mergekit-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

type Tensors = Map<string, TinyTensor>;
const models = new Map<string, Tensors>();
beforeAll(async () => {
  await writeTinyModels(join(dir, 'models'));
  for (const name of MODELS) models.set(name, await readTinyModel(join(dir, 'models', name)));
});

const names = readdirSync(EXAMPLES).map((file) => file.replace(/\.yaml$/, ''));
const text = (name: string) => readFileSync(join(EXAMPLES, `${name}.yaml`), 'utf8');
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

function amalgam(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

const merged = new Map<string, Promise<string>>();

/** The folder of the result; each recipe is merged once. */
function merge(name: string): Promise<string> {
  const known = merged.get(name) ?? mergeAnew(name);
  merged.set(name, known);
  return known;
}

async function mergeAnew(name: string): Promise<string> {
  const recipe = join(dir, `${name}.yaml`);
  writeFileSync(recipe, text(name));
  const out = join(dir, name);
  const ran = await amalgam('merge', recipe, '--out', out, '--json');
  expect([ran.code, ran.stderr]).toEqual([0, '']);
  return out;
}

const result = async (name: string) => readTinyModel(await merge(name));
const config = async (name: string) =>
  JSON.parse(readFileSync(join(await merge(name), 'config.json'), 'utf8')) as Record<string, unknown>;
const values = (model: string, tensor: string) => [...models.get(model)!.get(tensor)!.values];
const rounded = (dtype: 'BF16' | 'F16', list: readonly number[]) => [
  ...toFloat32(dtype, fromFloat32(dtype, Float32Array.from(list))),
];
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
const task = (model: string, tensor: string) => {
  const base = values('base', tensor);
  return values(model, tensor).map((x, i) => x - base[i]!);
};

/** Equal but for the rounding to the result's dtype, which float64 and float32 may do to different sides. */
function expectNear(found: TinyTensor | undefined, wanted: readonly number[], dtype: 'BF16' | 'F16'): void {
  expect(found?.dtype).toBe(dtype);
  const bound = dtype === 'BF16' ? 2 ** -8 : 2 ** -11;
  const off = [...found!.values].filter(
    (x, i) => Math.abs(x - wanted[i]!) > Math.abs(wanted[i]!) * bound * 1.001 + 1e-7,
  );
  expect(off).toEqual([]);
}

test('there are recipes of six kinds', () => {
  expect(names.sort()).toEqual(
    ['dare-ties', 'gradient-slerp', 'lora', 'model-stock', 'passthrough-stack', 'ties-gradients'].sort(),
  );
});

describe('the command line', () => {
  test('gradient slerp: from the base to the other model in attention, the other way in the feed-forward layers', async () => {
    const tensors = await result('gradient-slerp');
    const last = LAYERS - 1;
    for (const [tensor, model] of [
      ['model.layers.0.self_attn.q_proj.weight', 'base'],
      [`model.layers.${last}.self_attn.q_proj.weight`, 'math'],
      ['model.layers.0.mlp.up_proj.weight', 'math'],
      [`model.layers.${last}.mlp.up_proj.weight`, 'base'],
    ] as const) {
      expect([...tensors.get(tensor)!.values], tensor).toEqual(rounded('BF16', values(model, tensor)));
    }
    // Values 0, 0.25, 0.5, 0.75, 1 over layers 0 to 7: layer 3 lies at 3/7 · 4 = 12/7 of the way through the list.
    expectNear(
      tensors.get('model.layers.3.self_attn.q_proj.weight'),
      slerp('model.layers.3.self_attn.q_proj.weight', 3 / 7),
      'BF16',
    );
    expectNear(tensors.get('lm_head.weight'), slerp('lm_head.weight', 0.5), 'BF16');
    expect(await config('gradient-slerp')).toMatchObject({ num_hidden_layers: LAYERS, torch_dtype: 'bfloat16' });
  });

  function slerp(tensor: string, t: number): number[] {
    const [a, b] = [values('base', tensor), values('math', tensor)];
    const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    const angle = Math.acos(cosine);
    const [u, v] =
      cosine > 0.9995 ? [1 - t, t] : [(1 - t) * angle, t * angle].map((x) => Math.sin(x) / Math.sin(angle));
    return a.map((x, i) => u! * x + v! * b[i]!);
  }

  test('TIES with gradients and filters, tensor by tensor; the tokenizer is the base’s', async () => {
    const tensors = await result('ties-gradients');
    const last = `model.layers.${LAYERS - 1}`;
    for (const [tensor, densities, weights] of [
      ['model.layers.0.mlp.up_proj.weight', [1, 0.4], [1, 0.2]],
      [`${last}.mlp.up_proj.weight`, [0.2, 0.4], [1, 0.4]],
      [`${last}.self_attn.q_proj.weight`, [0.2, 0.4], [1, 0.3]],
      ['model.embed_tokens.weight', [1, 0.4], [1, 0.5]],
    ] as const) {
      expectNear(tensors.get(tensor), ties(tensor, densities, weights), 'F16');
    }
    const tokenizer = (folder: string) => readFileSync(join(folder, 'tokenizer.json'), 'utf8');
    expect(JSON.parse(tokenizer(await merge('ties-gradients')))).toEqual(
      JSON.parse(tokenizer(join(dir, 'models/base'))),
    );
  });

  function ties(tensor: string, densities: readonly number[], weights: readonly number[]): number[] {
    const kept = ['math', 'code'].map((model, k) => {
      const vector = task(model, tensor).map(Math.fround);
      const count = Math.floor(densities[k]! * vector.length);
      const threshold = vector.map(Math.abs).sort((a, b) => b - a)[count - 1]!;
      return vector.map((x) => (Math.abs(x) >= threshold ? weights[k]! * x : 0));
    });
    return values('base', tensor).map((base, i) => {
      const sign = kept.reduce((sum, vector) => sum + vector[i]!, 0) >= 0 ? 1 : -1;
      const agree = kept.map((vector) => Math.sign(vector[i]!) === sign);
      const total = kept.reduce((sum, vector, k) => sum + (agree[k] ? vector[i]! : 0), 0);
      const weight = weights.reduce((sum, w, k) => sum + (agree[k] ? w : 0), 0);
      return base + (weight === 0 ? 0 : total / weight);
    });
  }

  test('DARE-TIES: entries that all models drop are the base’s, in their share', async () => {
    const tensors = await result('dare-ties');
    let same = 0;
    let all = 0;
    for (const [name, { values: found }] of tensors) {
      const base = rounded('BF16', values('base', name));
      // Where a task vector is small beside the base, rounding hides it.
      if (!name.includes('norm')) all += found.length;
      if (!name.includes('norm')) same += found.filter((x, i) => x === base[i]).length;
    }
    const dropped = (1 - 0.55) ** 2 * (1 - 0.5);
    expect(same / all).toBeGreaterThan(dropped - 0.01);
    expect(same / all).toBeLessThan(dropped + 0.04);
  });

  test('a stack of layers: numbered anew, scaled where the recipe says, counted in config.json', async () => {
    const tensors = await result('passthrough-stack');
    const origin = [
      ...[0, 1, 2, 3, 4, 5].map((layer) => ['math', layer, 1] as const),
      ...[3, 4, 5, 6, 7].map((layer) => ['code', layer, 1] as const),
      ...[4, 5, 6, 7].map((layer) => ['math', layer, 0.9] as const),
    ];
    expect(await config('passthrough-stack')).toMatchObject({ num_hidden_layers: origin.length });
    const layers = [...tensors.keys()].flatMap((name) => /layers\.(\d+)\./.exec(name)?.[1] ?? []);
    expect(Math.max(...layers.map(Number))).toBe(origin.length - 1);
    for (const [index, [model, layer, scale]] of origin.entries()) {
      for (const [part, factor] of [
        ['self_attn.o_proj.weight', Math.fround(scale)],
        ['self_attn.q_proj.weight', 1],
      ] as const) {
        const source = values(model, `model.layers.${layer}.${part}`).map((x) => Math.fround(x * factor));
        expect([...tensors.get(`model.layers.${index}.${part}`)!.values]).toEqual(rounded('F16', source));
      }
    }
    expect([...tensors.get('model.embed_tokens.weight')!.values]).toEqual(
      rounded('F16', values('math', 'model.embed_tokens.weight')),
    );
  });

  test('Model Stock: the share of the mean that the angles say', async () => {
    const tensor = 'model.layers.2.mlp.down_proj.weight';
    const vectors = ['math', 'code', 'chat'].map((model) => task(model, tensor));
    const cosine = (a: number[], b: number[]) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    const [x, y, z] = vectors as [number[], number[], number[]];
    const c = Math.max(0, (cosine(x, y) + cosine(x, z) + cosine(y, z)) / 3);
    const t = (3 * c) / (1 + 2 * c);
    const wanted = values('base', tensor).map((base, i) => base + (t * (x[i]! + y[i]! + z[i]!)) / 3);
    expectNear((await result('model-stock')).get(tensor), wanted, 'BF16');
  });

  test('a LoRA adapter as a model: what it adds to the base, weighted', async () => {
    const tensors = await result('lora');
    const layer = 'model.layers.5.self_attn';
    const [a, b] = ['A', 'B'].map((factor) =>
      values('adapter', `base_model.model.${layer}.q_proj.lora_${factor}.weight`),
    );
    const columns = a!.length / 2;
    const added = (i: number) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      return 2 * (b![2 * row]! * a![column]! + b![2 * row + 1]! * a![columns + column]!);
    };
    const q = `${layer}.q_proj.weight`;
    const math = task('math', q);
    expectNear(
      tensors.get(q),
      values('base', q).map((base, i) => base + 0.6 * math[i]! + 0.4 * added(i)),
      'BF16',
    );
    // What the adapter has nothing for is the base's there.
    const k = `${layer}.k_proj.weight`;
    const own = task('math', k);
    expectNear(
      tensors.get(k),
      values('base', k).map((base, i) => base + 0.6 * own[i]!),
      'BF16',
    );
  });

  test('says beforehand what it understood', async () => {
    await merge('gradient-slerp');
    const slerp = await amalgam('plan', join(dir, 'gradient-slerp.yaml'));
    expect(slerp.stdout).toContain('method      slerp  t (0 → 0.25 → 0.5 → 0.75 → 1 for *self_attn*; else 1 → 0.75');
    expect(slerp.stdout).toContain('slice 0     ./models/base layers 0 to 7 + ./models/math layers 0 to 7');
    await merge('lora');
    const lora = await amalgam('plan', join(dir, 'lora.yaml'));
    expect(lora.stdout).toContain('model       ./models/base+./models/adapter');
    await merge('ties-gradients');
    const ties = await amalgam('plan', join(dir, 'ties-gradients.yaml'));
    expect(ties.stdout).toContain('tokenizer   base');
  });
});

describe('the API', () => {
  let service: TestService;
  const ids = new Map<string, string>();
  beforeAll(async () => {
    service = await startTestService();
    const client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    for (const name of MODELS) {
      const folder = join(dir, 'models', name);
      const files = readdirSync(folder).map((path) => ({ path, file: join(folder, path) }));
      ids.set(name, (await client.checkpoints.upload({ name, files })).id);
    }
  });
  afterAll(() => service.stop());

  test.each(names)('%s gives the same bytes', async (name) => {
    const client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    const body = text(name).replaceAll(/\.\/models\/(\w+)/g, (_, model: string) => ids.get(model)!);
    const response = await fetch(`${service.url}/v1/merges`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.apiKey}`, 'content-type': 'application/yaml' },
      body,
    });
    const queued = (await response.json()) as Merge;
    expect([response.status, queued]).toEqual([202, expect.objectContaining({ state: 'queued' })]);
    const done = await client.merges.waitFor(queued.id, { timeoutMs: 50_000 });
    expect([done.state, done.error]).toEqual(['succeeded', null]);
    const bytes = await client.merges.download(queued.id, 'model.safetensors');
    expect(sha256(bytes)).toBe(sha256(readFileSync(join(await merge(name), 'model.safetensors'))));
  });
});
