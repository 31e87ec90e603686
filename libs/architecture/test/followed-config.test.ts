import { describe, expect, it } from 'vitest';
import { arranged, make, slice } from './support.js';

/** What becomes of config values of a model of four layers when layers 0, 2, 3, 2 are taken. */
async function followed(values: Record<string, unknown>) {
  const llama = make('llama');
  const model = { ...llama, config: { ...llama.config, ...values } };
  const { config, warnings } = await arranged(
    { slices: [slice(['a', 0, 1]), slice(['a', 2, 4]), slice(['a', 2, 3])] },
    { a: model },
  );
  return { config, warnings };
}

describe('values by layer', () => {
  it.each<[string, unknown, unknown]>([
    ['layer_types', ['a', 'b', 'c', 'd'], ['a', 'c', 'd', 'c']],
    ['no_rope_layers', [1, 0, 1, 0], [1, 1, 0, 1]],
    ['num_query_heads', [4, 6, 8, 9], [4, 8, 9, 8]],
    ['block_configs', [{ a: 1 }, { a: 2 }, { a: 3 }, { a: 4 }], [{ a: 1 }, { a: 3 }, { a: 4 }, { a: 3 }]],
    ['hybrid_override_pattern', 'M-*E', 'M*E*'],
    ['mlp_only_layers', [1, 2], [1, 3]],
    ['full_attn_idxs', [3], [2]],
    ['dense_layers', [0, 1, 2, 3], [0, 1, 2, 3]],
  ])('follow the layers: %s', async (key, value, expected) => {
    const { config, warnings } = await followed({ [key]: value });
    expect([config[key] ?? value, warnings]).toEqual([expected, []]);
  });

  it.each<[string, unknown]>([
    ['architectures', ['A', 'B', 'C', 'D']],
    ['eos_token_id', [1, 2, 3, 4]],
    ['layer_types', ['a', 'b', 'c']],
    ['decoder_sparse_step', 1],
    ['bos_token_id', 4],
  ])('are not what else has their length: %s', async (key, value) => {
    expect(await followed({ [key]: value })).toEqual({ config: {}, warnings: [] });
  });

  it('are a number of layers at the beginning', async () => {
    expect((await followed({ first_k_dense_replace: 1 })).config).toEqual({});
    expect((await followed({ first_k_dense_replace: 3 })).warnings).toEqual([
      'first_k_dense_replace of config.json does not fit the layers that were chosen',
    ]);
    expect((await followed({ max_window_layers: 28 })).config).toEqual({ max_window_layers: 4 });
  });

  it('are a warning where layers are of two kinds in turn and the turns are broken', async () => {
    expect((await followed({ full_attention_interval: 2 })).warnings).toHaveLength(1);
    const llama = make('llama');
    const model = { ...llama, config: { ...llama.config, full_attention_interval: 2 } };
    expect((await arranged({ slices: [slice(['a', 0, 4]), slice(['a', 2, 4])] }, { a: model })).warnings).toEqual([]);
  });

  it('come from the model that the layer comes from', async () => {
    const gemma = make('gemma3');
    const other = { ...gemma, config: { ...gemma.config, layer_types: ['w', 'x', 'y', 'z'] } };
    const { config } = await arranged({ slices: [slice(['a', 0, 3]), slice(['b', 1, 3])] }, { a: gemma, b: other });
    expect(config).toEqual({
      num_hidden_layers: 5,
      layer_types: ['sliding_attention', 'sliding_attention', 'full_attention', 'x', 'y'],
    });
  });

  it('lie beside the count, in the part of the config that the layers belong to', async () => {
    const llava = make('llava');
    const text = { ...(llava.config['text_config'] as object), layer_types: ['a', 'b', 'c', 'd'] };
    const model = { ...llava, config: { ...llava.config, layer_types: ['1', '2', '3', '4'], text_config: text } };
    const { config } = await arranged({ modules: { text_decoder: { slices: [slice(['a', 1, 3])] } } }, { a: model });
    expect(config).toEqual({ 'text_config.num_hidden_layers': 2, 'text_config.layer_types': ['b', 'c'] });
  });

  it('are left alone where all layers stay as they are', async () => {
    const llama = make('llama');
    const model = { ...llama, config: { ...llama.config, max_window_layers: 28, full_attention_interval: 3 } };
    const { config, warnings } = await arranged({ slices: [slice(['a', 0, 2]), slice(['a', 2, 4])] }, { a: model });
    expect([config, warnings]).toEqual([{}, []]);
  });

  it('a count that the config does not have is a warning', async () => {
    const llama = make('llama');
    const { num_hidden_layers: _, ...config } = llama.config;
    const result = await arranged({ slices: [slice(['a', 0, 2])] }, { a: { ...llama, config } });
    expect([result.config, result.warnings]).toEqual([
      {},
      [expect.stringContaining('does not say how many blocks "model.layers" has')],
    ]);
  });
});
