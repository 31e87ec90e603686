import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { adapterDeltas } from '../src/index.js';
import { applyDensely, expectSameModel, FIXTURES, open, type Spec, writeAdapter, writeBase } from './support.js';

/** One square target in a numbered block, and a rectangular one. */
const BASE: Spec = {
  'model.layers.0.q.weight': { shape: [4, 4] },
  'model.layers.0.up.weight': { shape: [6, 4] },
  'model.embed.weight': { shape: [9, 4] },
  'model.norm.weight': { shape: [4] },
};
const Q = 'base_model.model.model.layers.0.q';
const UP = 'base_model.model.model.layers.0.up';
const ofQ = (rank: number): Spec => ({
  [`${Q}.lora_A.weight`]: { shape: [rank, 4] },
  [`${Q}.lora_B.weight`]: { shape: [4, rank] },
});
const CONFIG = { r: 2, lora_alpha: 4 };

const deltasOf = async (spec: Spec, config: Record<string, unknown> = CONFIG, base: Spec = BASE) => {
  const [adapter, model] = [await writeAdapter(config, spec), await writeBase(base)];
  return adapterDeltas(adapter.description, model.description, { adapter: 'A', base: 'B', pointer: '/models/0/model' });
};

describe('deltas of an adapter', () => {
  it.each([
    ['patterns', 'ranks and alphas by pattern, and an embedding'],
    ['rslora', 'rank-stabilised scales'],
    ['whole', 'modules_to_save and all biases'],
    ['conv1d', 'GPT-2’s weights, stored the other way round, a square one among them'],
    ['convolutions', 'convolutions of one and two dimensions, and of one pixel'],
    ['headless', 'a base that was saved without its head'],
  ])('are what PEFT’s merge_and_unload adds: %s (%s)', async (fixture) => {
    const [base, adapter, merged] = await Promise.all([
      open(join(FIXTURES, fixture, 'base.safetensors')),
      open(join(FIXTURES, fixture)),
      open(join(FIXTURES, fixture, 'merged.safetensors')),
    ]);
    expectSameModel(applyDensely(base, adapter), merged.tensors);
  });

  it('take the rank and alpha of the module into the scale', async () => {
    const { deltas } = await deltasOf(ofQ(2));
    expect(deltas.get('model.layers.0.q.weight')).toMatchObject({ rows: 4, columns: 4, rank: 2, scale: 2 });
  });

  it('use the name of an adapter in the middle of a tensor’s name', async () => {
    const { deltas } = await deltasOf({
      [`${Q}.lora_A.mine.weight`]: { shape: [2, 4] },
      [`${Q}.lora_B.mine.weight`]: { shape: [4, 2] },
    });
    expect([...deltas.keys()]).toEqual(['model.layers.0.q.weight']);
  });

  it('take a square weight as the config says where the block does not show how it is stored', async () => {
    for (const flag of [false, true]) {
      const { deltas } = await deltasOf(ofQ(2), { ...CONFIG, fan_in_fan_out: flag });
      expect(deltas.get('model.layers.0.q.weight')?.left.transposed).toBe(flag);
    }
  });

  it('keep a trained head that the base lacks under `added`', async () => {
    const spec = { ...ofQ(2), 'base_model.model.score.modules_to_save.default.weight': { shape: [3, 4] } };
    const { added, replaced } = await deltasOf(spec, { ...CONFIG, modules_to_save: ['score'] });
    expect([...added.keys()]).toEqual(['score.weight']);
    expect(replaced.size).toBe(0);
  });

  it('come on top of an embedding that was saved along', async () => {
    const { deltas, replaced } = await deltasOf({
      'base_model.model.model.embed.base_layer.weight': { shape: [11, 4] },
      'base_model.model.model.embed.lora_embedding_A': { shape: [2, 11] },
      'base_model.model.model.embed.lora_embedding_B': { shape: [4, 2] },
    });
    expect(replaced.get('model.embed.weight')?.shape).toEqual([11, 4]);
    expect(deltas.get('model.embed.weight')).toMatchObject({ rows: 11, columns: 4, left: { transposed: true } });
  });

  it('need an unambiguous change of prefix', async () => {
    const base = { 'a.layers.0.q.weight': { shape: [4, 4] }, 'layers.0.q.weight': { shape: [4, 4] } };
    const spec = {
      'base_model.model.m.layers.0.q.lora_A.weight': { shape: [2, 4] },
      'base_model.model.m.layers.0.q.lora_B.weight': { shape: [4, 2] },
    };
    expect([...(await deltasOf(spec, CONFIG, { 'layers.0.q.weight': { shape: [4, 4] } })).deltas.keys()]).toEqual([
      'layers.0.q.weight',
    ]);
    const two = { 'a.m.layers.0.q.weight': { shape: [4, 4] }, 'b.m.layers.0.q.weight': { shape: [4, 4] } };
    await expectError(
      () => deltasOf(spec, CONFIG, two),
      'tensor_missing',
      'behind "a" or behind "b"',
      'cannot be told',
    );
    expect([...(await deltasOf(spec, CONFIG, base)).deltas.keys()]).toEqual(['layers.0.q.weight']);
  });
});

describe('an adapter that does not fit', () => {
  it('was made for another base', async () => {
    const spec = { [`${UP}.lora_A.weight`]: { shape: [2, 5] }, [`${UP}.lora_B.weight`]: { shape: [6, 2] } };
    const error = await expectError(
      () => deltasOf(spec),
      'shape_mismatch',
      /A: its target "model.layers.0.up.weight" has shape \[6, 4\].*\[6, 2\] and \[2, 5\].*another base/,
    );
    expect(error.errors[0]?.pointer).toBe('/models/0/model');
  });

  it('has a target that the base lacks, and every such target is named', async () => {
    const spec = {
      ...ofQ(2),
      'base_model.model.lm_head.lora_A.weight': { shape: [2, 4] },
      'base_model.model.lm_head.lora_B.weight': { shape: [9, 2] },
      'base_model.model.model.layers.7.q.lora_A.weight': { shape: [2, 4] },
      'base_model.model.model.layers.7.q.lora_B.weight': { shape: [4, 2] },
    };
    const error = await expectError(() => deltasOf(spec), 'tensor_missing', '"lm_head.weight", which B does not have');
    expect(error.errors.map(({ detail }) => detail).join()).toContain('model.layers.7.q.weight');
  });

  it('has the head for a target, which the base shares with its embedding', async () => {
    const head: Spec = {
      'base_model.model.lm_head.lora_A.weight': { shape: [2, 4] },
      'base_model.model.lm_head.lora_B.weight': { shape: [9, 2] },
    };
    const tied: Spec = { ...BASE, 'model.embed_tokens.weight': { shape: [9, 4] } };
    await expectError(
      () => deltasOf(head, CONFIG, tied),
      'tensor_missing',
      /"lm_head.weight", which B does not have: its head is its embedding \(tie_word_embeddings\), which an adapter of the head would change too/,
    );
  });

  it.each<[string, Spec, Record<string, unknown>, RegExp]>([
    [
      'A without B',
      { [`${Q}.lora_A.weight`]: { shape: [2, 4] } },
      {},
      /lora_A.weight" is there without its other factor B/,
    ],
    [
      'B without A',
      { [`${Q}.lora_B.weight`]: { shape: [4, 2] } },
      {},
      /lora_B.weight" is there without its other factor A/,
    ],
    ['a rank that is not the config’s', ofQ(3), {}, /has rank 3, but adapter_config.json gives 2/],
    [
      'factors of different rank',
      { [`${Q}.lora_A.weight`]: { shape: [2, 4] }, [`${Q}.lora_B.weight`]: { shape: [4, 3] } },
      {},
      /has rank 2, .* has rank 3/,
    ],
    ['a magnitude', { ...ofQ(2), [`${Q}.lora_magnitude_vector`]: { shape: [4] } }, {}, /DoRA, which is not supported/],
    ['a bias of B', { ...ofQ(2), [`${Q}.lora_B.bias`]: { shape: [4] } }, {}, /a bias of B/],
    [
      'names of other programs',
      { 'lora_unet_q.lora_down.weight': { shape: [2, 4] } },
      {},
      /convert the adapter to PEFT/,
    ],
    ['no tensors', {}, {}, /has no tensor of a LoRA/],
    [
      'two adapters',
      {
        ...ofQ(2),
        [`${UP}.lora_A.other.weight`]: { shape: [2, 4] },
        [`${UP}.lora_B.other.weight`]: { shape: [6, 2] },
      },
      {},
      /several adapters, "", "other"/,
    ],
    ['two factors of one name', { ...ofQ(2), [`${Q}.lora_A.x.weight`]: { shape: [2, 4] } }, {}, /for the same module/],
  ])('has %s', async (_, spec, config, message) => {
    await expectError(() => deltasOf(spec, { ...CONFIG, ...config }), 'invalid_checkpoint', message);
  });

  it('has a whole tensor that the base lacks and the config does not announce', async () => {
    const spec = { ...ofQ(2), 'base_model.model.score.weight': { shape: [3, 4] } };
    await expectError(() => deltasOf(spec), 'tensor_missing', '"score.weight", which B does not have');
  });

  it('is for a base of integers', async () => {
    const base: Spec = { 'model.layers.0.q.weight': { shape: [4, 4], dtype: 'I64' } };
    await expectError(() => deltasOf(ofQ(2), CONFIG, base), 'dtype_unsupported', 'not to a quantised model');
  });
});
