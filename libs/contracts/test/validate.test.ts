import { describe, expect, test } from 'vitest';
import { CreateMerge, Recipe, suggest, validate } from '../src/index.js';
import { Type } from '../src/schema.js';

const problems = (schema: Parameters<typeof validate>[0], value: unknown) => {
  const result = validate(schema, value);
  return result.ok ? [] : result.errors;
};

describe('validate', () => {
  test('an unknown key names the nearest one, with its pointer', () => {
    expect(problems(Recipe, { method: 'ties', modles: [], models: [{ model: 'a' }] })).toEqual([
      { pointer: '/modles', detail: 'unknown key "modles"; did you mean "models"?' },
    ]);
    expect(problems(CreateMerge, { recipe: { method: 'ties', models: [{ modle: 'a', model: 'b' }] } })).toEqual([
      { pointer: '/recipe/models/0/modle', detail: 'unknown key "modle"; did you mean "model"?' },
    ]);
  });

  test('every problem is reported at once', () => {
    const errors = problems(Recipe, { method: 7, models: [], dtype: 'float23', shard_bytes: 4000.5 });
    expect(errors.map((error) => error.pointer).sort()).toEqual(['/dtype', '/method', '/models', '/shard_bytes']);
    expect(errors.find((error) => error.pointer === '/dtype')?.detail).toContain('did you mean "float32"?');
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('%s is no number', (value) => {
    expect(problems(Type.Number({ minimum: 0, maximum: 1 }), value)).toEqual([
      { pointer: '', detail: `must be a finite number, not ${value}` },
    ]);
    expect(problems(Type.Integer({ minimum: 0 }), value)).toHaveLength(1);
  });

  describe('of a value that may be one of several things', () => {
    const token = (source: unknown) => ({
      method: 'linear',
      models: [{ model: 'a' }],
      tokenizer: { source: 'union', tokens: { x: { source } } },
    });
    const at = '/tokenizer/tokens/x/source';

    test.each([
      ['none of them: their kinds', 5, at, 'must be string or object, not number'],
      ['the one of its type: that one’s rule', '', at, 'must NOT have fewer than 1 characters'],
      [
        'one that a field marks: that one’s rule',
        { kind: 'model_token', modl: 'a' },
        `${at}/modl`,
        'did you mean "model"?',
      ],
      [
        'none that the field marks: the marks',
        { kind: 'model_tokn' },
        `${at}/kind`,
        'must be one of model_token, zero',
      ],
    ])('%s', (_, source, pointer, detail) => {
      const found = problems(Recipe, token(source));
      expect(found).toContainEqual({ pointer, detail: expect.stringContaining(detail) as string });
      expect(found.filter((error) => error.detail.includes('anyOf'))).toEqual([]);
    });

    test('several such values, each with what is wrong with it, in time', () => {
      const wrong = { source: { kind: 'model_token', model: 'x', token_id: -1 } };
      const recipe = (count: number) => ({
        method: 'linear',
        models: [{ model: 'a' }],
        tokenizer: {
          source: 'union',
          tokens: Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, wrong])),
        },
      });
      expect(problems(Recipe, recipe(2))).toEqual([
        { pointer: '/tokenizer/tokens/t0/source/token_id', detail: 'must be >= 0, not -1' },
        { pointer: '/tokenizer/tokens/t1/source/token_id', detail: 'must be >= 0, not -1' },
      ]);
      expect(problems(Recipe, recipe(20_000))).toHaveLength(100);
    });

    test('text or number', () => {
      const lines = (alpha: unknown) =>
        problems(Recipe, { method: 'x', models: [{ model: 'a' }], modifiers: [{ name: 'lines', alpha, beta: 1 }] });
      expect(lines('auto')).toEqual([]);
      expect(lines('some')).toEqual([
        { pointer: '/modifiers/0/alpha', detail: 'must be number or "auto", not string' },
      ]);
      expect(lines(Number.NaN)).toEqual([
        { pointer: '/modifiers/0/alpha', detail: 'must be a finite number, not NaN' },
      ]);
    });
  });

  test('nothing is coerced, defaulted or dropped', () => {
    const value = { method: 'ties', models: [{ model: 'a' }], shard_bytes: '5000' };
    expect(problems(Recipe, value)).toEqual([{ pointer: '/shard_bytes', detail: 'must be integer, not string' }]);
    expect(value).toEqual({ method: 'ties', models: [{ model: 'a' }], shard_bytes: '5000' });
  });

  test('keys in pointers are escaped', () => {
    expect(problems(Recipe, { method: 'x', models: [{ model: 'a' }], 'a/b~c': 1 })[0]?.pointer).toBe('/a~1b~0c');
  });
});

test('a body full of errors has a hundred listed, and a name as long as a body gets no advice', () => {
  const wrong = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`key${i}`, 1]));
  expect(problems(Recipe, { method: 'x', models: [{ model: 'a' }], ...wrong })).toHaveLength(100);
  expect(suggest('x'.repeat(1 << 20), ['ties', 'linear'])).toBe('');
});

test('suggest names what is near, else what there is', () => {
  expect(suggest('tise', ['ties', 'linear'])).toBe('; did you mean "ties"?');
  expect(suggest('frobnicate', ['ties', 'linear'])).toBe('; known: ties, linear');
});
