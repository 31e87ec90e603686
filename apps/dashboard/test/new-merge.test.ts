import { describeMethod, listMethods, resolveRecipe } from '@amalgam/methods';
import { describe, expect, it } from 'vitest';
import { getAt, pointerOf, setAt } from '../src/new-merge/draft.js';
import { readFields, readSetting, showSetting } from '../src/new-merge/fields.js';
import { putInPlace, shortName, strangeNames } from '../src/new-merge/names.js';
import { languageOf, readRecipe, writeRecipe } from '../src/new-merge/recipe-text.js';
import { readPairs, showPairs } from '../src/pairs.js';

describe('a recipe while it is written', () => {
  const draft = { method: 'ties', models: [{ model: 'a' }, { model: 'b', parameters: { density: 0.5 } }] };

  it('takes values at places that were not there', () => {
    const next = setAt(draft, ['parameters', 'lambda'], 0.3);
    expect(next).toEqual({ ...draft, parameters: { lambda: 0.3 } });
    expect(setAt({}, ['models', 0, 'model'], 'a')).toEqual({ models: [{ model: 'a' }] });
    expect(draft).not.toHaveProperty('parameters');
  });

  it('keeps no empty objects and lists', () => {
    expect(setAt(draft, ['models', 1, 'parameters', 'density'], undefined)).toEqual({
      method: 'ties',
      models: [{ model: 'a' }, { model: 'b' }],
    });
    expect(setAt({ models: [{ model: 'a' }] }, ['models', 0], undefined)).toEqual({});
  });

  it('leaves members in their places', () => {
    expect(Object.keys(setAt(draft, ['method'], 'linear'))).toEqual(['method', 'models']);
  });

  it('may hold anything, as a text may', () => {
    expect(getAt({ models: 'many' }, ['models', 0, 'model'])).toBeUndefined();
    expect(getAt({}, ['constructor'])).toBeUndefined();
    expect(setAt({ models: 'many' }, ['models', 0], { model: 'a' })).toEqual({ models: [{ model: 'a' }] });
  });

  it('has pointers as the service writes them', () => {
    expect(pointerOf(['models', 0, 'a/b~c'])).toBe('/recipe/models/0/a~1b~0c');
  });
});

describe('a recipe’s text', () => {
  it('is JSON or YAML', () => {
    const draft = { method: 'linear', models: [{ model: 'a' }] };
    for (const language of ['JSON', 'YAML'] as const) {
      const text = writeRecipe(draft, language);
      expect(languageOf(text)).toBe(language);
      expect(readRecipe(text)).toEqual({ draft });
    }
  });

  it.each(['{"a": ', 'a: [1', 'ties', '', '- a'])('says why %j is none', (text) => {
    expect(readRecipe(text)).toEqual({ why: expect.stringMatching(/./) });
  });
});

describe('a form', () => {
  const methods = listMethods().map(describeMethod);

  it('has a field of the right kind for each parameter of each method', () => {
    for (const { name, parameters, model_parameters } of methods) {
      for (const schema of [parameters, model_parameters]) {
        for (const field of readFields(schema)) {
          expect(field.kind !== 'choice' || field.options.length > 0, `${name}.${field.name}`).toBe(true);
          expect(field.values, `${name}.${field.name}`).not.toMatch(/undefined|any|gradient/);
        }
      }
    }
  });

  it('writes defaults that the methods take', () => {
    for (const { name, parameters, needs_base, models, needs_tasks } of methods) {
      if (needs_tasks) continue;
      const fields = readFields(parameters).filter(({ fallback }) => fallback !== '');
      const given = Object.fromEntries(
        fields.map(({ name: key, fallback, kind }) => [key, readSetting(fallback, kind)]),
      );
      const list = Array.from({ length: Math.max(2, models.minimum) }, (_, i) => ({ model: `m${i}` }));
      const recipe = {
        method: name,
        parameters: given,
        models: list.slice(0, models.maximum ?? undefined),
        ...(needs_base === 'none' ? {} : { base: 'base' }),
      };
      expect(() => resolveRecipe(recipe), name).not.toThrow();
    }
  });

  it('knows which parameters go from layer to layer', () => {
    const ties = methods.find(({ name }) => name === 'ties')!;
    const fields = Object.fromEntries(readFields(ties.parameters).map((field) => [field.name, field]));
    expect(fields['lambda']).toMatchObject({ kind: 'number', gradient: true, fallback: '1' });
    expect(fields['scope']).toMatchObject({ kind: 'choice', gradient: false });
    expect(fields['rescale']).toMatchObject({ kind: 'boolean' });
  });

  it.each([
    ['', undefined],
    ['0.5', 0.5],
    ['0.2, 0.8', [0.2, 0.8]],
    ['[0.5]', [0.5]],
    ['{"value": 1, "filter": "attn"}', { value: 1, filter: 'attn' }],
    ['null', null],
    ['much', 'much'],
  ])('reads %j and shows it so again', (text, value) => {
    expect(readSetting(text, 'number')).toEqual(value);
    expect(readSetting(showSetting(value), 'number')).toEqual(value);
  });
});

describe('names in a document of mergekit', () => {
  const id = 'ckpt_01K0000000000000000000000A';

  it('are found wherever models stand, each once, but for ids', () => {
    const read = readRecipe(`
merge_method: linear
base_model: { model: { path: org/base, revision: v1 } }
models: [{ model: ./a+./lora }, { model: ${id}, parameters: { weight: 1 } }]
modules: { text: { slices: [{ sources: [{ model: ./a, layer_range: [0, 1] }], base_model: org/c@main }] } }
tokenizer_source: union`);
    expect('draft' in read && strangeNames(read.draft)).toEqual(['org/base', './a', './lora', 'org/c@main']);
  });

  it('give way to ids where they stand by themselves', () => {
    const text = 'a: ./m+./n # ./m\nb: "./m"\nc: ./m-2\nd: x/./m\ne: [./m,./m.old]\n';
    expect(putInPlace(text, './m', id)).toBe(
      `a: ${id}+./n # ${id}\nb: "${id}"\nc: ./m-2\nd: x/./m\ne: [${id},./m.old]\n`,
    );
  });

  it('are looked for by their last part', () => {
    expect(['./models/math', 'org/math@main', 'math', './math/'].map(shortName)).toEqual(Array(4).fill('math'));
  });
});

describe('metadata', () => {
  it('is pairs with commas between', () => {
    expect(readPairs('team=vision, run = 12,')).toEqual({ team: 'vision', run: '12' });
    expect(readPairs(showPairs({ a: 'b=c', d: '' }))).toEqual({ a: 'b=c', d: '' });
    expect(readPairs('')).toEqual({});
    expect(readPairs('team')).toBeNull();
    expect(readPairs('=x')).toBeNull();
  });
});
