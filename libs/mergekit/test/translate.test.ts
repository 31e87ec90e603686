import { findModel } from '@amalgam/contracts';
import { resolveRecipe } from '@amalgam/methods';
import { describe, expect, it } from 'vitest';
import { read } from './support.js';

const two = (method: string, more = '', weight = 'parameters: { weight: 1 }') => `
merge_method: ${method}
base_model: base
models:
  - { model: a, ${weight} }
  - { model: b, ${weight} }
${more}`;

/** What every tensor gets. */
const settings = (text: string) => {
  const { recipe } = read(text);
  const place = { name: 'x', models: recipe.models.map((_, model) => ({ model, name: 'x' })), sources: [], t: 0 };
  return resolveRecipe(recipe).settingsAt({ ...place, slice: null, module: null });
};

it('takes the seed that published documents have, where there is something to draw', () => {
  expect(settings(two('dare_ties', 'random_seed: 7')).global).toMatchObject({ seed: 7 });
  const { recipe, warnings } = read(two('ties', 'random_seed: 7'));
  expect(recipe.parameters).not.toHaveProperty('seed');
  expect(warnings).toEqual(['/random_seed: has no effect: ties leaves nothing to chance']);
});

it('tells of a density that is more than all', () => {
  const { warnings } = read(two('ties', '', 'parameters: { weight: 1, density: [0.5, 53] }'));
  expect(warnings).toEqual(
    [0, 1].map((i) => `/models/${i}/parameters/density: density 53 counts as 1, as in mergekit`),
  );
  expect(settings(two('ties', 'parameters: { density: 53 }')).models[0]).toMatchObject({ density: 1 });
});

describe('defaults are mergekit’s', () => {
  it.each([
    ['task_arithmetic', { lambda: 1, normalize: false }, { weight: 1 }],
    ['ties', { lambda: 1, combine: 'mean', scope: 'tensor', rescale: false }, { weight: 1, density: 1 }],
    ['dare_linear', { lambda: 1, normalize: false, rescale: true, rescale_by: 'sum' }, { density: 1 }],
    ['dare_ties', { lambda: 1, normalize: false, rescale: true, rescale_by: 'sum' }, { density: 1 }],
    ['breadcrumbs', { lambda: 1, normalize: false, scope: 'tensor' }, { density: 1, gamma: 0.01 }],
    ['breadcrumbs_ties', { lambda: 1, normalize: false, scope: 'tensor' }, { density: 1, gamma: 0.01 }],
    ['della', { lambda: 1, normalize: true, rescale: true, rescale_by: 'sum' }, { density: 1, epsilon: 0.15 }],
    ['della_linear', { lambda: 1, normalize: false, rescale: true }, { density: 1, epsilon: 0.15 }],
    ['sce', { select_topk: 1 }, {}],
    ['ram', { epsilon: 1e-5 }, {}],
    ['ramplus_tl', { r: 0.1, alpha: 0.2, epsilon: 1e-5 }, {}],
    ['multislerp', { normalize_weights: true, eps: 1e-8 }, { weight: 1 }],
    ['karcher', { max_iter: 10, tol: 1e-5 }, {}],
    ['linear', { normalize: true }, { weight: 1 }],
  ])('%s', (method, global, model) => {
    const resolved = settings(two(method));
    expect(resolved.global).toMatchObject(global);
    expect(resolved.models[0]).toMatchObject(model);
  });

  it('also where conditions leave tensors out', () => {
    const { recipe } = read(two('ties', 'parameters: { density: [{ filter: mlp, value: 0.5 }] }'));
    expect(recipe.parameters?.['density']).toEqual([{ filter: 'mlp', value: 0.5 }, { value: 1 }]);
  });
});

describe('parameters', () => {
  it('ties: normalize is how agreeing entries are combined', () => {
    expect(settings(two('ties', 'parameters: { normalize: false }')).global['combine']).toBe('sum');
  });

  it('that change nothing are dropped', () => {
    const { recipe, warnings } = read(
      two('task_arithmetic', 'parameters: { int8_mask: true, rescale: true, density: 0.5 }'),
    );
    expect(recipe.parameters).toEqual({ normalize: false, lambda: 1 });
    expect(warnings).toEqual([]);
  });

  it('booleans are numbers, and numbers booleans', () => {
    const resolved = settings(two('linear', 'parameters: { normalize: 0.0 }', 'parameters: { weight: true }'));
    expect(resolved).toEqual({ global: { normalize: false }, models: [{ weight: 1 }, { weight: 1 }] });
    expect(settings(two('linear', 'parameters: { normalize: yes }')).global).toEqual({ normalize: true });
  });

  it('a density of more than all is all', () => {
    expect(settings(two('ties', 'parameters: { density: 1.5 }')).models[0]).toMatchObject({ density: 1 });
  });

  it('without a value are not given', () => {
    expect(settings(two('ties', 'parameters: { density: }')).models[0]).toMatchObject({ density: 1 });
  });

  it('of other methods are ignored, with a warning', () => {
    const { recipe, warnings } = read(two('model_stock', 'parameters: { gamma: 0.1 }'));
    expect(recipe.parameters).not.toHaveProperty('gamma');
    expect(warnings).toContain('/parameters/gamma: model_stock does not know gamma; ignored, as in mergekit');
    expect(warnings).toContain(
      '/models/0/parameters/weight: model_stock does not know weight; ignored, as in mergekit',
    );
  });

  it('stand where the document has them: source, slice, module, document', () => {
    const { recipe } = read(`
      merge_method: linear
      modules:
        text_decoder:
          slices:
            - sources:
                - { model: a, layer_range: [0, 2], parameters: { weight: 1 } }
                - { model: b, layer_range: [0, 2] }
              parameters: { weight: 2, normalize: false }
          parameters: { weight: 3 }
        vision_tower:
          models:
            - { model: a, parameters: { weight: 4 } }
            - { model: b }
      parameters: { weight: [0, 1] }`);
    expect(recipe.modules).toEqual({
      text_decoder: {
        slices: [
          {
            sources: [
              { model: 'a', layer_range: [0, 2], parameters: { weight: 1 } },
              { model: 'b', layer_range: [0, 2] },
            ],
            parameters: { weight: 2, normalize: false },
          },
        ],
        parameters: { weight: 3 },
      },
      vision_tower: { models: [{ model: 'a', parameters: { weight: 4 } }, { model: 'b' }] },
    });
    expect(recipe.parameters).toEqual({ weight: [0, 1], normalize: true });
  });
});

describe('the base', () => {
  const listed = (method: string, more = '') => `
merge_method: ${method}
base_model: base
models:
  - { model: a, parameters: { weight: 0.6 } }
  - { model: base, parameters: { weight: 0.4 } }
${more}`;

  it('of methods on task vectors is not one of the models, listed or not', () => {
    for (const text of [listed('ties'), listed('ties').replace(/.*model: base,.*\n/, '')]) {
      expect(read(text).recipe).toMatchObject({ base: 'base', models: [{ model: 'a' }] });
      expect(read(text).recipe.models).toHaveLength(1);
    }
  });

  it('of linear is one of the models where the document lists it, and the first, whose side files the result gets', () => {
    const { recipe } = read(listed('linear'));
    expect(recipe).not.toHaveProperty('base');
    expect(recipe.models).toEqual([
      { model: 'base', parameters: { weight: 0.4 } },
      { model: 'a', parameters: { weight: 0.6 } },
    ]);
  });

  it('of linear that is not listed lends names and side files only, unless it gets a weight', () => {
    const { recipe, warnings } = read(two('linear'));
    expect(recipe).toMatchObject({ base: 'base', models: [{ model: 'a' }, { model: 'b' }] });
    expect(warnings[0]).toContain('/base_model: is not among the models');
    const weighted = read(two('linear', 'parameters: { weight: 0.5 }')).recipe;
    expect(weighted.models.map(({ model }) => model)).toEqual(['base', 'a', 'b']);
  });

  it('of karcher is averaged too', () => {
    expect(read(two('karcher')).recipe.models.map(({ model }) => model)).toEqual(['base', 'a', 'b']);
  });

  it('of slerp is where it starts', () => {
    const { recipe } = read(`
      merge_method: slerp
      base_model: b
      models: [{ model: a }, { model: b }]
      parameters: { t: 0.25 }`);
    expect(recipe).toEqual({ method: 'slerp', models: [{ model: 'b' }, { model: 'a' }], parameters: { t: 0.25 } });
  });

  it('of slerp in slices is each slice’s first source', () => {
    const { recipe } = read(`
      merge_method: slerp
      base_model: b
      slices:
        - sources: [{ model: a, layer_range: [0, 4] }, { model: b, layer_range: [4, 8] }]
      parameters: { t: 0.5 }`);
    expect(recipe.slices?.[0]?.sources).toEqual([
      { model: 'b', layer_range: [4, 8] },
      { model: 'a', layer_range: [0, 4] },
    ]);
  });

  it('of a slice may be another one', () => {
    const { recipe } = read(`
      merge_method: ties
      slices:
        - sources: [{ model: base, layer_range: [0, 2] }, { model: a, layer_range: [0, 2], parameters: { weight: 1 } }]
          base_model: base
        - sources: [{ model: other, layer_range: [0, 2] }, { model: a, layer_range: [2, 4], parameters: { weight: 1 } }]
          base_model: other`);
    expect(recipe.base).toBe('base');
    expect(recipe.models.map(({ model }) => model)).toEqual(['a', 'other']);
    expect(recipe.slices?.map(({ base }) => base)).toEqual([undefined, 'other']);
    expect(findModel(recipe, 'base')).toBe('base');
  });
});

describe('models', () => {
  it('are paths with revisions and adapters, in a text or in fields', () => {
    const { recipe } = read(`
      merge_method: linear
      models:
        - { model: org/one@main, parameters: { weight: 1 } }
        - { model: org/one@main+lora/two@v2, parameters: { weight: 1 } }
        - model: { model: { path: org/three, revision: main }, lora: { path: lora/four } }
          parameters: { weight: 1 }`);
    expect(recipe.models.map(({ model, adapter }) => [model, adapter])).toEqual([
      ['org/one@main', undefined],
      ['org/one@main', 'lora/two@v2'],
      ['org/three@main', 'lora/four'],
    ]);
  });

  it('come once, in the order of the slices that name them', () => {
    const { recipe } = read(`
      merge_method: passthrough
      slices:
        - sources: [{ model: a, layer_range: [0, 4] }]
        - sources: [{ model: b+lora, layer_range: [2, 4] }]
        - sources: [{ model: a, layer_range: [3, 6] }]`);
    expect(recipe.models).toEqual([{ model: 'a' }, { model: 'b', adapter: 'lora' }]);
    expect(recipe.slices?.map(({ sources }) => sources[0]?.model)).toEqual(['a', 'b+lora', 'a']);
  });
});

describe('dtypes, tokenizers, templates', () => {
  it.each([
    ['dtype: float16', 'float16'],
    ['dtype: torch.bfloat16', 'bfloat16'],
    ['dtype: float32\nout_dtype: bfloat16', 'bfloat16'],
    ['', undefined],
  ])('%s', (more, dtype) => {
    expect(read(two('linear', more)).recipe.out_dtype).toBe(dtype);
  });

  it('a tokenizer’s source is the base, the union or a model', () => {
    const source = (more: string, method = 'ties') => read(two(method, more)).recipe.tokenizer;
    expect(source('')).toBeUndefined();
    expect(source('tokenizer_source: union')).toEqual({ source: 'union' });
    expect(source('tokenizer_source: base')).toEqual({ source: 'base' });
    expect(source('tokenizer_source: b')).toEqual({ source: 'b' });
    expect(source('tokenizer: {}')).toEqual({ source: 'union' });
  });

  it('the base’s tokenizer is that model’s, where the base is one of the models', () => {
    const text = two('karcher', 'tokenizer_source: base').replace('base_model: base', 'base_model: origin');
    expect(read(text).recipe).toMatchObject({ models: [{ model: 'origin' }, {}, {}], tokenizer: { source: 'origin' } });
  });

  it('tokens may have sources of their own', () => {
    const { recipe } = read(
      two(
        'linear',
        `
tokenizer:
  source: base
  pad_to_multiple_of: 64
  tokens:
    "<|im_start|>": { source: a, force: true }
    "<pad>": { source: { kind: zero } }
    "<x>": { source: { kind: model_token, model: b, token_id: 7 } }`,
      ),
    );
    expect(recipe.tokenizer).toEqual({
      source: 'base',
      pad_to_multiple_of: 64,
      tokens: {
        '<|im_start|>': { source: 'a', force: true },
        '<pad>': { source: { kind: 'zero' } },
        '<x>': { source: { kind: 'model_token', model: 'b', token_id: 7 } },
      },
    });
  });

  it('a chat template stays as it is', () => {
    expect(read(two('linear', 'chat_template: chatml')).recipe.chat_template).toBe('chatml');
  });
});

describe('pointers lead back into the document', () => {
  it('past the base that is not one of the models', () => {
    const { pointerOf } = read(`
      merge_method: ties
      base_model: base
      models:
        - { model: base }
        - { model: a, parameters: { weight: 1 } }`);
    expect(pointerOf('/models/0/model')).toBe('/models/1/model');
    expect(pointerOf('/models/0/parameters/weight/3/value')).toBe('/models/1/parameters/weight/3/value');
    expect(pointerOf('/base')).toBe('/base_model');
    expect(pointerOf('/method')).toBe('/merge_method');
    expect(pointerOf('/tokenizer/source')).toBe('/tokenizer/source');
  });

  it('to the names that parameters have there, and to sources in their order there', () => {
    expect(read(two('ties', 'parameters: { normalize: true }')).pointerOf('/parameters/combine')).toBe(
      '/parameters/normalize',
    );
    const { pointerOf } = read(`
      merge_method: slerp
      base_model: b
      slices: [{ sources: [{ model: a, layer_range: [0, 1] }, { model: b, layer_range: [0, 1] }] }]
      parameters: { t: 0.5 }`);
    expect(pointerOf('/slices/0/sources/0/layer_range')).toBe('/slices/0/sources/1/layer_range');
  });
});

it('says what differs from mergekit in this recipe, and nothing where nothing does', () => {
  expect(read(two('task_arithmetic')).warnings).toEqual([]);
  expect(read(two('dare_ties')).warnings).toEqual([expect.stringContaining('random masks')]);
  const negative = 'parameters: { weight: [{ filter: mlp, value: -0.5 }, { value: 1 }] }';
  expect(read(two('ties', '', negative)).warnings).toEqual([expect.stringContaining('negative weights subtract')]);
  expect(read(two('ties', 'parameters: { normalize: false }', negative)).warnings).toEqual([]);
  const twice = read(`
    merge_method: linear
    slices: [{ sources: [{ model: a, layer_range: [0, 1] }, { model: a, layer_range: [1, 2] }] }]
    parameters: { weight: 1 }`);
  expect(twice.warnings).toEqual([expect.stringContaining('a model stands here twice')]);
});
