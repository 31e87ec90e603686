import { isAmalgamError, type Recipe } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import {
  describeMethod,
  getMethod,
  gradientsOf,
  listMethods,
  type Place,
  resolveRecipe,
  unmatchedFilters,
} from '../src/index.js';

/** The method’s default. */
const LAMBDA = 0.3;

const recipe = (changes: Partial<Recipe> = {}): Recipe => ({
  method: 'task_arithmetic',
  base: 'base',
  models: [{ model: 'a' }, { model: 'b' }],
  ...changes,
});

const place = (changes: Partial<Place> = {}): Place => ({
  name: 'layers.0.q',
  models: [
    { model: 0, name: 'layers.0.q' },
    { model: 1, name: 'layers.0.q' },
  ],
  sources: [],
  slice: null,
  module: null,
  t: 0,
  ...changes,
});

const weights = (of: Recipe, at: Partial<Place> = {}) =>
  resolveRecipe(of)
    .settingsAt(place(at))
    .models.map(({ weight }) => weight);

const lambda = (of: Recipe, at: Partial<Place> = {}) => resolveRecipe(of).settingsAt(place(at)).global['lambda'];

function problemsOf(of: Recipe): { pointer: string; detail: string }[] {
  try {
    const { settingsAt } = resolveRecipe(of);
    settingsAt(place());
  } catch (error) {
    if (isAmalgamError(error)) return error.errors ?? [];
    throw error;
  }
  return [];
}

describe('gradients', () => {
  it.each([
    [0, 1],
    [0.25, 0.5],
    [0.5, 0],
    [0.75, 2],
    [1, 4],
  ])('are linear between their values: at %d it is %d', (t, value) => {
    expect(lambda(recipe({ parameters: { lambda: [1, 0, 4] } }), { t })).toBe(value);
  });

  it('of one value are that value everywhere', () => {
    for (const t of [0, 0.3, 1]) expect(lambda(recipe({ parameters: { lambda: [7] } }), { t })).toBe(7);
  });

  it('may belong to one model', () => {
    const models = [{ model: 'a', parameters: { weight: [0, 1] } }, { model: 'b' }];
    expect(weights(recipe({ models }), { t: 0.5 })).toEqual([0.5, 1]);
  });
});

describe('conditions', () => {
  const parameters = { lambda: [{ filter: 'mlp', value: 2 }, { filter: 'q', value: [0, 1] }, { value: 3 }] };

  it.each([
    ['layers.0.mlp.up', 2],
    ['layers.0.q', 0.5],
    ['layers.0.mlp.q', 2],
    ['norm', 3],
  ])('the first that is part of the name counts: %s gets %d', (name, value) => {
    expect(lambda(recipe({ parameters }), { name, t: 0.5 })).toBe(value);
  });

  it('are plain text, not patterns', () => {
    const dot = { lambda: [{ filter: 'a.b', value: 2 }] };
    expect(lambda(recipe({ parameters: dot }), { name: 'axb' })).toBe(LAMBDA);
    expect(lambda(recipe({ parameters: dot }), { name: 'a.b' })).toBe(2);
  });

  it('* is every tensor', () => {
    expect(lambda(recipe({ parameters: { lambda: { filter: '*', value: 5 } } }), { name: 'x' })).toBe(5);
  });

  it('of a model’s parameter look at the name in that model, of the merge’s at the name in the result', () => {
    const filter = { filter: 'layers.7', value: 9 };
    const shifted = {
      name: 'layers.0.q',
      models: [
        { model: 0, name: 'layers.7.q' },
        { model: 1, name: 'layers.0.q' },
      ],
    };
    expect(weights(recipe({ parameters: { weight: filter } }), shifted)).toEqual([9, 1]);
    expect(lambda(recipe({ parameters: { lambda: filter } }), shifted)).toBe(LAMBDA);
  });

  it('leave a tensor that none matches to the next level, then to the default', () => {
    const models = [{ model: 'a', parameters: { weight: [{ filter: 'mlp', value: 9 }] } }, { model: 'b' }];
    expect(weights(recipe({ models, parameters: { weight: 4 } }))).toEqual([4, 4]);
    expect(weights(recipe({ models }))).toEqual([1, 1]);
  });

  it('hold booleans and integers too', () => {
    const normalize = { normalize: [{ filter: 'mlp', value: true }] };
    const linear = recipe({ method: 'linear', parameters: normalize });
    expect(resolveRecipe(linear).settingsAt(place({ name: 'mlp' })).global).toEqual({ normalize: true });
  });
});

describe('levels', () => {
  const models = [{ model: 'a', parameters: { weight: 4 } }, { model: 'b' }];
  const source = { sources: [{ model: 'a', parameters: { weight: 1 } }, { model: 'b' }] };
  const slice = { parameters: { weight: 2, lambda: 20 } };
  const module = { parameters: { weight: 3, lambda: 30 } };
  const parameters = { weight: 5, lambda: 50 };

  it('the slice’s source comes before the slice, the module, the model and the recipe', () => {
    const at = { module: 'text', slice: 0, sources: [0, 1] };
    const all = recipe({ models, parameters, modules: { text: { ...module, slices: [{ ...source, ...slice }] } } });
    expect(weights(all, at)).toEqual([1, 2]);
    const noSlice = recipe({ models, parameters, modules: { text: { ...module, slices: [source] } } });
    expect(weights(noSlice, at)).toEqual([1, 3]);
    const noModule = recipe({ models, parameters, modules: { text: { slices: [source] } } });
    expect(weights(noModule, at)).toEqual([1, 5]);
    const noSource = { sources: [{ model: 'a' }, { model: 'b' }] };
    expect(weights(recipe({ models, parameters, modules: { text: { slices: [noSource] } } }), at)).toEqual([4, 5]);
  });

  it('of the merge’s parameters: slice, module, recipe, default', () => {
    const at = { module: 'text', slice: 0, sources: [0, 1] };
    const of = (text: object, more: Partial<Recipe>) => lambda(recipe({ ...more, modules: { text } }), at);
    const plain = [source];
    expect(of({ ...module, slices: [{ ...source, ...slice }] }, { parameters })).toBe(20);
    expect(of({ ...module, slices: plain }, { parameters })).toBe(30);
    expect(of({ slices: plain }, { parameters })).toBe(50);
    expect(of({ slices: plain }, {})).toBe(LAMBDA);
  });

  it('a module’s models have parameters of their own there', () => {
    const text = { models: [{ model: 'b', parameters: { weight: 8 } }, { model: 'a' }] };
    const both = [
      { model: 1, name: 'q' },
      { model: 0, name: 'q' },
    ];
    const of = recipe({ models, modules: { text } });
    expect(weights(of, { module: 'text', models: both, sources: [0, 1] })).toEqual([8, 4]);
  });

  it('a slice’s parameters hold in that slice only', () => {
    const of = recipe({ slices: [source, { ...source, ...slice }], parameters });
    expect(lambda(of, { slice: 0, sources: [0, 1] })).toBe(50);
    expect(lambda(of, { slice: 1, sources: [0, 1] })).toBe(20);
    expect(lambda(of)).toBe(50);
  });

  it('one model may come several times in a slice, each time with its own parameters', () => {
    const twice = {
      sources: [
        { model: 'a', parameters: { weight: 1 } },
        { model: 'a', parameters: { weight: 2 } },
      ],
    };
    const both = [
      { model: 0, name: 'layers.0.q' },
      { model: 0, name: 'layers.1.q' },
    ];
    expect(weights(recipe({ slices: [twice] }), { slice: 0, models: both, sources: [0, 1] })).toEqual([1, 2]);
  });
});

describe('resolving', () => {
  it('says whether anything varies', () => {
    expect(resolveRecipe(recipe()).varies).toBe(false);
    expect(resolveRecipe(recipe({ parameters: { lambda: [1] } })).varies).toBe(true);
    expect(resolveRecipe(recipe({ parameters: { lambda: { value: 1 } } })).varies).toBe(true);
    const sources = [{ model: 'a' }, { model: 'b' }];
    expect(resolveRecipe(recipe({ slices: [{ sources }] })).varies).toBe(false);
    expect(resolveRecipe(recipe({ slices: [{ sources, parameters: { lambda: 2 } }] })).varies).toBe(true);
  });

  it('gives the same object for equal settings', () => {
    for (const lambda of [2, [2, 2]]) {
      const { settingsAt } = resolveRecipe(recipe({ parameters: { lambda } }));
      expect(settingsAt(place({ t: 0 }))).toBe(settingsAt(place({ t: 1, name: 'other' })));
    }
    const { settingsAt } = resolveRecipe(recipe({ parameters: { lambda: [1, 2] } }));
    expect(settingsAt(place({ t: 0 }))).not.toBe(settingsAt(place({ t: 1 })));
  });

  it('fills in defaults so that the recipe means the same when it is resolved again', () => {
    const of = recipe({
      models: [{ model: 'a', parameters: { weight: [{ filter: 'mlp', value: 9 }] } }, { model: 'b' }],
      parameters: { weight: { filter: 'q', value: [4, 6] }, lambda: { filter: 'q', value: 3 } },
    });
    const filled = resolveRecipe(of).recipe;
    expect(filled.parameters).toMatchObject({ lambda: [{ filter: 'q', value: 3 }, { value: LAMBDA }] });
    for (const name of ['mlp', 'q', 'norm']) {
      const at = { name, models: [0, 1].map((model) => ({ model, name })), t: 0.5 };
      expect(weights(filled, at)).toEqual(weights(of, at));
      expect(lambda(filled, at)).toBe(lambda(of, at));
    }
    expect(resolveRecipe(filled).recipe).toEqual(filled);
  });

  it('keeps what varies for all models in one place', () => {
    const of = recipe({
      models: [{ model: 'a', parameters: { weight: 2 } }, { model: 'b' }],
      parameters: { weight: [0, 1] },
    });
    const filled = resolveRecipe(of).recipe;
    expect(filled.parameters).toMatchObject({ weight: [0, 1] });
    expect(filled.models.map(({ parameters }) => parameters)).toEqual([{ weight: 2 }, {}]);
  });

  it('checks a method’s own rules wherever they can break, and names the tensor', () => {
    const models = [{ model: 'a', parameters: { weight: [{ filter: 'norm', value: -1 }] } }, { model: 'b' }];
    const { settingsAt } = resolveRecipe(recipe({ method: 'linear', models }));
    expect(settingsAt(place()).models).toEqual([{ weight: 1 }, { weight: 1 }]);
    const name = 'norm';
    const norm = place({ name, models: [0, 1].map((model) => ({ model, name })) });
    expect(() => settingsAt(norm)).toThrow(/sum to 0.*tensor "norm"/);
  });

  it('points to the model of the recipe, not of the tensor', () => {
    const models = ['a', 'b', 'c'].map((model) => ({ model, parameters: { density: 0.5, epsilon: [0.9] } }));
    const { settingsAt } = resolveRecipe(recipe({ method: 'della', models }));
    const only = place({ models: [{ model: 2, name: 'q' }] });
    expect(() => settingsAt(only)).toThrow(
      expect.objectContaining({
        errors: [expect.objectContaining({ pointer: '/models/2/parameters/epsilon' })],
      }),
    );
  });
});

describe('refuses', () => {
  const withLambda = (value: unknown) => recipe({ parameters: { lambda: value } });

  it.each([
    ['an empty gradient', [], '/parameters/lambda', 'must not be an empty list'],
    ['numbers and conditions in one list', [1, { value: 2 }], '/parameters/lambda', 'either numbers'],
    ['a value that is no number', [1, 'x'], '/parameters/lambda', 'either numbers'],
    ['a value of the wrong type', { value: 'x' }, '/parameters/lambda/value', 'must be number, not string'],
    ['NaN', [1, Number.NaN], '/parameters/lambda/1', 'must be a finite number'],
    ['a number out of range', [1, 1e39], '/parameters/lambda/1', 'must be <='],
    ['a condition without value', [{ filter: 'q' }], '/parameters/lambda/0/value', '"value" is required'],
    ['an unknown key', { value: 1, fliter: 'q' }, '/parameters/lambda/fliter', 'did you mean "filter"?'],
    ['nothing among conditions', [null, { value: 1 }], '/parameters/lambda', 'either numbers'],
    ['conditions in conditions', { value: { value: 1 } }, '/parameters/lambda/value', 'must be number'],
  ])('%s', (_, value, pointer, detail) => {
    expect(problemsOf(withLambda(value))).toEqual([{ pointer, detail: expect.stringContaining(detail) as string }]);
  });

  it('more filters than can be held against all names in time', () => {
    const many = (count: number) => Array.from({ length: count }, (_, i) => ({ filter: `layers.${i}.`, value: i }));
    const of = (count: number) => recipe({ parameters: { lambda: many(600), weight: [...many(count), { value: 1 }] } });
    expect(problemsOf(of(400))).toEqual([]);
    expect(problemsOf(of(401))).toEqual([{ pointer: '', detail: 'the recipe has 1001 filters, more than 1000' }]);
  });

  it('a gradient of what is no number', () => {
    const of = recipe({ method: 'linear', parameters: { normalize: [0, 1] } });
    expect(problemsOf(of)).toEqual([
      { pointer: '/parameters/normalize', detail: 'only a number can be a gradient over the layers' },
    ]);
  });

  it.each([
    ['dare_ties', 'seed', { value: 1 }],
    ['ties', 'scope', [{ value: 'tensor' }]],
    ['adamerging', 'density', { value: 0.5 }],
  ])('%s’s %s that varies', (method, name, value) => {
    const tasks = [{ name: 'x', model: 'a', graph: 'g', data: 'd' }];
    const of = recipe({ method, parameters: { [name]: value }, ...(method === 'adamerging' && { tasks }) });
    expect(problemsOf(of)).toEqual([
      { pointer: `/parameters/${name}`, detail: expect.stringContaining(`${name} of ${method} cannot vary`) as string },
    ]);
  });

  it('densities that vary where a whole model has one threshold', () => {
    const parameters = { density: [0.2, 0.5] };
    const [problem] = problemsOf(recipe({ method: 'ties', parameters }));
    expect(problem).toMatchObject({ pointer: '/parameters/density' });
    expect(problemsOf(recipe({ method: 'ties', parameters: { ...parameters, scope: 'tensor' } }))).toEqual([]);
  });

  it('in a slice what a merge has one value of', () => {
    const slices = [{ sources: [{ model: 'a' }], parameters: { seed: 1 } }];
    const [problem] = problemsOf(recipe({ method: 'dare_ties', slices }));
    expect(problem).toMatchObject({ pointer: '/slices/0/parameters/seed' });
  });

  it.each([
    ['slices and modules', { slices: [{ sources: [{ model: 'a' }] }], modules: { m: {} } }, '/modules'],
    ['a source that is no model', { slices: [{ sources: [{ model: 'c' }] }] }, '/slices/0/sources/0/model'],
    [
      'a range without layers',
      { slices: [{ sources: [{ model: 'a', layer_range: [2, 2] }] }] },
      '/slices/0/sources/0/layer_range',
    ],
    ['a module’s model that is none', { modules: { m: { models: [{ model: 'c' }] } } }, '/modules/m/models/0/model'],
    [
      'a module with slices and models',
      { modules: { m: { slices: [{ sources: [{ model: 'a' }] }], models: [{ model: 'a' }] } } },
      '/modules/m/models',
    ],
  ])('%s', (_, changes, pointer) => {
    expect(problemsOf(recipe(changes)).map((problem) => problem.pointer)).toEqual([pointer]);
  });

  it('sources of unequal length', () => {
    const sources = [
      { model: 'a', layer_range: [0, 4] },
      { model: 'b', layer_range: [0, 5] },
    ];
    expect(problemsOf(recipe({ slices: [{ sources }] }))).toEqual([
      {
        pointer: '/slices/0/sources/1/layer_range',
        detail: 'has 5 layers, but sources/0 has 4: all sources of a slice have equally many',
      },
    ]);
  });

  it('more models in a slice than the method takes; the base is none of them', () => {
    const models = ['a', 'b', 'c'].map((model) => ({ model }));
    const sources = (...names: string[]) => [{ sources: names.map((model) => ({ model })) }];
    const slerp = (slices: Recipe['slices']) => recipe({ method: 'slerp', models, slices });
    expect(problemsOf(slerp(sources('a', 'b')))).toEqual([]);
    expect(problemsOf(slerp(sources('base', 'a', 'b')))).toEqual([]);
    expect(problemsOf(slerp(sources('a', 'b', 'c')))).toEqual([
      { pointer: '/slices/0/sources', detail: 'slerp takes 2 models, not 3' },
    ]);
  });
});

it('filters that are part of no name are told, each with its place', () => {
  const of = recipe({
    models: [{ model: 'a', parameters: { weight: [{ filter: 'mpl', value: 1 }, { value: 2 }] } }, { model: 'b' }],
    parameters: { lambda: { filter: 'mlp', value: 2 } },
  });
  expect(unmatchedFilters(of, ['layers.0.mlp'])).toEqual([
    '/models/0/parameters/weight/0/filter: no tensor’s name contains "mpl"',
  ]);
});

it('gradients are found wherever they stand', () => {
  const of = recipe({
    models: [
      { model: 'a', parameters: { weight: { value: [0, 1] } } },
      { model: 'b', parameters: { weight: 1 } },
    ],
    parameters: { lambda: [1, 2] },
  });
  expect(gradientsOf(of)).toEqual(['/parameters/lambda', '/models/0/parameters/weight']);
});

it('every method’s description says what may vary, and keeps defaults', () => {
  for (const method of listMethods()) {
    const { parameters, model_parameters } = describeMethod(method);
    for (const schema of [parameters, model_parameters]) {
      for (const [name, property] of Object.entries(schema['properties'] as Record<string, Record<string, unknown>>)) {
        expect(property, `${method.name} ${name}`).toHaveProperty('default');
      }
    }
  }
  const { parameters } = describeMethod(getMethod('slerp'));
  expect(parameters['properties']).toMatchObject({
    t: { default: 0.5, anyOf: [{ type: 'number' }, { type: 'array' }, { type: 'object' }, { type: 'array' }] },
  });
});
