import { existsSync, mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromFloat32 } from '@amalgam/tensors';
import { describe, expect, test } from 'vitest';
import { planMerge } from '../src/plan.js';
import { writeTaskVectors } from '../src/task-vectors.js';
import type { PlanOptions } from '../src/types.js';
import * as brute from './brute-force.js';
import {
  decode,
  input,
  type Loaded,
  type Model,
  sha256,
  storeTaskVectors,
  tempDir,
  tunedRecipe,
  writeModel,
} from './support.js';

const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/', import.meta.url));
const TASKS = ['digits', 'shapes', 'segments'];

const zoo = async () => ({
  base: await input(`${ZOO}base.safetensors`, 'base'),
  models: await Promise.all(TASKS.map((task) => input(`${ZOO}${task}.safetensors`, task))),
});

async function encoder(loaded: Loaded): Promise<brute.Vectors> {
  const { readFileSync } = await import('node:fs');
  const tensors = [...(await decode(readFileSync(loaded.path)))].filter(([name]) => !name.startsWith('head.'));
  return new Map(tensors.map(([name, { values }]) => [name, values!]));
}

const planOf = (
  { base, models }: { base: Loaded; models: Loaded[] },
  parameters: Record<string, unknown> = {},
  options: PlanOptions = {},
) => planMerge(tunedRecipe(parameters, base, models), { base, models }, options);

/** A base and models of one float32 vector each. */
async function vectors(base: number[], ...models: number[][]) {
  const dir = tempDir();
  const write = async (name: string, values: number[]) =>
    input(await writeModel(dir, name, { w: { dtype: 'F32', shape: [values.length], values } }), name);
  return { base: await write('base', base), models: await Promise.all(models.map((v, i) => write(`m${i}`, v))) };
}

describe('the file of task vectors', () => {
  test.each([
    ['F32', false],
    ['F16', false],
    ['BF16', true],
    ['F32', true],
  ] as const)('holds base and %s task vectors of the zoo, sign_resolve %s', async (dtype, sign_resolve) => {
    const { base, models } = await zoo();
    const plan = planOf({ base, models }, { sign_resolve, density: 0.2 });
    const stored = await storeTaskVectors(plan, [base, ...models], dtype);
    const own = await encoder(base);
    const others = await Promise.all(models.map(encoder));
    const expected = brute.tunedVectors(own, others, sign_resolve ? 0.2 : null);

    expect(stored.tensors.map(({ name }) => name)).toEqual(plan.merged.map(({ name }) => name));
    for (const tensor of stored.tensors) {
      const { base: baseBytes, vectors } = stored.read(tensor);
      expect(baseBytes.equals(fromFloat32('F32', own.get(tensor.name)!))).toBe(true);
      vectors.forEach((bytes, k) => {
        expect(bytes.equals(fromFloat32(dtype, expected.vectors[k]!.get(tensor.name)!))).toBe(true);
      });
    }
    expected.whole.forEach((whole, k) => {
      const all = [...whole.values()].flatMap((list) => [...list]);
      expect(stored.norms[k]).toBeCloseTo(Math.sqrt(all.reduce((sum, x) => sum + x * x, 0)), 10);
      if (!sign_resolve) return;
      const magnitudes = all.map(Math.abs).sort((a, b) => b - a);
      expect(stored.thresholds![k]).toBe(magnitudes[Math.floor(0.2 * all.length) - 1]);
    });
    if (!sign_resolve) expect(stored.thresholds).toBeNull();
  });

  test('gives each area pages of its own, as large as the plan said, with zeros between', async () => {
    const { base, models } = await zoo();
    const plan = planOf({ base, models }, { task_vector_dtype: 'bfloat16' });
    const stored = await storeTaskVectors(plan, [base, ...models], 'BF16');
    expect([stored.bytes, stored.content.length]).toEqual([plan.tuning?.vectorBytes, plan.tuning?.vectorBytes]);
    let end = 0;
    for (const { base, vectors, elements } of stored.tensors) {
      for (const [begin, bytes] of [
        [base, elements * 4],
        [vectors, elements * 2 * models.length],
      ] as const) {
        expect(begin % 4096).toBe(0);
        expect(begin - end).toBeLessThan(4096);
        expect(stored.content.subarray(end, begin).every((byte) => byte === 0)).toBe(true);
        end = begin + bytes;
      }
    }
    expect(end).toBe(stored.bytes);
  });

  test('is the same for any threads and chunks', async () => {
    const { base, models } = await zoo();
    const digests = new Set<string>();
    const told = new Set<string>();
    for (const options of [{ threads: 1 }, { threads: 2 }, { threads: 2, chunkElements: 2048 }]) {
      const plan = planOf({ base, models }, { sign_resolve: true }, options);
      const { content, tensors, norms, thresholds } = await storeTaskVectors(plan, [base, ...models], 'BF16');
      digests.add(sha256(content));
      told.add(JSON.stringify({ tensors, norms, thresholds }));
    }
    expect([digests.size, told.size]).toEqual([1, 1]);
  });

  test('replaces what an earlier attempt left, and tells its progress', async () => {
    const inputs = await vectors([0, 0], [1, 2]);
    const path = join(tempDir(), 'vectors.bin');
    writeFileSync(path, new Uint8Array(100_000).fill(7));
    const seen: number[][] = [];
    const stored = await storeTaskVectors(planOf(inputs), [inputs.base, ...inputs.models], 'F32', {
      path,
      onProgress: (done, total) => seen.push([done, total]),
    });
    expect(stored.bytes).toBe(4096 + 8);
    expect(stored.read(stored.tensors[0]!).vectors[0]).toEqual(Buffer.from(fromFloat32('F32', Float32Array.of(1, 2))));
    // Read: base and model, 8 bytes each; written: both again.
    expect(seen.at(-1)).toEqual([32, 32]);
  });
});

describe('what nothing can be learned from is refused, and leaves no file', () => {
  const refusal = async (
    inputs: { base: Loaded; models: Loaded[] },
    dtype: 'F32' | 'F16' | 'BF16' = 'F32',
    parameters: Record<string, unknown> = {},
  ) => {
    const path = join(tempDir(), 'vectors.bin');
    const work = storeTaskVectors(planOf(inputs, parameters), [inputs.base, ...inputs.models], dtype, { path });
    const error: unknown = await work.then(() => 'no error').catch((reason: unknown) => reason);
    expect(readdirSync(dirname(path))).toEqual([]);
    return error;
  };

  test('models that are the base', async () => {
    const detail = (name: string) =>
      `"${name}" is identical to the base: its task vector is zero in every merged tensor`;
    expect(await refusal(await vectors([1, -0], [1, 0], [1, 2], [1, -0]))).toMatchObject({
      code: 'duplicate_model',
      detail: `${detail('m0')}; ${detail('m2')}`,
      errors: [
        { pointer: '/models/0/model', detail: detail('m0') },
        { pointer: '/models/2/model', detail: detail('m2') },
      ],
    });
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    '%s in a model, naming the first tensor that has it',
    async (bad) => {
      const dir = tempDir();
      const model = (b: number, c: number): Model => ({
        a: { dtype: 'F32', shape: [2], values: [b === 0 ? 0 : 1, 0] },
        b: { dtype: 'F16', shape: [3], values: [1, b, 2] },
        c: { dtype: 'F32', shape: [1], values: [c] },
      });
      const load = async (name: string, content: Model) => input(await writeModel(dir, name, content), name);
      const inputs = {
        base: await load('base', model(0, 0)),
        models: [await load('m0', model(1, 1)), await load('m1', model(bad, bad))],
      };
      for (const sign_resolve of [false, true]) {
        expect(await refusal(inputs, 'F16', { sign_resolve })).toMatchObject({
          code: 'invalid_checkpoint',
          detail: expect.stringMatching(/^tensor "b" of "m1" minus the base is not finite: /),
          errors: [{ pointer: '/models/1/model' }],
        });
      }
    },
  );

  test('NaN in the base', async () => {
    expect(await refusal(await vectors([1, Number.NaN], [1, 2], [3, 4]))).toMatchObject({
      code: 'invalid_checkpoint',
      errors: [{ pointer: '/models/0/model' }, { pointer: '/models/1/model' }],
    });
  });

  test('entries beyond the dtype; the last that fits is stored', async () => {
    expect(await refusal(await vectors([0], [65520]), 'F16')).toMatchObject({
      code: 'invalid_recipe',
      detail: 'tensor "w": the task vector of models/0 has an entry that F16 cannot hold',
      errors: [{ pointer: '/parameters/task_vector_dtype' }],
    });
    expect(await refusal(await vectors([0, 0], [1, 1], [1, -3.4e38]), 'BF16')).toMatchObject({
      detail: 'tensor "w": the task vector of models/1 has an entry that BF16 cannot hold',
    });
    for (const [dtype, largest] of [
      ['F16', 65519],
      ['BF16', 3.39e38],
      ['F32', 3.4e38],
    ] as const) {
      const inputs = await vectors([0], [-largest]);
      const stored = await storeTaskVectors(planOf(inputs), [inputs.base, ...inputs.models], dtype);
      const expected = Buffer.from(fromFloat32(dtype, Float32Array.of(-largest)));
      expect(stored.read(stored.tensors[0]!).vectors[0]).toEqual(expected);
    }
  });

  test('a method that learns nothing', async () => {
    const { base, models } = await vectors([0], [1]);
    const plan = planMerge({ method: 'ties', base: 'base', models: [{ model: 'm0' }] }, { base, models });
    const options = { pathOf: () => base.path, path: join(tempDir(), 'v'), dtype: 'F32' as const };
    await expect(writeTaskVectors(plan, options)).rejects.toMatchObject({
      code: 'internal',
      detail: 'ties learns nothing from task vectors',
    });
  });

  test('a signal to stop, an input that became shorter, and a path that cannot be written', async () => {
    const inputs = await vectors(Array<number>(5000).fill(0), Array<number>(5000).fill(1));
    const all = [inputs.base, ...inputs.models];
    const dir = tempDir();
    const path = join(dir, 'vectors.bin');
    const canceled = storeTaskVectors(planOf(inputs), all, 'F32', { path, signal: AbortSignal.abort() });
    await expect(canceled).rejects.toMatchObject({ code: 'canceled' });
    const plan = planOf(inputs);
    truncateSync(inputs.models[0]!.path, 10_000);
    await expect(storeTaskVectors(plan, all, 'F32', { path })).rejects.toMatchObject({ code: 'checkpoint_changed' });
    expect(existsSync(path)).toBe(false);
    mkdirSync(path);
    await expect(storeTaskVectors(plan, all, 'F32', { path })).rejects.toThrow(/directory/);
    expect(readdirSync(dir)).toEqual(['vectors.bin']);
  });
});
