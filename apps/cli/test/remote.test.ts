import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Merge, Recipe } from '@amalgam/contracts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { reportEnd } from '../src/remote/follow-merge.js';
import { contentOf, listLocalFiles } from '../src/remote/local-files.js';
import { listReferences, rewriteRecipe } from '../src/remote/rewrite-recipe.js';

const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/', import.meta.url));

describe('a recipe on its way to a service', () => {
  const recipe: Recipe = {
    method: 'linear',
    base: 'base',
    models: [{ model: 'a', adapter: 'lora', name: 'first' }, { model: 'b' }],
    slices: [{ sources: [{ model: 'a+lora', layer_range: [0, 2] }], base: 'base' }, { sources: [{ model: 'b' }] }],
    modules: { decoder: { models: [{ model: 'b' }], slices: [{ sources: [{ model: 'a+lora' }] }] } },
    tokenizer: {
      source: 'base',
      tokens: { x: { source: 'c' }, y: { source: { kind: 'model_token', model: 'b', token: 'z' } } },
    },
    tasks: [{ name: 't', model: 'a+lora', graph: 'g.onnx', data: 'd', evaluation: 'e' }],
  };

  it('names every input once: a model with its adapter is two', () => {
    expect(listReferences(recipe)).toEqual({
      checkpoints: ['base', 'a', 'lora', 'b', 'c'],
      graphs: ['g.onnx'],
      datasets: ['d', 'e'],
    });
  });

  it('has ids wherever it had references, and nothing else is changed', () => {
    const ids = new Map(['base', 'a', 'lora', 'b', 'c'].map((name) => [name, `ckpt_${name}`]));
    const sent = rewriteRecipe(recipe, {
      checkpoints: ids,
      graphs: new Map([['g.onnx', 'graph_g']]),
      datasets: new Map([
        ['d', 'data_d'],
        ['e', 'data_e'],
      ]),
    });
    expect(sent).toEqual({
      method: 'linear',
      base: 'ckpt_base',
      models: [{ model: 'ckpt_a', adapter: 'ckpt_lora', name: 'first' }, { model: 'ckpt_b' }],
      slices: [
        { sources: [{ model: 'ckpt_a+ckpt_lora', layer_range: [0, 2] }], base: 'ckpt_base' },
        { sources: [{ model: 'ckpt_b' }] },
      ],
      modules: { decoder: { models: [{ model: 'ckpt_b' }], slices: [{ sources: [{ model: 'ckpt_a+ckpt_lora' }] }] } },
      tokenizer: {
        source: 'base',
        tokens: { x: { source: 'ckpt_c' }, y: { source: { kind: 'model_token', model: 'ckpt_b', token: 'z' } } },
      },
      tasks: [{ name: 't', model: 'ckpt_a+ckpt_lora', graph: 'graph_g', data: 'data_d', evaluation: 'data_e' }],
    });
  });
});

describe('local files', () => {
  it('are those of the asset, with digests that do not depend on their order', async () => {
    const [graph] = await listLocalFiles('graph', 'digits.onnx', ZOO);
    expect(graph).toMatchObject({ path: 'digits.onnx', file: join(ZOO, 'digits.onnx') });
    expect(readFileSync(graph!.file).length).toBeGreaterThan(0);
    const other = { path: 'a', sha256: '0'.repeat(64) };
    expect(contentOf([graph!, other])).toBe(contentOf([other, graph!]));
    expect(contentOf([{ ...graph!, path: 'x.onnx' }])).not.toBe(contentOf([graph!]));
  });

  it('are read before they are sent: what is no dataset is refused, naming it', async () => {
    await expect(listLocalFiles('dataset', 'digits.onnx', ZOO)).rejects.toThrow(/digits\.onnx/);
  });
});

describe('the end of a merge', () => {
  afterEach(() => {
    process.exitCode = undefined;
    vi.restoreAllMocks();
  });

  const merge = (state: Merge['state']) =>
    ({ id: 'mrg_1', state, error: { code: 'internal', detail: 'no luck' }, result: null }) as unknown as Merge;

  it.each(['failed', 'canceled'] as const)('%s is exit code 1, and says why', (state) => {
    const said = vi.spyOn(console, 'error').mockImplementation(() => {});
    reportEnd(merge(state), {});
    expect(process.exitCode).toBe(1);
    expect(said).toHaveBeenCalledWith(`amalgam: mrg_1: ${state}: no luck`);
  });

  it('succeeded is exit code 0', () => {
    vi.spyOn(console, 'log').mockImplementation(() => {});
    reportEnd(merge('succeeded'), { json: true });
    expect(process.exitCode).toBeUndefined();
  });
});
