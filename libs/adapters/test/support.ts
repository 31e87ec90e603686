import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Dtype, isFloat } from '@amalgam/contracts';
import {
  type CheckpointDescription,
  type CheckpointTensor,
  describeCheckpoint,
  fileSource,
  fromFloat32,
  localFileFolder,
  localFolder,
  readSafetensors,
  toFloat32,
  writeSafetensors,
} from '@amalgam/tensors';
import { expect, onTestFinished } from 'vitest';
import { type AdapterDeltas, type AdapterFactor, adapterDeltas } from '../src/index.js';

export interface Dense {
  shape: number[];
  values: Float32Array;
}
export type Model = Map<string, Dense>;

export interface Opened {
  path: string;
  description: CheckpointDescription;
  tensors: Model;
}

export const FIXTURES = join(import.meta.dirname, 'fixtures');

export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'amalgam-adapters-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A folder, or one file. */
export async function open(path: string): Promise<Opened> {
  const isFile = path.endsWith('.safetensors');
  const description = await describeCheckpoint(isFile ? localFileFolder(path) : localFolder(path));
  const tensors: Model = new Map();
  for (const file of description.weightFiles) {
    const source = fileSource(isFile ? path : join(path, file));
    for (const [name, { dtype, shape, data }] of await readSafetensors(source)) {
      if (isFloat(dtype)) tensors.set(name, { shape, values: toFloat32(dtype, data) });
    }
    await source.close();
  }
  return { path, description, tensors };
}

/** Tensors of a model as tests write them: shape, and values or what makes them. */
export type Spec = Record<string, { shape: number[]; values?: number[] | Float32Array; dtype?: Dtype }>;

/** Deterministic values between -1 and 1, in steps that float32 holds. */
export function values(count: number, seed: number): Float32Array {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 23 - 1;
  });
}

export async function writeWeights(path: string, spec: Spec): Promise<void> {
  let seed = 0;
  const tensors = Object.entries(spec).map(([name, { shape, values: given, dtype = 'F32' }]) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const data = given ?? values(count, ++seed + path.length);
    const bytes = dtype.startsWith('I') ? new Uint8Array(count * 8) : fromFloat32(dtype, Float32Array.from(data));
    return { name, dtype, shape, data: bytes };
  });
  await writeSafetensors(path, tensors);
}

export async function writeBase(spec: Spec): Promise<Opened> {
  const path = join(tempDir(), 'base.safetensors');
  await writeWeights(path, spec);
  return open(path);
}

export async function writeAdapter(config: Record<string, unknown>, spec: Spec): Promise<Opened> {
  const dir = join(tempDir(), 'adapter');
  await mkdir(dir);
  await writeFile(join(dir, 'adapter_config.json'), JSON.stringify({ peft_type: 'LORA', ...config }));
  await writeWeights(join(dir, 'adapter_model.safetensors'), spec);
  return open(dir);
}

/** base + scale · left right, entry by entry in float64, and whole tensors put in place. */
export function applyDensely(base: Opened, adapter: Opened): Model {
  const { deltas, replaced, added }: AdapterDeltas = adapterDeltas(adapter.description, base.description);
  const result: Model = new Map();
  for (const [name, tensor] of base.tensors) {
    const from = replaced.get(name);
    const own = from === undefined ? tensor : at(adapter, from);
    const delta = deltas.get(name);
    const out = Float32Array.from(own.values);
    if (delta !== undefined) {
      const { rows, columns, rank, scale, left, right } = delta;
      expect(rows * columns).toBe(out.length);
      const product = multiply(readFactor(adapter, left, rows, rank), readFactor(adapter, right, rank, columns));
      for (let i = 0; i < out.length; i++) {
        const [row, column] = [Math.floor(i / columns), i % columns];
        out[i] = own.values[i]! + scale * product[row]![column]!;
      }
    }
    result.set(name, { shape: own.shape, values: out });
  }
  for (const [name, tensor] of added) result.set(name, at(adapter, tensor));
  return result;
}

export function at(opened: Opened, { name }: CheckpointTensor): Dense {
  const tensor = opened.tensors.get(name);
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  return tensor;
}

export function readFactor(adapter: Opened, { tensor, transposed }: AdapterFactor, rows: number, columns: number) {
  const { values: stored } = at(adapter, tensor);
  expect(stored.length).toBe(rows * columns);
  return Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, j) => stored[transposed ? j * rows + i : i * columns + j]!),
  );
}

export function multiply(a: number[][], b: number[][]): number[][] {
  const columns = b[0]?.length ?? 0;
  return a.map((row) =>
    Array.from({ length: columns }, (_, j) => row.reduce((sum, value, k) => sum + value * b[k]![j]!, 0)),
  );
}

/** Same names and shapes; values within `tolerance` of each other, relative to 1 or to their size. */
export function expectSameModel(actual: Model, expected: Model, tolerance = 1e-6): void {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, { shape, values: wanted }] of expected) {
    const found = actual.get(name)!;
    expect({ name, shape: found.shape }).toEqual({ name, shape });
    const worst = wanted.reduce(
      (most, value, i) => Math.max(most, Math.abs(value - found.values[i]!) / Math.max(1, Math.abs(value))),
      0,
    );
    expect({ name, worst: worst <= tolerance ? 'within tolerance' : worst }).toEqual({
      name,
      worst: 'within tolerance',
    });
  }
}
