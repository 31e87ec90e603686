import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Recipe } from '@amalgam/contracts';
import { writeSafetensors } from '@amalgam/tensors';
import type { Stack } from './stack.js';

export interface Shape {
  /** Megabytes of float32 in each tensor. */
  megabytes: number;
  tensors: number;
}

/** A model of cheap pseudo-random float32 tensors; another seed, another model of the same shape. */
export async function writeModel(path: string, { megabytes, tensors }: Shape, seed: number): Promise<void> {
  const elements = megabytes * 250_000;
  const data = Array.from({ length: tensors }, (_, i) => {
    const values = new Float32Array(elements);
    let state = (seed * 7919 + i * 104_729 + 1) >>> 0;
    for (let k = 0; k < elements; k++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      values[k] = state / 2 ** 32 - 0.5;
    }
    const name = `layer.${String(i).padStart(2, '0')}.weight`;
    return { name, dtype: 'F32' as const, shape: [250, megabytes * 1000], data: new Uint8Array(values.buffer) };
  });
  await writeSafetensors(path, data);
}

/** Registers a base and two models by URI and returns a TIES recipe over them, one shard for each tensor. */
export async function registerModels(
  stack: Stack,
  shape: Shape,
  folder: string = join(stack.home, 'models'),
): Promise<Recipe> {
  await mkdir(folder, { recursive: true });
  const ids: string[] = [];
  for (const [seed, name] of ['base', 'one', 'two'].entries()) {
    const path = join(folder, `${name}.safetensors`);
    await writeModel(path, shape, seed);
    ids.push((await stack.register(name, path)).id);
  }
  const [base, ...models] = ids;
  return {
    method: 'ties',
    base: base!,
    models: models.map((model) => ({ model })),
    shard_bytes: shape.megabytes * 1_000_000,
  };
}
