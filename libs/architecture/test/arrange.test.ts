import { describe, expect, it } from 'vitest';
import { VISION_LAYERS } from './models/index.js';
import { arranged, make, names, refusal, slice, tensorOf } from './support.js';

describe('without slices', () => {
  it('the result has the tensors of the base, each from those of the same name', async () => {
    const llama = make('llama');
    const result = await arranged({ base: 'base' }, { base: llama, a: llama, b: llama });
    expect(names(result)).toEqual(Object.keys(llama.shapes).sort());
    expect(tensorOf(result, 'lm_head.weight')).toEqual({
      name: 'lm_head.weight',
      base: { model: null, name: 'lm_head.weight' },
      models: [
        { model: 0, name: 'lm_head.weight' },
        { model: 1, name: 'lm_head.weight' },
      ],
      slice: null,
      module: null,
      sources: [],
      t: 0,
    });
    expect([result.config, result.redundant, result.warnings]).toEqual([{}, [], []]);
  });

  it('a checkpoint that nothing is known of is arranged by its names', async () => {
    const shapes = { scale: [], 'fc.weight': [2, 3], '0.weight': [4] };
    const result = await arranged({}, { a: { shapes, config: {} }, b: { shapes: { scale: [] }, config: {} } });
    expect(names(result)).toEqual(['0.weight', 'fc.weight', 'scale']);
    expect([result.tensors.every(({ base, t }) => base === null && t === 0), result.layers]).toEqual([true, 0]);
    expect(tensorOf(result, 'fc.weight').models).toEqual([
      { model: 0, name: 'fc.weight' },
      { model: 1, name: 'fc.weight' },
    ]);
  });

  it('gradients run over the layers of each stack', async () => {
    const result = await arranged({}, { a: make('t5') });
    const t = (name: string) => tensorOf(result, name).t;
    expect([0, 1, 2, 3].map((i) => t(`encoder.block.${i}.layer.0.layer_norm.weight`))).toEqual([0, 1 / 3, 2 / 3, 1]);
    expect([0, 1, 2].map((i) => t(`decoder.block.${i}.layer.0.layer_norm.weight`))).toEqual([0, 0.5, 1]);
    expect(t('shared.weight')).toBe(0);
  });

  it('gradients are at their end in a model of one layer', async () => {
    const result = await arranged({}, { a: make('llama', { layers: 1 }) });
    expect(tensorOf(result, 'model.layers.0.input_layernorm.weight').t).toBe(1);
  });

  it('a model whose names have a prefix more or less is found nevertheless', async () => {
    const headed = make('gpt2');
    const bare = Object.fromEntries(
      Object.entries(headed.shapes).map(([name, shape]) => [name.replace('transformer.', ''), shape]),
    );
    const result = await arranged({ base: 'bare' }, { bare: { ...headed, shapes: bare }, headed });
    expect(tensorOf(result, 'h.3.ln_1.bias').models).toEqual([{ model: 0, name: 'transformer.h.3.ln_1.bias' }]);
    const back = await arranged({ base: 'headed' }, { bare: { ...headed, shapes: bare }, headed });
    expect(tensorOf(back, 'transformer.wpe.weight').models).toEqual([{ model: 0, name: 'wpe.weight' }]);
  });

  it('a buffer that not every model stores is left out', async () => {
    const old = make('llama');
    old.shapes['model.layers.0.self_attn.rotary_emb.inv_freq'] = [2];
    const mixed = await arranged({ base: 'old' }, { old, a: make('llama') });
    expect(names(mixed)).toEqual(Object.keys(make('llama').shapes).sort());
    expect(names(await arranged({ base: 'old' }, { old, a: old }))).toContain(
      'model.layers.0.self_attn.rotary_emb.inv_freq',
    );
  });
});

describe('models that their configs tell apart', () => {
  const llama = make('llama');
  const other = (changes: object) => ({ ...llama, config: { ...llama.config, ...changes } });
  const told = async (changes: object) => (await arranged({}, { a: llama, b: other(changes) })).warnings;

  it('are a warning where no shape shows it', async () => {
    expect(await told({ num_attention_heads: 8, head_dim: 2 })).toEqual([
      'config.json of "b" differs from that of "a": num_attention_heads 8, not 4; head_dim 2, not 4',
    ]);
    const nested = { ...make('llava').config, text_config: { rope_parameters: { rope_theta: 1, type: 'x' } } };
    const same = { ...nested, text_config: { rope_parameters: { type: 'x', rope_theta: 1 } } };
    const far = { ...nested, text_config: { rope_parameters: { type: 'x', rope_theta: 2 } } };
    const { shapes } = llama;
    const models = { a: { shapes, config: nested }, b: { shapes, config: same }, c: { shapes, config: far } };
    expect((await arranged({}, models)).warnings).toEqual([expect.stringContaining('"c" differs')]);
  });

  it('are none where they differ in what means nothing here, or one says nothing', async () => {
    expect(await told({ transformers_version: '5', bos_token_id: 7, hidden_act: 'silu', rms_norm_eps: null })).toEqual(
      [],
    );
  });
});

describe('a model with more blocks than the base', () => {
  const long = make('llama');
  const shapes = Object.fromEntries(
    Object.entries(long.shapes).filter(([name]) => !/^model\.layers\.[23]\./.test(name)),
  );
  const short = { shapes, config: { ...long.config, num_hidden_layers: 2 } };

  it('is a warning, as what is left of it is in no layer of the result', async () => {
    const { warnings } = await arranged({ base: 'short' }, { short, long });
    expect(warnings).toEqual([
      '"long" has 4 blocks "model.layers", "short" 2: of the former the first 2 are merged; slices choose others',
    ]);
  });

  it('is none where slices choose the layers', async () => {
    const sources = [
      { model: 'short', layer_range: [0, 2] },
      { model: 'long', layer_range: [2, 4] },
    ];
    expect((await arranged({ slices: [{ sources }] }, { short, long })).warnings).toEqual([]);
  });
});

describe('modules', () => {
  const llava = make('llava');

  it('have slices, models or parameters of their own; the rest is arranged as ever', async () => {
    const result = await arranged(
      {
        base: 'base',
        modules: {
          text_decoder: { slices: [slice(['base', 0, 2], ['a', 0, 2]), slice(['base', 1, 4], ['b', 1, 4])] },
          multi_modal_projector: { models: [{ model: 'b' }] },
          vision_tower: { parameters: { scale: 1 } },
        },
      },
      { base: llava, a: llava, b: llava },
    );
    expect(names(result)).toEqual(Object.keys(make('llava', { layers: 5 }).shapes).sort());
    expect([result.config, result.layers]).toEqual([{ 'text_config.num_hidden_layers': 5 }, 5 + VISION_LAYERS]);
    expect(tensorOf(result, 'language_model.model.layers.2.mlp.up_proj.weight')).toEqual({
      name: 'language_model.model.layers.2.mlp.up_proj.weight',
      base: { model: null, name: 'language_model.model.layers.1.mlp.up_proj.weight' },
      models: [{ model: 1, name: 'language_model.model.layers.1.mlp.up_proj.weight' }],
      slice: 1,
      module: 'text_decoder',
      sources: [1],
      t: 0,
    });
    expect(tensorOf(result, 'language_model.lm_head.weight')).toMatchObject({ models: [{ model: 1 }], slice: 1 });
    expect(tensorOf(result, 'multi_modal_projector.linear_1.bias')).toMatchObject({
      models: [{ model: 1 }],
      slice: null,
      module: 'multi_modal_projector',
      sources: [0],
    });
    const vision = tensorOf(result, 'vision_tower.vision_model.encoder.layers.2.layer_norm1.bias');
    expect(vision).toMatchObject({ models: [{ model: 0 }, { model: 1 }], module: 'vision_tower', slice: null, t: 1 });
  });

  it('of an encoder and a decoder are cut apart from each other, and so are their counts', async () => {
    const t5 = make('t5');
    const cut = (key: string) => arranged({ modules: { [key]: { slices: [slice(['a', 0, 2])] } } }, { a: t5 });
    expect((await cut('encoder')).config).toEqual({ num_layers: 2 });
    expect((await cut('decoder')).config).toEqual({ num_decoder_layers: 2 });
    const { num_decoder_layers: _, ...config }: Record<string, unknown> = { ...t5.config, num_layers: 3 };
    const shapes = Object.fromEntries(
      Object.entries(t5.shapes).filter(([name]) => !name.startsWith('encoder.block.3.')),
    );
    const same = { shapes, config };
    const half = (key: string) => arranged({ modules: { [key]: { slices: [slice(['a', 0, 2])] } } }, { a: same });
    expect((await half('decoder')).config).toEqual({ num_decoder_layers: 2 });
    expect((await half('encoder')).config).toEqual({ num_layers: 2, num_decoder_layers: 3 });
  });

  it('of a model with one stack are the whole model', async () => {
    const result = await arranged({ modules: { default: { slices: [slice(['a', 1, 3])] } } }, { a: make('llama') });
    expect([result.config, tensorOf(result, 'lm_head.weight').module]).toEqual([{ num_hidden_layers: 2 }, 'default']);
  });

  it('leave the rest to all models, or to the first one where a method takes one, or say what is missing', async () => {
    const models = { a: llava, b: llava };
    const modules = { text_decoder: { slices: [slice(['a', 0, 2])] } };
    const merged = (minimum: number, maximum: number | null) => arranged({ modules }, models, { minimum, maximum });
    const rest = 'multi_modal_projector.linear_1.bias';
    expect(tensorOf(await merged(1, null), rest).models).toHaveLength(2);
    const single = await merged(1, 1);
    expect(tensorOf(single, rest).models).toEqual([{ model: 0, name: rest }]);
    expect(single.warnings).toEqual([expect.stringMatching(/^"multi_modal_projector.*: from the first model$/)]);
    const { errors } = await refusal(merged(3, 3));
    expect(errors['/modules']).toMatch(/in no module of the recipe: 2 models are too many or too few there/);
  });

  it('that are not there are refused with those that are', async () => {
    const { code, errors } = await refusal(arranged({ modules: { vision_towr: {} } }, { a: llava }));
    expect(code).toBe('invalid_recipe');
    expect(errors['/modules/vision_towr']).toContain(
      'it has "language_model", "vision_tower", "multi_modal_projector"',
    );
    expect(errors['/modules/vision_towr']).toContain('vision_tower');
  });

  it('named twice are refused', async () => {
    const { errors } = await refusal(arranged({ modules: { text_decoder: {}, language_model: {} } }, { a: llava }));
    expect(errors['/modules/language_model']).toContain('"text_decoder" are the same module');
  });

  it('without layers take no slices', async () => {
    const modules = { multi_modal_projector: { slices: [slice(['a', 0, 1])] } };
    expect((await refusal(arranged({ modules }, { a: llava }))).errors).toEqual({
      '/modules/multi_modal_projector/slices': '"multi_modal_projector" has no layers: give it models',
    });
  });

  it('point to their own ranges', async () => {
    const modules = { vision_tower: { slices: [slice(['a', 0, 9])] } };
    const { errors } = await refusal(arranged({ modules }, { a: llava }));
    expect(errors['/modules/vision_tower/slices/0/sources/0/layer_range']).toContain('at most [0, 3]');
  });
});
