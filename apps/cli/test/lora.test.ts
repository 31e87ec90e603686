import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fileSource, readSafetensors, type TensorData, toFloat32, writeSafetensors } from '@amalgam/tensors';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'amalgam-lora-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function amalgam(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { cwd: dir }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

const [ROWS, COLUMNS, RANK] = [8, 6, 2];
const NAME = 'model.layers.0.q_proj.weight';
const wave = (count: number, seed: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.fround(Math.sin(seed + i * 1.7)));
const tensor = (name: string, shape: number[], values: Float32Array): TensorData => {
  return { name, dtype: 'F32', shape, data: new Uint8Array(values.buffer.slice(0)) };
};
const base = wave(ROWS * COLUMNS, 1);
const factors = (seed: number) => ({ a: wave(RANK * COLUMNS, seed), b: wave(ROWS * RANK, seed + 0.5) });

/** base + Σ weight · 2 B A: alpha is twice the rank. */
function applied(terms: { a: Float32Array; b: Float32Array; weight: number }[]): Float32Array {
  return base.map((value, at) => {
    const [i, j] = [Math.floor(at / COLUMNS), at % COLUMNS];
    return terms.reduce((sum, { a, b, weight }) => {
      for (let k = 0; k < RANK; k++) sum += weight * 2 * b[i * RANK + k]! * a[k * COLUMNS + j]!;
      return sum;
    }, value);
  });
}

async function writeAdapter(name: string, { a, b }: { a: Float32Array; b: Float32Array }): Promise<void> {
  mkdirSync(join(dir, name));
  writeFileSync(
    join(dir, name, 'adapter_config.json'),
    JSON.stringify({ peft_type: 'LORA', r: RANK, lora_alpha: 2 * RANK }),
  );
  const path = 'base_model.model.model.layers.0.q_proj';
  await writeSafetensors(join(dir, name, 'adapter_model.safetensors'), [
    tensor(`${path}.lora_A.weight`, [RANK, COLUMNS], a),
    tensor(`${path}.lora_B.weight`, [ROWS, RANK], b),
  ]);
}

async function read(path: string): Promise<Map<string, Float32Array>> {
  const source = fileSource(join(dir, path));
  try {
    return new Map(
      [...(await readSafetensors(source))].map(([name, { dtype, data }]) => [name, toFloat32(dtype, data)]),
    );
  } finally {
    await source.close();
  }
}

const worst = (a: Float32Array, b: Float32Array) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

const [first, second] = [factors(2), factors(3)];
beforeAll(async () => {
  await writeSafetensors(join(dir, 'base.safetensors'), [tensor(NAME, [ROWS, COLUMNS], base)]);
  const tuned = applied([{ ...first, weight: 1 }]);
  await writeSafetensors(join(dir, 'tuned.safetensors'), [tensor(NAME, [ROWS, COLUMNS], tuned)]);
  await writeAdapter('one', first);
  await writeAdapter('two', second);
});

/** The only product of an adapter that the CLI has made; its scale is 1. */
async function productOf(out: string): Promise<Float32Array> {
  const tensors = await read(`${out}/adapter_model.safetensors`);
  const path = 'base_model.model.model.layers.0.q_proj';
  const [a, b] = [tensors.get(`${path}.lora_A.weight`)!, tensors.get(`${path}.lora_B.weight`)!];
  const rank = a.length / COLUMNS;
  return base.map((value, at) => {
    const [i, j] = [Math.floor(at / COLUMNS), at % COLUMNS];
    for (let k = 0; k < rank; k++) value += b[i * rank + k]! * a[k * COLUMNS + j]!;
    return value;
  });
}

describe('amalgam extract-lora', () => {
  test('makes a folder that PEFT takes, and says what it keeps', async () => {
    const ran = await amalgam(
      'extract-lora',
      '--base',
      'base.safetensors',
      '--model',
      'tuned.safetensors',
      '--rank',
      '2',
      '--out',
      'extracted',
    );
    expect(ran.code).toBe(0);
    expect(ran.stdout).toMatch(/model\.layers\.0\.q_proj +2 .* 100\.00 %/);
    expect(ran.stdout).toContain('of all squared norms 100.00 % are kept');
    expect(readdirSync(join(dir, 'extracted')).sort()).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'recipe.json',
      'report.json',
    ]);
    expect(JSON.parse(readFileSync(join(dir, 'extracted/adapter_config.json'), 'utf8'))).toMatchObject({
      peft_type: 'LORA',
      r: 2,
      lora_alpha: 2,
      base_model_name_or_path: 'base.safetensors',
    });
    expect(worst(await productOf('extracted'), applied([{ ...first, weight: 1 }]))).toBeLessThan(1e-5);
  });

  test('says what is wrong', async () => {
    const one = ['extract-lora', '--base', 'base.safetensors', '--out', 'nowhere', '--model'];
    const adapter = await amalgam(...one, 'one');
    expect([adapter.code, adapter.stderr]).toEqual([2, expect.stringContaining('"one" is a LoRA adapter')]);
    const nothing = await amalgam(...one, 'tuned.safetensors', '--include', 'x*');
    expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringContaining('has no matrix to extract')]);
    const rank = await amalgam(...one, 'tuned.safetensors', '--rank', '0');
    expect([rank.code, rank.stderr]).toEqual([2, expect.stringContaining('/parameters/rank')]);
  });
});

describe('amalgam merge', () => {
  test('applies an adapter beside a model, and one in a model’s place to the base', async () => {
    const recipes = {
      beside: { method: 'passthrough', models: [{ model: 'base.safetensors', adapter: 'one' }] },
      alone: {
        method: 'task_arithmetic',
        base: 'base.safetensors',
        models: [{ model: 'one' }],
        parameters: { lambda: 1 },
      },
      plus: { merge_method: 'linear', models: [{ model: 'base.safetensors+one', parameters: { weight: 1 } }] },
    };
    for (const [name, recipe] of Object.entries(recipes)) {
      writeFileSync(join(dir, `${name}.json`), JSON.stringify(recipe));
      const ran = await amalgam('merge', `${name}.json`, '--out', name);
      expect([ran.code, name]).toEqual([0, name]);
      const tensors = await read(`${name}/model.safetensors`);
      expect(worst(tensors.get(NAME)!, applied([{ ...first, weight: 1 }]))).toBeLessThan(1e-6);
    }
  });

  test('tells of an adapter that is for another base before it reads weights', async () => {
    await writeSafetensors(join(dir, 'other.safetensors'), [tensor(NAME, [COLUMNS, 4], wave(COLUMNS * 4, 1))]);
    const recipe = { method: 'passthrough', models: [{ model: 'other.safetensors', adapter: 'one' }] };
    writeFileSync(join(dir, 'other.json'), JSON.stringify(recipe));
    const ran = await amalgam('plan', 'other.json');
    expect([ran.code, ran.stderr]).toEqual([
      2,
      expect.stringMatching(/one: its target .* has shape \[6, 4\].* made for another base/),
    ]);
  });

  test('makes one adapter of several without loss', async () => {
    const models = [
      { model: 'one', parameters: { weight: 0.5 } },
      { model: 'two', parameters: { weight: -1 } },
    ];
    writeFileSync(join(dir, 'loras.json'), JSON.stringify({ method: 'merge_lora', models }));
    const ran = await amalgam('merge', 'loras.json', '--out', 'sum');
    expect([ran.code, ran.stdout]).toEqual([0, expect.stringContaining('adapter_model.safetensors')]);
    const wanted = applied([
      { ...first, weight: 0.5 },
      { ...second, weight: -1 },
    ]);
    expect(worst(await productOf('sum'), wanted)).toBeLessThan(1e-5);
  });
});
