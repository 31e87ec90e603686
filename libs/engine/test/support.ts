import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Dtype, dtypeBytes, type Recipe } from '@amalgam/contracts';
import {
  bytesSource,
  describeCheckpoint,
  fromFloat32,
  localFileFolder,
  localFolder,
  readSafetensors,
  toFloat32,
  writeSafetensors,
} from '@amalgam/tensors';
import { onTestFinished } from 'vitest';
import { type ExecuteOptions, executeMerge } from '../src/execute.js';
import { planMerge } from '../src/plan.js';
import { type TaskVectorOptions, writeTaskVectors } from '../src/task-vectors.js';
import type { MergePlan, ModelInput, PlanOptions } from '../src/types.js';
import type { VectorDtype } from '../src/vector-layout.js';

export interface Spec {
  dtype: Dtype;
  shape: number[];
  values: number[] | Float32Array;
}
export type Model = Record<string, Spec>;

export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'amalgam-engine-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Writes a model to a file; values are rounded to the dtype. */
export async function writeModel(dir: string, name: string, model: Model): Promise<string> {
  const path = join(dir, `${name}.safetensors`);
  await writeSafetensors(
    path,
    Object.entries(model).map(([tensor, { dtype, shape, values }]) => ({
      name: tensor,
      dtype,
      shape,
      data: encode(dtype, Float32Array.from(values)),
    })),
  );
  return path;
}

function encode(dtype: Dtype, values: Float32Array): Uint8Array {
  if (dtype === 'I64') return new Uint8Array(BigInt64Array.from(values, (x) => BigInt(Math.trunc(x))).buffer);
  return fromFloat32(dtype, values);
}

export interface Loaded extends ModelInput {
  path: string;
}

export async function input(path: string, name: string): Promise<Loaded> {
  const folder = path.endsWith('.safetensors') ? localFileFolder(path) : localFolder(path);
  return { reference: name, identity: path, name, checkpoint: await describeCheckpoint(folder), path };
}

/** Plans and executes a merge of local files; returns each output file's bytes, and its digest, by path. */
export async function merge(
  recipe: Omit<Recipe, 'models' | 'base'> & { models?: { parameters?: Record<string, unknown> }[] },
  base: Loaded | null,
  models: Loaded[],
  options: PlanOptions & Partial<ExecuteOptions> = {},
) {
  const full: Recipe = {
    ...recipe,
    ...(base === null ? {} : { base: base.reference }),
    models: models.map((model, i) => ({ model: model.reference, ...(recipe.models?.[i] ?? {}) })),
  };
  const plan = planMerge(full, { base, models }, options);
  const outDir = tempDir();
  const all = base === null ? models : [base, ...models];
  const result = await executeMerge(plan, {
    pathOf: (index, file) =>
      all[index]!.path.endsWith('.safetensors') ? all[index]!.path : join(all[index]!.path, file),
    outDir,
    ...options,
  });
  const files = new Map<string, Uint8Array>();
  for (const { path } of result.files) files.set(path, readFileSync(join(outDir, path)));
  return { plan, ...result, contents: files, outDir, left: readdirSync(outDir) };
}

/** A recipe of adamerging over `models`, each with a task. */
export function tunedRecipe(parameters: Record<string, unknown>, base: Loaded, models: Loaded[]): Recipe {
  return {
    method: 'adamerging',
    base: base.reference,
    models: models.map(({ reference }) => ({ model: reference })),
    parameters,
    tasks: models.map(({ reference, name }) => ({
      name,
      model: reference,
      graph: `${name}.onnx`,
      data: `${name}.data`,
    })),
  };
}

/** Writes the task vectors of a plan; `read` gives each tensor's base and task vectors as they lie in the file. */
export async function storeTaskVectors(
  plan: MergePlan,
  inputs: Loaded[],
  dtype: VectorDtype,
  options: Partial<TaskVectorOptions> = {},
) {
  const path = join(tempDir(), 'tuning', 'vectors.bin');
  const stored = await writeTaskVectors(plan, { pathOf: (i) => inputs[i]!.path, path, dtype, ...options });
  const bytes = readFileSync(stored.path);
  const models = inputs.length - 1;
  const read = ({ base, vectors, elements }: (typeof stored.tensors)[number]) => {
    const row = elements * dtypeBytes(dtype);
    return {
      base: bytes.subarray(base, base + elements * 4),
      vectors: Array.from({ length: models }, (_, k) => bytes.subarray(vectors + k * row, vectors + (k + 1) * row)),
    };
  };
  return { ...stored, content: bytes, read };
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Tensors of a safetensors file as float32, with dtype and raw bytes. */
export async function decode(bytes: Uint8Array) {
  const tensors = await readSafetensors(bytesSource('result', bytes));
  return new Map(
    [...tensors].map(([name, { dtype, shape, data }]) => [
      name,
      { dtype, shape, data, values: /^[IU]/.test(dtype) ? null : toFloat32(dtype, data) },
    ]),
  );
}
