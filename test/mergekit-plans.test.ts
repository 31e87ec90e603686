import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FieldError, isAmalgamError } from '@amalgam/contracts';
import { type MergePlan, type ModelInput, planMerge } from '@amalgam/engine';
import { movePointers, parseRecipeText, readMergekit } from '@amalgam/mergekit';
import { describeCheckpoint, localFolder } from '@amalgam/tensors';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FAMILIES, writeModel } from '../libs/architecture/test/models/index.js';

/** What only the models' headers tell of a document of mergekit, before any weight is read. */

const dir = mkdtempSync(join(tmpdir(), 'amalgam-plans-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const models = new Map<string, ModelInput>();
beforeAll(async () => {
  const kinds = {
    base: FAMILIES.llama(),
    a: FAMILIES.llama(),
    b: FAMILIES.llama(),
    deep: FAMILIES.llama({ layers: 6 }),
    words: FAMILIES.llama({ vocabulary: 48 }),
    flat: { shapes: { 'first.weight': [4, 4], 'second.weight': [4, 4] }, config: {} },
    flatter: { shapes: { 'first.weight': [4, 4], 'second.weight': [4, 4] }, config: {} },
  };
  for (const [name, model] of Object.entries(kinds)) {
    const folder = join(dir, name);
    await writeModel(folder, model);
    const checkpoint = await describeCheckpoint(localFolder(folder, name));
    models.set(name, { reference: name, identity: name, name, checkpoint });
  }
});

function plan(text: string): MergePlan {
  const { recipe, pointerOf } = readMergekit(parseRecipeText(text, 'test'));
  const input = (name: string) => models.get(name)!;
  try {
    return planMerge(recipe, {
      base: recipe.base === undefined ? null : input(recipe.base),
      models: recipe.models.map(({ model }) => input(model)),
      adapters: recipe.models.map(() => null),
    });
  } catch (error) {
    throw movePointers(error, pointerOf);
  }
}

function problems(text: string): FieldError[] {
  try {
    plan(text);
  } catch (error) {
    if (isAmalgamError(error)) return error.errors;
    throw error;
  }
  return [];
}

const sliced = (...sources: string[]) => `slices: [${sources.map((list) => `{ sources: [${list}] }`).join(', ')}]\n`;
const passthrough = 'merge_method: passthrough\n';

describe('refuses, with the place in the document', () => {
  test('layers that are not there', () => {
    expect(problems(passthrough + sliced('{ model: a, layer_range: [2, 5] }'))).toEqual([
      {
        pointer: '/slices/0/sources/0/layer_range',
        detail: expect.stringMatching(/is outside of "a", which has 4 layers/) as string,
      },
    ]);
  });

  test('whole models of unequal depth', () => {
    const text = `merge_method: slerp\nbase_model: deep\n${sliced('{ model: a }, { model: deep }')}parameters: { t: 0.5 }`;
    // The base is the recipe's first source and the document's second.
    expect(problems(text).map(({ pointer }) => pointer)).toEqual([
      expect.stringMatching(/^\/slices\/0\/sources\/[01]/),
    ]);
  });

  test('gradients of models without layers', () => {
    const text = `merge_method: linear
models:
  - { model: flat, parameters: { weight: [0, 1] } }
  - { model: flatter, parameters: { weight: 1 } }`;
    expect(problems(text)).toEqual([
      { pointer: '/models/0/parameters/weight', detail: expect.stringContaining('"flat" has none') as string },
    ]);
  });

  test('vocabularies of different size without a tokenizer', () => {
    const text = `merge_method: linear
models:
  - { model: a, parameters: { weight: 1 } }
  - { model: words, parameters: { weight: 1 } }`;
    expect(problems(text).map(({ pointer, detail }) => [pointer, /\[40, 16\].*\[48, 16\]/.test(detail)])).toEqual([
      ['/models/1/model', true],
      ['/models/1/model', true],
    ]);
  });

  test('modules that a model has not', () => {
    const text = `${passthrough}modules: { vision_tower: { models: [{ model: a }] } }`;
    expect(problems(text)).toEqual([
      { pointer: '/modules/vision_tower', detail: expect.stringContaining('no module "vision_tower"') as string },
    ]);
  });

  test('the same model as base and as another path to it', () => {
    const twin = models.get('base')!;
    models.set('twin', { ...twin, reference: 'twin' });
    const text = `merge_method: ties
base_model: base
models:
  - { model: base }
  - { model: twin, parameters: { weight: 1 } }`;
    expect(problems(text)).toEqual([
      { pointer: '/models/1/model', detail: expect.stringContaining('is the base') as string },
    ]);
  });
});

test('filters that match nothing are warnings', () => {
  const { warnings } = plan(`merge_method: linear
models:
  - { model: a, parameters: { weight: [{ filter: self_atn, value: 0.5 }, { value: 1 }] } }
  - { model: b, parameters: { weight: [{ filter: self_attn, value: 0.5 }, { value: 1 }] } }`);
  expect(warnings).toEqual(['/models/0/parameters/weight/0/filter: no tensor’s name contains "self_atn"']);
});

describe('plans', () => {
  test('a base in slices, with layers of its own', () => {
    const { merged, configChanges } = plan(`merge_method: task_arithmetic
base_model: base
${sliced(
  '{ model: base, layer_range: [0, 2] }, { model: a, layer_range: [2, 4], parameters: { weight: 1 } }',
  '{ model: base, layer_range: [2, 4] }, { model: deep, layer_range: [4, 6], parameters: { weight: 0.5 } }',
)}`);
    expect(Math.max(...merged.map(({ name }) => Number(/layers\.(\d+)/.exec(name)?.[1] ?? 0)))).toBe(3);
    const columns = (name: string) => merged.find((tensor) => tensor.name === name)?.columns;
    expect(columns('model.layers.1.mlp.up_proj.weight')).toEqual([0]);
    expect(columns('model.layers.2.mlp.up_proj.weight')).toEqual([1]);
    expect(configChanges).not.toHaveProperty('num_hidden_layers', 6);
  });

  test('gradients along each slice anew, and outside of layers their first value', () => {
    const { merged, settings } = plan(`merge_method: slerp
base_model: a
${sliced(
  '{ model: a, layer_range: [0, 3] }, { model: b, layer_range: [0, 3] }',
  '{ model: a, layer_range: [1, 4] }, { model: b, layer_range: [1, 4] }',
)}parameters: { t: [0.2, 0.4] }`);
    const t = (name: string) => {
      const tensor = merged.find((one) => one.name === name)!;
      return settings[tensor.settings]?.global['t'] as number;
    };
    const layers = [0, 1, 2, 3, 4, 5].map((layer) => t(`model.layers.${layer}.mlp.up_proj.weight`));
    expect(layers.map((value) => value.toFixed(6))).toEqual(
      [0.2, 0.3, 0.4, 0.2, 0.3, 0.4].map((value) => value.toFixed(6)),
    );
    for (const name of ['model.embed_tokens.weight', 'model.norm.weight', 'lm_head.weight']) expect(t(name)).toBe(0.2);
  });
});
