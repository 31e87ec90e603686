import { describe, expect, it } from 'vitest';
import type { Family } from './models/index.js';
import { arranged, changed, make, names, refusal, slice, tensorOf } from './support.js';

const STACK = [slice(['a', 0, 3]), slice(['b', 1, 4])];

const block = (family: Family) => (family === 'gpt2' ? 'transformer.h' : 'model.layers');

describe('slices', () => {
  it.each<Family>(['llama', 'mistral', 'qwen2', 'qwen3', 'gemma', 'phi', 'gpt2', 'mixtral', 'bert', 'vit'])(
    'of %s make a model of as many layers, as transformers would write it',
    async (family) => {
      const six = make(family, { layers: 6 });
      const result = await arranged({ slices: STACK }, { a: make(family), b: make(family) });
      expect(names(result)).toEqual(Object.keys(six.shapes).sort());
      expect(changed(make(family).config, result)).toEqual(six.config);
      expect([result.layers, result.warnings]).toEqual([6, []]);
    },
  );

  it.each<Family>(['llama', 'gpt2', 'mixtral'])('of %s take layers from where they say', async (family) => {
    const result = await arranged({ slices: STACK }, { a: make(family), b: make(family) });
    const rest = family === 'gpt2' ? 'mlp.c_fc.weight' : 'self_attn.q_proj.weight';
    const sources = Array.from({ length: 6 }, (_, i) => tensorOf(result, `${block(family)}.${i}.${rest}`).models);
    expect(sources.map(([source]) => [source?.model, source?.name])).toEqual(
      [0, 1, 2, 1, 2, 3].map((layer, i) => [i < 3 ? 0 : 1, `${block(family)}.${layer}.${rest}`]),
    );
  });

  it('take what is before the layers from the first one, what is after them from the last one', async () => {
    const result = await arranged({ slices: STACK }, { a: make('llama'), b: make('llama') });
    const modelOf = (name: string) => tensorOf(result, name).models.map(({ model }) => model);
    expect(['model.embed_tokens.weight', 'model.norm.weight', 'lm_head.weight'].map(modelOf)).toEqual([[0], [1], [1]]);
    const { slice: first } = tensorOf(result, 'model.embed_tokens.weight');
    const { slice: last, t } = tensorOf(result, 'lm_head.weight');
    expect([first, last, t]).toEqual([0, 1, 0]);
  });

  it('run from 0 to 1 each', async () => {
    const result = await arranged({ slices: [slice(['a', 0, 3]), slice(['a', 3, 4])] }, { a: make('llama') });
    const places = [0, 1, 2, 3].map((i) => tensorOf(result, `model.layers.${i}.input_layernorm.weight`));
    expect(places.map(({ t, slice: index }) => [index, t])).toEqual([
      [0, 0],
      [0, 0.5],
      [0, 1],
      [1, 1],
    ]);
  });

  it('know which of their sources a tensor is from, also when a model is there twice', async () => {
    const result = await arranged(
      {
        slices: [{ sources: [...slice(['base', 0, 2], ['a', 0, 2]).sources, ...slice(['a', 2, 4]).sources] }],
        base: 'base',
      },
      { base: make('llama'), a: make('llama') },
    );
    expect(tensorOf(result, 'model.layers.1.mlp.up_proj.weight')).toMatchObject({
      base: { model: null, name: 'model.layers.1.mlp.up_proj.weight' },
      models: [
        { model: 0, name: 'model.layers.1.mlp.up_proj.weight' },
        { model: 0, name: 'model.layers.3.mlp.up_proj.weight' },
      ],
      sources: [1, 2],
    });
  });

  it('have no base where the base is none of their sources', async () => {
    const result = await arranged(
      { slices: [slice(['a', 0, 2])], base: 'base' },
      { base: make('llama'), a: make('llama') },
    );
    expect(result.tensors.every(({ base }) => base === null)).toBe(true);
  });

  it('may have a base of their own', async () => {
    const result = await arranged(
      { slices: [{ ...slice(['a', 0, 2], ['b', 2, 4]), base: 'b' }], base: 'base' },
      { base: make('llama'), a: make('llama'), b: make('llama') },
    );
    expect(tensorOf(result, 'model.layers.0.mlp.up_proj.weight')).toMatchObject({
      base: { model: 1, name: 'model.layers.2.mlp.up_proj.weight' },
      models: [{ model: 0, name: 'model.layers.0.mlp.up_proj.weight' }],
      sources: [0],
    });
  });

  it('take whole models where they say no range', async () => {
    const result = await arranged({ slices: [{ sources: [{ model: 'a' }] }] }, { a: make('llama', { layers: 5 }) });
    expect([result.layers, result.config]).toEqual([5, {}]);
  });

  it('keep the position biases of T5 with the first block, whichever layers are chosen', async () => {
    const result = await arranged({ modules: { encoder: { slices: [slice(['a', 2, 4])] } } }, { a: make('t5') });
    const bias = 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight';
    expect(names(result).filter((name) => /^encoder.*bias/.test(name))).toEqual([bias]);
    expect(tensorOf(result, bias)).toMatchObject({ models: [{ model: 0, name: bias }], t: 0 });
    expect(tensorOf(result, 'encoder.block.0.layer.0.SelfAttention.q.weight').models).toEqual([
      { model: 0, name: 'encoder.block.2.layer.0.SelfAttention.q.weight' },
    ]);
  });

  it('keep blocks behind the layers behind them', async () => {
    const deep = make('llama', { layers: 5 });
    const config = { ...deep.config, num_hidden_layers: 4, num_nextn_predict_layers: 1 };
    const result = await arranged({ slices: [slice(['a', 0, 2])] }, { a: { ...deep, config } });
    expect(result.config).toEqual({ num_hidden_layers: 2 });
    expect(tensorOf(result, 'model.layers.2.mlp.up_proj.weight').models[0]?.name).toBe(
      'model.layers.4.mlp.up_proj.weight',
    );
    expect(names(result).some((name) => name.startsWith('model.layers.3.'))).toBe(false);
  });

  it('do without buffers that not every source has', async () => {
    const old = make('llama');
    for (let i = 0; i < 4; i++) old.shapes[`model.layers.${i}.self_attn.rotary_emb.inv_freq`] = [2];
    const result = await arranged({ slices: [slice(['a', 0, 2], ['b', 0, 2])] }, { a: old, b: make('llama') });
    expect(names(result).filter((name) => name.includes('inv_freq'))).toEqual([]);
    const alone = await arranged({ slices: [slice(['a', 0, 2])] }, { a: old });
    expect(names(alone).filter((name) => name.includes('inv_freq'))).toHaveLength(2);
  });
});

describe('slices warn', () => {
  it('of layers that are built for another place', async () => {
    const model = make('llama');
    delete model.shapes['model.layers.0.input_layernorm.weight'];
    const result = await arranged({ slices: [slice(['a', 1, 3])] }, { a: model });
    expect(result.warnings).toEqual([expect.stringContaining('the first layer of "a" is built otherwise')]);
    expect((await arranged({ slices: [slice(['a', 0, 3])] }, { a: model })).warnings).toEqual([]);
  });

  it('of layers of another size than the place that they go to', async () => {
    const model = make('llama');
    for (const name of ['gate_proj', 'up_proj']) model.shapes[`model.layers.2.mlp.${name}.weight`] = [48, 16];
    const result = await arranged({ slices: [slice(['a', 1, 3])] }, { a: model });
    expect(result.warnings).toEqual([
      expect.stringContaining('layer 1 comes from "model.layers.2.mlp.gate_proj.weight" of shape [48, 16]'),
    ]);
  });

  it('of a config that counts otherwise', async () => {
    const model = make('llama');
    const config = { ...model.config, num_hidden_layers: 3 };
    const result = await arranged({ slices: [slice(['a', 0, 2])] }, { a: { ...model, config } });
    expect(result.warnings).toEqual(['config.json of "a" says num_hidden_layers 3, but "model.layers" has 4 blocks']);
    expect(result.config).toEqual({ num_hidden_layers: 2 });
  });

  it('of tensors that only another source has', async () => {
    const more = make('llama');
    more.shapes['score.weight'] = [2, 16];
    const result = await arranged({ slices: [slice(['a', 0, 2], ['b', 0, 2])] }, { a: make('llama'), b: more });
    expect(result.warnings).toEqual(['"b" has tensors that the result has not: "score.weight"']);
  });
});

describe('slices are refused', () => {
  const a = make('llama');

  it('with layers outside of the model', async () => {
    const work = arranged({ slices: [slice(['a', 0, 2]), slice(['a', 2, 40])] }, { a });
    expect(await refusal(work)).toEqual({
      code: 'invalid_recipe',
      errors: {
        '/slices/1/sources/0/layer_range':
          '[2, 40] is outside of "a", which has 4 layers (model.layers.0 to model.layers.3): at most [0, 4]',
      },
    });
  });

  it('with sources of unequal length', async () => {
    const sources = [{ model: 'a' }, { model: 'b' }];
    const work = arranged({ slices: [{ sources }] }, { a, b: make('llama', { layers: 3 }) });
    const { errors } = await refusal(work);
    expect(errors['/slices/0/sources/1/layer_range']).toContain('has 3 layers, but sources/0 has 4');
  });

  it('when a source lacks a tensor that another has', async () => {
    const work = arranged({ slices: [slice(['a', 0, 2], ['b', 0, 2])] }, { a: make('qwen2'), b: a });
    const { code, errors } = await refusal(work);
    expect(code).toBe('tensor_missing');
    expect(errors['/slices/0/sources/1/model']).toContain('"b" lacks the tensor for "model.layers.');
    const other = await refusal(arranged({ slices: [slice(['a', 0, 2], ['b', 0, 2])] }, { a, b: make('qwen2') }));
    expect(other.errors['/slices/0/sources/0/model']).toContain('_proj.bias" that "b" has');
  });

  it('over a model without layers', async () => {
    const flat = { shapes: { 'fc.weight': [2, 2], 'net.0.weight': [2, 2], 'net.2.weight': [2, 2] }, config: {} };
    const { errors } = await refusal(arranged({ slices: [slice(['a', 0, 1])] }, { a: flat }));
    expect(errors['/slices']).toContain('"a" has no layers');
  });

  it('over several stacks, and name them', async () => {
    const { errors } = await refusal(arranged({ slices: [slice(['a', 0, 1])] }, { a: make('llava') }));
    expect(errors['/slices']).toContain('"language_model", "vision_tower"');
    expect(errors['/slices']).toContain('modules');
  });

  it('with a base that is none of their sources', async () => {
    const slices = [{ ...slice(['a', 0, 2]), base: 'b' }];
    const { errors } = await refusal(arranged({ slices }, { a, b: a }));
    expect(errors['/slices/0/base']).toContain('none of the slice’s sources');
  });
});
