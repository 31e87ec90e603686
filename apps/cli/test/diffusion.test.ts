import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bytesSource, readSafetensors, toFloat32, writeSafetensors } from '@amalgam/tensors';
import { afterAll, describe, expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'amalgam-cli-diffusion-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Names of Stable Diffusion XL in one file, a few of each part. */
const SDXL = [
  'model.diffusion_model.input_blocks.0.0.weight',
  'model.diffusion_model.out.2.bias',
  'first_stage_model.decoder.conv_in.weight',
  'conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight',
  'conditioner.embedders.1.model.positional_embedding',
];
const UNET = [
  'conv_in.weight',
  'down_blocks.0.resnets.0.conv1.weight',
  'mid_block.resnets.0.conv1.weight',
  'time_embedding.linear_1.weight',
];

async function write(path: string, names: readonly string[], value: number): Promise<string> {
  mkdirSync(join(path, '..'), { recursive: true });
  const data = new Uint8Array(new Float32Array(36).fill(value).buffer);
  await writeSafetensors(
    path,
    names.map((name) => ({ name, dtype: 'F32', shape: [2, 2, 3, 3], data })),
  );
  return path;
}

function amalgam(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

async function mergedValues(recipe: string): Promise<Map<string, number>> {
  const folder = mkdtempSync(join(dir, 'merge-'));
  writeFileSync(join(folder, 'recipe.yaml'), recipe);
  const out = join(folder, 'out');
  const { code, stderr } = await amalgam('merge', join(folder, 'recipe.yaml'), '--out', out);
  expect(code, stderr).toBe(0);
  const tensors = await readSafetensors(bytesSource('r', readFileSync(join(out, 'model.safetensors'))));
  return new Map([...tensors].map(([name, { data }]) => [name, toFloat32('F32', data)[0]!]));
}

describe('models that are no language models', () => {
  test('of one file, without any config, merge by their names', async () => {
    const [base, a, b] = [
      await write(join(dir, 'sdxl-base.safetensors'), SDXL, 1),
      await write(join(dir, 'sdxl-a.safetensors'), SDXL, 2),
      await write(join(dir, 'sdxl-b.safetensors'), SDXL, 4),
    ];
    const models = `models: [{ model: ${a} }, { model: ${b} }]\n`;
    const sum = await mergedValues(`method: task_arithmetic\nbase: ${base}\nparameters: { lambda: 0.5 }\n${models}`);
    expect(sum).toEqual(new Map([...SDXL].sort().map((name) => [name, 3])));
    const mean = await mergedValues(`merge_method: linear\n${models}parameters: { weight: 0.5 }\ndtype: float32\n`);
    expect([...mean.values()]).toEqual(SDXL.map(() => 3));
  });

  test('of a folder of diffusers with variants merge the plain weights', async () => {
    const folders = ['x', 'y'].map((name) => join(dir, name, 'unet'));
    for (const [i, folder] of folders.entries()) {
      await write(join(folder, 'diffusion_pytorch_model.safetensors'), UNET, i + 1);
      await write(join(folder, 'diffusion_pytorch_model.fp16.safetensors'), UNET, 100);
      writeFileSync(
        join(folder, 'config.json'),
        '{"_class_name":"UNet2DConditionModel","down_block_types":["DownBlock2D"]}',
      );
    }
    const values = await mergedValues(
      `method: linear\nmodels: [${folders.map((model) => `{ model: ${model} }`).join(', ')}]\n`,
    );
    expect([...values.values()]).toEqual(UNET.map(() => 1.5));
  });

  test('are named by inspect, from their tensors’ names or their config', async () => {
    const family = async (path: string) => {
      const { stdout } = await amalgam('inspect', path, '--json');
      return (JSON.parse(stdout) as { family: string | null }).family;
    };
    expect(await family(await write(join(dir, 'one.safetensors'), SDXL, 1))).toBe('Stable Diffusion XL, one file');
    expect(await family(await write(join(dir, 'unet.safetensors'), UNET, 1))).toBe('Stable Diffusion UNet (diffusers)');
    expect(await family(join(dir, 'x', 'unet'))).toBe('UNet2DConditionModel');
    expect(await family(await write(join(dir, 'any.safetensors'), ['a.weight'], 1))).toBeNull();
  });
});
