import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { executeMerge, type ModelInput, planMerge } from '@amalgam/engine';
import { readMergekit } from '@amalgam/mergekit';
import {
  bytesSource,
  describeCheckpoint,
  localFolder,
  readSafetensors,
  toFloat32,
  writeSafetensors,
} from '@amalgam/tensors';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/** Recorded outputs of mergekit (fixtures/mergekit/make.py), and ours of the same configuration. */

const FIXTURES = fileURLToPath(new URL('fixtures/mergekit/', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'amalgam-mergekit-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Case {
  name: string;
  group: string;
  config: Record<string, unknown>;
}

const recorded = JSON.parse(readFileSync(join(FIXTURES, 'cases.json'), 'utf8')) as { config: object; cases: Case[] };
const inGroup = (...groups: string[]) => recorded.cases.filter(({ group }) => groups.includes(group));

interface Stored {
  shape: readonly number[];
  values: Float32Array;
}
type Tensors = Map<string, Stored>;

/** Tensors of a fixture, by what stands before the colon in their names. */
async function readFixture(file: string): Promise<Map<string, Tensors>> {
  const all = await readSafetensors(bytesSource(file, readFileSync(join(FIXTURES, file))));
  const parts = new Map<string, Tensors>();
  for (const [name, { dtype, shape, data }] of all) {
    const [part, tensor] = name.split(':') as [string, string];
    if (!parts.has(part)) parts.set(part, new Map());
    parts.get(part)!.set(tensor, { shape, values: toFloat32(dtype, data) });
  }
  return parts;
}

let inputs: Map<string, Tensors>;
beforeAll(async () => {
  inputs = await readFixture('inputs.safetensors');
  for (const [key, tensors] of inputs) {
    await mkdir(join(dir, key));
    await writeFile(join(dir, key, 'config.json'), JSON.stringify(recorded.config));
    await writeSafetensors(
      join(dir, key, 'model.safetensors'),
      [...tensors].map(([name, { shape, values }]) => ({
        name,
        dtype: 'F32' as const,
        shape: [...shape],
        data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
      })),
    );
  }
});

async function input(key: string): Promise<ModelInput> {
  const folder = join(dir, key);
  return { reference: key, identity: key, name: key, checkpoint: await describeCheckpoint(localFolder(folder)) };
}

/** What our engine makes of a configuration of mergekit's. */
async function mergeOurs({ name, config }: Case): Promise<Tensors> {
  const { recipe } = readMergekit(config);
  const base = recipe.base === undefined ? null : await input(recipe.base);
  const models = await Promise.all(recipe.models.map(({ model }) => input(model)));
  const plan = planMerge(recipe, { base, models }, { threads: 1 });
  const outDir = join(dir, `out-${name}`);
  await mkdir(outDir);
  await executeMerge(plan, { outDir, pathOf: (i, file) => join(dir, plan.inputs[i]!.reference, file), digests: false });
  const file = readFileSync(join(outDir, 'model.safetensors'));
  const tensors = await readSafetensors(bytesSource(name, file));
  return new Map([...tensors].map(([key, { dtype, shape, data }]) => [key, { shape, values: toFloat32(dtype, data) }]));
}

/** Distance of neighbouring float32 numbers at x. */
function unitAt(x: number): number {
  return 2 ** (Math.max(Math.floor(Math.log2(Math.abs(x))), -126) - 23);
}

/**
 * The largest difference in units in the last place of the entry's largest number, in or out: sums of a few numbers cannot do better
 * where these cancel.
 */
function distance(name: string, ours: Stored, theirs: Stored, keys: string[]): number {
  const around = keys.map((key) => inputs.get(key)!.get(name)?.values);
  return theirs.values.reduce((most, x, i) => {
    const largest = Math.max(Math.abs(x), ...around.map((values) => Math.abs(values?.[i] ?? 0)));
    return Math.max(most, Math.abs(ours.values[i]! - x) / unitAt(largest));
  }, 0);
}

/** Every model that the configuration names, the base among them. */
function modelsOf(config: unknown): string[] {
  const named = [...JSON.stringify(config).matchAll(/"(?:model|base_model)":"(\w+)"/g)].map((match) => match[1]!);
  return [...new Set(named)];
}

/**
 * Two units in the last place, where every number of the formula is one of the recipe or of the tensors. Where factors are measured
 * (norms, angles, sums of magnitudes, mean squares) mergekit forms them in float32 and we in float64: its factors are off by
 * some units, and so are its results.
 */
function tolerance(group: string, name: string): number {
  return group === 'angles' || /slerp|rescale|normalized$|^sce/.test(name) ? 8 : 2;
}

describe.each(['plain', 'angles', 'sums', 'elections', 'layers'])('%s', (group) => {
  let outputs: Map<string, Tensors>;
  beforeAll(async () => {
    outputs = await readFixture(`outputs-${group}.safetensors`);
  });

  test.each(inGroup(group))('$name', async (item) => {
    const ours = await mergeOurs(item);
    const theirs = outputs.get(item.name)!;
    expect([...ours.keys()].sort()).toEqual([...theirs.keys()].sort());
    const keys = modelsOf(item.config);
    const distances = [...theirs].map(([name, stored]) => {
      expect(ours.get(name)!.shape).toEqual(stored.shape);
      return distance(name, ours.get(name)!, stored, keys);
    });
    expect(Math.max(...distances)).toBeLessThanOrEqual(tolerance(group, item.name));
  });
});

describe('random masks, which are others than mergekit’s', () => {
  let outputs: Map<string, Tensors>;
  beforeAll(async () => {
    outputs = await readFixture('outputs-random.safetensors');
  });

  test.each(inGroup('random'))('$name', async (item) => {
    const ours = await mergeOurs(item);
    const theirs = outputs.get(item.name)!;
    const [base, model] = [inputs.get('base')!, inputs.get('c')!];
    const isRescaled = item.name.endsWith('rescaled');
    let [elements, keptOurs, keptTheirs] = [0, 0, 0];
    for (const [name, { values }] of theirs) {
      const [from, to, mine] = [base.get(name)!.values, model.get(name)!.values, ours.get(name)!.values];
      const changes = (list: Float32Array) => list.map((x, i) => x - from[i]!);
      const [a, b, whole] = [changes(mine), changes(values), changes(to)];
      const magnitudes = (list: Float32Array) => list.reduce((sum, x) => sum + Math.abs(x), 0);
      elements += a.length;
      keptOurs += a.filter((x) => x !== 0).length;
      keptTheirs += b.filter((x) => x !== 0).length;
      if (isRescaled) {
        // Each tensor keeps its sum of magnitudes, unless nothing of it is left.
        for (const list of [a, b]) {
          if (magnitudes(list) > 0) expect(magnitudes(list) / magnitudes(whole)).toBeCloseTo(1, 5);
        }
      } else {
        // What both keep is the same.
        a.forEach((x, i) => {
          if (x !== 0 && b[i] !== 0) expect(mine[i]).toBe(values[i]);
        });
      }
    }
    // A share of 0.6 of some thousand entries, within four standard deviations.
    const bound = 4 * Math.sqrt((0.6 * 0.4) / elements);
    expect(Math.abs(keptOurs / elements - 0.6)).toBeLessThan(bound);
    expect(Math.abs(keptTheirs / elements - 0.6)).toBeLessThan(bound);
  });
});
