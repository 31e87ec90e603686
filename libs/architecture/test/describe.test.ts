import { describe, expect, it } from 'vitest';
import { type Architecture, describeArchitecture } from '../src/index.js';
import { describeModel, type Family } from './models/index.js';
import { blocks, linear, norm, type Shapes } from './models/shapes.js';
import { make } from './support.js';

async function describedAs(shapes: Shapes, config: Record<string, unknown> = {}): Promise<Architecture> {
  return describeArchitecture((await describeModel('m', { shapes, config })).checkpoint);
}

const stacksOf = ({ stacks }: Architecture) => stacks.map(({ prefix, count }) => [prefix, count]);
const modulesOf = ({ modules }: Architecture) => modules.all.map(({ name }) => name);
const countsOf = ({ stacks }: Architecture) =>
  stacks.map(({ counts }) => counts.map(({ path, key }) => [...path, key].join('.')));
const rolesOf = ({ vocabulary }: Architecture) => Object.fromEntries(vocabulary.map(({ name, role }) => [name, role]));
/** Blocks that are alike. */
const alike = (prefix: string, count: number) => blocks(prefix, count, () => ({ ...linear('a', 4, 4), ...norm('b') }));

describe('stacks of', () => {
  it.each<[Family, [string, number][], string[][]]>([
    ['llama', [['model.layers', 4]], [['num_hidden_layers']]],
    ['mistral', [['model.layers', 4]], [['num_hidden_layers']]],
    ['qwen2', [['model.layers', 4]], [['num_hidden_layers']]],
    ['qwen3', [['model.layers', 4]], [['num_hidden_layers']]],
    ['gemma', [['model.layers', 4]], [['num_hidden_layers']]],
    ['gemma3', [['model.layers', 4]], [['num_hidden_layers']]],
    ['phi', [['model.layers', 4]], [['num_hidden_layers']]],
    ['gpt2', [['transformer.h', 4]], [['n_layer']]],
    ['mixtral', [['model.layers', 4]], [['num_hidden_layers']]],
    ['bert', [['bert.encoder.layer', 4]], [['num_hidden_layers']]],
    ['vit', [['vit.encoder.layer', 4]], [['num_hidden_layers']]],
    [
      't5',
      [
        ['decoder.block', 3],
        ['encoder.block', 4],
      ],
      [['num_decoder_layers'], ['num_layers']],
    ],
    [
      'clip',
      [
        ['text_model.encoder.layers', 4],
        ['vision_model.encoder.layers', 3],
      ],
      [['text_config.num_hidden_layers'], ['vision_config.num_hidden_layers']],
    ],
    [
      'llava',
      [
        ['language_model.model.layers', 4],
        ['vision_tower.vision_model.encoder.layers', 3],
      ],
      [['text_config.num_hidden_layers'], ['vision_config.num_hidden_layers']],
    ],
  ])('%s', async (family, stacks, counts) => {
    const architecture = describeArchitecture((await describeModel(family, make(family))).checkpoint);
    expect(stacksOf(architecture)).toEqual(stacks);
    expect(countsOf(architecture)).toEqual(counts);
    expect([architecture.name]).toEqual(make(family).config['architectures']);
  });

  it('a model of one block', async () => {
    const { checkpoint } = await describeModel('m', make('llama', { layers: 1 }));
    expect(stacksOf(describeArchitecture(checkpoint))).toEqual([['model.layers', 1]]);
  });

  it('parts of equally many layers are told apart by their words', async () => {
    const shapes = { ...alike('text_model.layers', 3), ...alike('visual.blocks', 3) };
    const architecture = await describedAs(shapes, { vision_config: { depth: 3 }, num_hidden_layers: 3 });
    expect(countsOf(architecture)).toEqual([['num_hidden_layers'], ['vision_config.depth']]);
  });

  it('encoder and decoder share a count where the config has only one', async () => {
    const shapes = { ...alike('encoder.block', 3), ...alike('decoder.block', 3) };
    expect(countsOf(await describedAs(shapes, { num_layers: 3 }))).toEqual([['num_decoder_layers'], ['num_layers']]);
    const bart = { encoder_layers: 3, decoder_layers: 3, num_hidden_layers: 3 };
    expect(countsOf(await describedAs(shapes, bart))).toEqual([
      ['decoder_layers'],
      ['encoder_layers', 'num_hidden_layers'],
    ]);
  });

  it('a decoder behind an encoder of another part has a count of its own', async () => {
    const shapes = { ...alike('qformer.encoder.layer', 3), ...alike('language_model.decoder.layers', 3) };
    const config = { qformer_config: { num_hidden_layers: 3 }, text_config: { num_hidden_layers: 3 } };
    expect(countsOf(await describedAs(shapes, config))).toEqual([
      ['text_config.num_hidden_layers'],
      ['qformer_config.num_hidden_layers'],
    ]);
  });

  it('a tower that hears has encoder layers without saying encoder', async () => {
    const shapes = { ...alike('audio_tower.layers', 3), ...alike('model.layers', 4) };
    const config = { audio_config: { encoder_layers: 3 }, num_hidden_layers: 4 };
    expect(countsOf(await describedAs(shapes, config))).toEqual([
      ['audio_config.encoder_layers'],
      ['num_hidden_layers'],
    ]);
  });

  it('models without a config are found by their blocks alone', async () => {
    const shapes = {
      ...alike('transformer_blocks', 3),
      ...alike('single_blocks', 2),
      'net.0.weight': [2],
      'net.1.weight': [2],
    };
    expect(stacksOf(await describedAs(shapes))).toEqual([
      ['single_blocks', 2],
      ['transformer_blocks', 3],
    ]);
  });

  it('numbered parts that the config does not count are none', async () => {
    const shapes = { ...alike('model.layers', 4), ...alike('visual.deepstack_mergers', 3), ...alike('mtp.layers', 1) };
    expect(stacksOf(await describedAs(shapes, { num_hidden_layers: 4 }))).toEqual([['model.layers', 4]]);
  });

  it('numbers with a gap are no blocks', async () => {
    const shapes = { ...alike('a', 3), 'b.0.x.weight': [2], 'b.2.x.weight': [2] };
    expect(stacksOf(await describedAs(shapes))).toEqual([['a', 3]]);
  });

  it('blocks behind the layers are not counted', async () => {
    const config = { num_hidden_layers: 4, num_nextn_predict_layers: 1 };
    const architecture = await describedAs(alike('model.layers', 5), config);
    expect(stacksOf(architecture)).toEqual([['model.layers', 4]]);
    expect(architecture.layerOf('model.layers.3.a.weight')).toEqual({ stack: 0, index: 3 });
    expect(architecture.layerOf('model.layers.4.a.weight')).toBeNull();
  });

  it('checkpoints that are no stack of blocks have none', async () => {
    const architecture = await describedAs({ 'fc1.weight': [2, 2], 'net.0.weight': [2], 'net.2.weight': [2] });
    expect([architecture.stacks, modulesOf(architecture)]).toEqual([[], []]);
  });
});

describe('layers', () => {
  it('are not counted by experts', async () => {
    const { checkpoint } = await describeModel('m', make('mixtral'));
    const { layerOf } = describeArchitecture(checkpoint);
    expect(layerOf('model.layers.1.block_sparse_moe.experts.2.w1.weight')).toEqual({ stack: 0, index: 1 });
    expect(layerOf('model.embed_tokens.weight')).toBeNull();
  });
});

describe('modules', () => {
  const moduleOf = ({ modules }: Architecture, name: string) => modules.all[modules.of(name) ?? -1]?.name;

  it('are one where there is one stack', async () => {
    const { checkpoint } = await describeModel('m', make('llama'));
    const architecture = describeArchitecture(checkpoint);
    expect(modulesOf(architecture)).toEqual(['default']);
    expect(moduleOf(architecture, 'lm_head.weight')).toBe('default');
  });

  it('are told by the shortest prefix that differs, and what lies beside is its own', async () => {
    const { checkpoint } = await describeModel('m', make('llava'));
    const architecture = describeArchitecture(checkpoint);
    expect(modulesOf(architecture)).toEqual(['language_model', 'vision_tower', 'multi_modal_projector']);
    expect(moduleOf(architecture, 'language_model.lm_head.weight')).toBe('language_model');
    expect(moduleOf(architecture, 'multi_modal_projector.linear_1.bias')).toBe('multi_modal_projector');
  });

  it("answer to mergekit's names", async () => {
    const { checkpoint } = await describeModel('m', make('llava'));
    const { modules } = describeArchitecture(checkpoint);
    const found = ['text_decoder', 'vision_tower', 'vision_model', 'multi_modal_projector', 'audio_tower'];
    expect(found.map((name) => modules.find(name).map((i) => modules.all[i]?.name))).toEqual([
      ['language_model'],
      ['vision_tower'],
      ['vision_tower'],
      ['multi_modal_projector'],
      [],
    ]);
  });

  it('of newer layouts, with the head outside and the projector inside of the vision part', async () => {
    const shapes = {
      'lm_head.weight': [40, 8],
      'model.language_model.embed_tokens.weight': [40, 8],
      'model.language_model.norm.weight': [8],
      'model.visual.patch_embed.proj.weight': [8, 3],
      ...linear('model.visual.merger.mlp.0', 8, 8),
      ...linear('model.visual.merger.mlp.2', 8, 8),
      ...alike('model.language_model.layers', 4),
      ...alike('model.visual.blocks', 3),
    };
    const architecture = await describedAs(shapes, {
      text_config: { num_hidden_layers: 4, vocab_size: 40 },
      vision_config: { depth: 3 },
    });
    expect(modulesOf(architecture)).toEqual(['model.language_model', 'model.visual', 'model.visual.merger']);
    expect(moduleOf(architecture, 'lm_head.weight')).toBe('model.language_model');
    expect(moduleOf(architecture, 'model.visual.merger.mlp.0.weight')).toBe('model.visual.merger');
    expect(architecture.modules.find('multi_modal_projector')).toEqual([2]);
    expect(architecture.modules.find('visual')).toEqual([1]);
  });

  it('without a word for text: what is not for images or sounds is', async () => {
    const shapes = { ...alike('model.layers', 4), ...alike('visual.blocks', 3), 'lm_head.weight': [40, 4] };
    const config = { num_hidden_layers: 4, vision_config: { depth: 3 }, vocab_size: 40 };
    const { modules } = await describedAs(shapes, config);
    expect(modules.find('text_decoder').map((i) => modules.all[i]?.name)).toEqual(['model']);
  });

  it('of an encoder and a decoder leave the shared embedding to neither', async () => {
    const { checkpoint } = await describeModel('m', make('t5'));
    const architecture = describeArchitecture(checkpoint);
    expect(modulesOf(architecture)).toEqual(['decoder', 'encoder', 'shared']);
    expect(moduleOf(architecture, 'shared.weight')).toBe('shared');
  });
});

describe('vocabularies of', () => {
  it.each<[Family, Record<string, string>, boolean]>([
    ['llama', { 'model.embed_tokens.weight': 'embedding', 'lm_head.weight': 'head' }, false],
    ['gemma', { 'model.embed_tokens.weight': 'embedding' }, true],
    ['phi', { 'model.embed_tokens.weight': 'embedding', 'lm_head.weight': 'head', 'lm_head.bias': 'head_bias' }, false],
    ['gpt2', { 'transformer.wte.weight': 'embedding' }, true],
    ['bert', { 'bert.embeddings.word_embeddings.weight': 'embedding', 'cls.predictions.bias': 'head_bias' }, true],
    ['t5', { 'shared.weight': 'embedding' }, true],
    ['clip', { 'text_model.embeddings.token_embedding.weight': 'embedding' }, true],
    ['vit', {}, true],
    [
      'llava',
      { 'language_model.model.embed_tokens.weight': 'embedding', 'language_model.lm_head.weight': 'head' },
      false,
    ],
  ])('%s', async (family, roles, tied) => {
    const architecture = describeArchitecture((await describeModel(family, make(family))).checkpoint);
    expect(rolesOf(architecture)).toEqual(roles);
    expect(architecture.tied).toBe(tied);
  });

  it('padded embeddings are found by name, unknown names by the config', async () => {
    const shapes = { 'embed_tokens.weight': [48, 8], 'tokens.table': [40, 8], 'pos.embed_positions.weight': [40, 8] };
    const { vocabulary } = await describedAs(shapes, { vocab_size: 40 });
    expect(vocabulary).toEqual([
      { name: 'embed_tokens.weight', role: 'embedding', rows: 48 },
      { name: 'tokens.table', role: 'head', rows: 40 },
    ]);
  });

  it('says what the config says of tied heads, wherever it is', async () => {
    const shapes = { 'embed_tokens.weight': [40, 8], 'lm_head.weight': [40, 8] };
    expect((await describedAs(shapes, { tie_word_embeddings: true })).tied).toBe(true);
    expect((await describedAs(shapes, { text_config: { tie_word_embeddings: true } })).tied).toBe(true);
    expect((await describedAs(shapes, { vision_config: { tie_word_embeddings: true } })).tied).toBe(false);
  });
});
