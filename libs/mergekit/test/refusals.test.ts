import { type FieldError, isAmalgamError } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { isMergekit, parseRecipeText, readMergekit, readRecipe } from '../src/index.js';
import { problems } from './support.js';

const models = 'models: [{ model: a, parameters: { weight: 1 } }, { model: b, parameters: { weight: 1 } }]';
const linear = `merge_method: linear\n${models}\n`;
const ties = `merge_method: ties\nbase_model: base\n${models}\n`;
const dare = ties.replace('ties', 'dare_ties');
const slices = (sources: string) => `slices: [{ sources: [${sources}] }]\n`;

describe('refuses, with the place and the rule', () => {
  it.each([
    ['no method', models, '/merge_method', '"merge_method" is required'],
    ['an unknown method', `merge_method: dare-ties\n${models}`, '/merge_method', 'did you mean "dare_ties"?'],
    ['a method misspelt', ties.replace('merge_method', 'merge_metod'), '/merge_metod', 'did you mean "merge_method"?'],
    ['experts', 'base_model: a\nexperts: [{ source_model: b }]', '/experts', 'mixtures of experts'],
    ['a seed that is no number', `${linear}random_seed: x`, '/random_seed', 'must be a whole number of at least 0'],
    ['a seed of more than 32 bits', `${dare}random_seed: 4294967296`, '/random_seed', 'must be <= 4294967295'],
    ['an unknown key', `${linear}paramters: {}`, '/paramters', 'did you mean "parameters"?'],
    ['a parameter at the top', `${linear}normalize: true`, '/normalize', 'belongs under the "parameters"'],
    [
      'the models’ parameters of old',
      `${linear}input_model_parameters: {}`,
      '/input_model_parameters',
      'stand with the model',
    ],
    [
      'models and slices',
      `${linear}${slices('{ model: a }')}`,
      '/slices',
      'one of models, slices, modules, and models',
    ],
    ['neither', 'merge_method: linear', '', 'one of models, slices, modules is required'],
    ['no models', 'merge_method: linear\nmodels: []', '/models', 'must not be an empty list'],
    ['models that are no list', 'merge_method: linear\nmodels: { a: 1 }', '/models', 'must be a list, not a mapping'],
    ['an empty model', 'merge_method: linear\nmodels: [null]', '/models/0', 'is empty'],
    ['a model without its name', 'merge_method: linear\nmodels: [{}]', '/models/0/model', '"model" is required'],
    [
      'a model twice',
      'merge_method: karcher\nmodels: [{ model: a }, { model: a }]',
      '/models/1/model',
      'stands at /models/0 already',
    ],
    [
      'a layer range outside of slices',
      'merge_method: passthrough\nmodels: [{ model: a, layer_range: [0, 1] }]',
      '/models/0/layer_range',
      'belongs to the sources of slices',
    ],
    ['two adapters', 'merge_method: passthrough\nmodels: [{ model: a+b+c }]', '/models/0/model', 'more than one +'],
    [
      'two revisions',
      'merge_method: passthrough\nmodels: [{ model: a@b@c }]',
      '/models/0/model',
      'is not path[@revision]',
    ],
    [
      'no path',
      'merge_method: passthrough\nmodels: [{ model: { model: { revision: x } } }]',
      '/models/0/model/model/path',
      '"path" is required',
    ],
    [
      'a base with an adapter',
      `${ties.replace('base_model: base', 'base_model: base+lora')}`,
      '/base_model',
      'merge the adapter into it first',
    ],
    ['no base', ties.replace('base_model: base\n', ''), '/base_model', 'ties needs a base_model'],
    [
      'only the base',
      'merge_method: ties\nbase_model: a\nmodels: [{ model: a }]',
      '/models',
      'nothing is named here besides the base',
    ],
    [
      'a slerp from elsewhere',
      `merge_method: slerp\nbase_model: c\n${models}\nparameters: { t: 0.5 }`,
      '/base_model',
      'must be among them',
    ],
    [
      'a slerp without t',
      'merge_method: slerp\nbase_model: a\nmodels: [{ model: a }, { model: b }]',
      '/parameters/t',
      'slerp needs "t" here',
    ],
    [
      'no weight',
      'merge_method: linear\nmodels: [{ model: a }]',
      '/models/0/parameters/weight',
      'linear needs "weight" here',
    ],
    ['a typo in a parameter', `${ties}parameters: { lamda: 1 }`, '/parameters/lamda', 'did you mean "lambda"?'],
    [
      'a merge’s parameter at a model',
      `merge_method: linear\nmodels: [{ model: a, parameters: { weight: 1, normalize: true } }]`,
      '/models/0/parameters/normalize',
      'does not look for it with a model',
    ],
    [
      'a value of the wrong type',
      `${ties}parameters: { lambda: much }`,
      '/parameters/lambda',
      'must be number, not string',
    ],
    [
      'a typo in a condition',
      `${ties}parameters: { lambda: [{ value: 1, fliter: a }] }`,
      '/parameters/lambda/0/fliter',
      'did you mean "filter"?',
    ],
    [
      'what cannot vary, by its name there',
      `${ties}parameters: { normalize: [{ value: true, filter: a }] }`,
      '/parameters/normalize',
      'cannot vary',
    ],
    ['a dtype', `${linear}dtype: bfloat`, '/dtype', 'did you mean "bfloat16"?'],
    ['integers', `${linear}dtype: int64`, '/dtype', 'is none of bfloat16, float16, float32'],
    ['two tokenizers', `${linear}tokenizer_source: union\ntokenizer: {}`, '/tokenizer_source', 'not both'],
    ['the tokenizer of no model', `${linear}tokenizer_source: c`, '/tokenizer_source', '"c" is none of the models'],
    [
      'a token from nowhere',
      `${linear}tokenizer: { tokens: { x: { force: true } } }`,
      '/tokenizer/tokens/x/source',
      '"source" is required',
    ],
    [
      'an unknown kind of token',
      `${linear}tokenizer: { tokens: { x: { source: { kind: one } } } }`,
      '/tokenizer/tokens/x/source/kind',
      'must be model_token or zero',
    ],
    [
      'a model’s token without it',
      `${linear}tokenizer: { tokens: { x: { source: { kind: model_token, model: a } } } }`,
      '/tokenizer/tokens/x/source',
      'needs one of token and token_id',
    ],
    [
      'half a layer range',
      `merge_method: passthrough\n${slices('{ model: a, layer_range: [1] }')}`,
      '/slices/0/sources/0/layer_range',
      'is two numbers',
    ],
    [
      'a layer range of texts',
      `merge_method: passthrough\n${slices('{ model: a, layer_range: [0, x] }')}`,
      '/slices/0/sources/0/layer_range/1',
      'must be a whole number',
    ],
    [
      'no layers',
      `merge_method: passthrough\n${slices('{ model: a, layer_range: [4, 2] }')}`,
      '/slices/0/sources/0/layer_range',
      'has no layer',
    ],
    [
      'sources of unequal length',
      `merge_method: linear\n${slices('{ model: a, layer_range: [0, 2] }, { model: b, layer_range: [0, 3] }')}parameters: { weight: 1 }`,
      '/slices/0/sources/1/layer_range',
      'has 3 layers, but sources/0 has 2',
    ],
    [
      'two models passed through',
      `merge_method: passthrough\n${slices('{ model: a }, { model: b }')}`,
      '/slices/0/sources',
      'passthrough takes 1 model, not 2',
    ],
  ])('%s', (_, text, pointer, detail) => {
    expect(problems(text)).toContainEqual({ pointer, detail: expect.stringContaining(detail) as string });
  });

  it('slerp over three models', () => {
    const text =
      'merge_method: slerp\nbase_model: a\nmodels: [{ model: a }, { model: b }, { model: c }]\nparameters: { t: 0.5 }';
    expect(problems(text)).toEqual([{ pointer: '/models', detail: 'slerp takes 2 models, not 3' }]);
  });

  it('several things at once', () => {
    const text = `${linear}paramters: {}\ndtype: half\nchat_template: 1`;
    expect(problems(text).map(({ pointer }) => pointer)).toEqual(['/paramters', '/dtype', '/chat_template']);
  });

  const refusal = (document: unknown): FieldError[] => {
    try {
      readMergekit(document);
    } catch (error) {
      if (isAmalgamError(error)) return error.errors;
      throw error;
    }
    return [];
  };

  it('values nested however deep, as JSON may have them', () => {
    const weight: unknown = JSON.parse('['.repeat(100_000) + ']'.repeat(100_000));
    for (const value of [weight, [weight], { value: weight }, [{ value: weight }]]) {
      const errors = refusal({ merge_method: 'linear', models: [{ model: 'a', parameters: { weight: value } }] });
      expect(errors[0]?.pointer).toMatch(/^\/models\/0\/parameters\/weight/);
    }
  });

  it('more models than a recipe has, before anything is made of them', () => {
    const many = Array.from({ length: 50_000 }, (_, i) => ({ model: `m${i}`, parameters: { weight: 1 } }));
    const detail = 'names 50000 models, more than a base and 64 others';
    expect(refusal({ merge_method: 'linear', models: many })).toEqual([{ pointer: '', detail }]);
  });

  it('no more errors than somebody reads', () => {
    const wrong = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`key${i}`, 1]));
    const models = [{ model: 'a', parameters: { weight: 1, ...wrong } }];
    expect(refusal({ merge_method: 'linear', models, ...wrong })).toHaveLength(100);
    expect(refusal({ merge_method: 'linear', models })).toHaveLength(100);
    expect(refusal({ merge_method: 'linear', models: Array(100_000).fill(null) })).toHaveLength(100);
  });

  it.each(['just text', '[1, 2]', '5'])('a document that is %s', (text) => {
    expect(problems(text)).toEqual([{ pointer: '', detail: expect.stringContaining('must be a mapping') as string }]);
  });
});

it('knows mergekit’s documents by merge_method, or what is left without it; every other one is ours', () => {
  for (const key of ['merge_method', 'merge_metod', 'merge_methods', 'base_model', 'tokenizer_source', 'experts']) {
    expect(isMergekit({ models: [], [key]: 1 }), key).toBe(true);
  }
  const bodies = [
    { recipe: {}, base_model: 'a' },
    { models: [], merge: {} },
  ];
  for (const value of [...bodies, { method: 'ties' }, null, 'merge_method', [], Object.create({ merge_method: 1 })]) {
    expect(isMergekit(value)).toBe(false);
  }
  const ours = { method: 'linear', models: [{ model: 'a' }] };
  expect(readRecipe(ours).recipe).toEqual(ours);
  expect(() => readRecipe({ ...ours, base_model: 'b' })).toThrow(/unknown key "base_model"/);
});

describe('texts', () => {
  const refusal = (text: string): string => {
    try {
      parseRecipeText(text, 'name');
    } catch (error) {
      if (isAmalgamError(error)) return error.detail;
      throw error;
    }
    return '';
  };

  it('may share parts by anchors and merge keys', () => {
    const text = 'a: &a { weight: 1, density: 1 }\nb: { <<: *a, weight: 2 }\nc: *a';
    expect(parseRecipeText(text, 'name')).toMatchObject({ b: { weight: 2, density: 1 }, c: { weight: 1 } });
  });

  it('may begin with the line that divides documents', () => {
    expect(parseRecipeText('---\na: 1\n', 'name')).toEqual({ a: 1 });
  });

  it('are JSON too', () => {
    expect(parseRecipeText('{"a": [1, 2.5e-3, true, null]}', 'name')).toEqual({ a: [1, 0.0025, true, null] });
  });

  it.each([
    ['brackets', '['.repeat(1 << 20)],
    ['mappings in mappings', '{a: '.repeat(1 << 18)],
    ['lists on one line', '- '.repeat(1 << 19)],
    ['keys on one line', 'a: '.repeat(1 << 18)],
    [
      'lists in lists by anchors',
      Array.from({ length: 40 }, (_, i) => `a${i}: &a${i} [${i > 0 ? `*a${i - 1}` : ''}]`).join('\n'),
    ],
    ['an anchor in itself', 'a: &a [*a]'],
  ])('nested too deeply are refused in time: %s', (_, text) => {
    expect(refusal(text)).toBe('name: is nested deeper than 32 levels');
  });

  it.each([
    ['a key twice', 'a: 1\na: 2', 'Map keys must be unique'],
    ['several documents', 'a: 1\n---\nb: 2', 'name: holds several documents (a line of three dashes divides them)'],
    ['too many keys', Array.from({ length: 10_001 }, (_, i) => `k${i}: 1`).join('\n'), 'has more than 10000 keys'],
    [
      'aliases of aliases',
      Array.from(
        { length: 9 },
        (_, i) =>
          `a${i}: &a${i} [${Array(9)
            .fill(i > 0 ? `*a${i - 1}` : 1)
            .join(',')}]`,
      ).join('\n'),
      'Excessive alias count',
    ],
    ['a glob without quotes', 'a: [*.bias]', 'a text that begins with * needs quotes'],
    ['no YAML', 'a: [b', 'name: '],
  ])('%s', (_, text, detail) => {
    expect(refusal(text)).toContain(detail);
  });
});
