import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Recipe } from '@amalgam/contracts';
import { describeCheckpoint, localFolder } from '@amalgam/tensors';
import { planTokens } from '@amalgam/tokenizers';
import { describe, expect, it } from 'vitest';
import { writeArtifacts } from '../src/artifacts.js';
import { executeMerge } from '../src/execute.js';
import { planMerge } from '../src/plan.js';
import type { PlanOptions } from '../src/types.js';
import { tokenRequest } from '../src/vocabulary.js';
import { decode, type Loaded, type Model, tempDir, tunedRecipe, writeModel } from './support.js';

const HIDDEN = 3;
const EMBEDDING = 'model.embed_tokens.weight';
const HEAD = 'lm_head.weight';
const BIAS = 'lm_head.bias';

interface Speaker {
  /** Its vocabulary, a token a letter. */
  letters: string;
  /** Row r of its embedding is code + r, of its head code + r + 1000. */
  code: number;
  /** More rows than letters. */
  padding?: number;
  tied?: boolean;
  dtype?: 'F32' | 'BF16';
  config?: Record<string, unknown>;
  /** False: none. */
  tokenizer?: boolean;
}

const repeat = (rows: number, columns: number, first: number) =>
  Array.from({ length: rows * columns }, (_, i) => first + Math.floor(i / columns));

/** A checkpoint whose rows say whose they are. */
async function speaker(name: string, spec: Speaker): Promise<Loaded> {
  const { letters, code, padding = 0, tied = false, dtype = 'F32', config = {}, tokenizer = true } = spec;
  const folder = join(tempDir(), name);
  mkdirSync(folder);
  const tokens = [...letters];
  const rows = tokens.length + padding;
  const model: Model = {
    [EMBEDDING]: { dtype, shape: [rows, HIDDEN], values: repeat(rows, HIDDEN, code) },
    'model.layers.0.mlp.weight': { dtype, shape: [2, HIDDEN], values: repeat(2, HIDDEN, code) },
    'model.layers.1.mlp.weight': { dtype, shape: [2, HIDDEN], values: repeat(2, HIDDEN, code) },
  };
  if (!tied) {
    model[HEAD] = { dtype, shape: [rows, HIDDEN], values: repeat(rows, HIDDEN, code + 1000) };
    model[BIAS] = { dtype, shape: [rows], values: repeat(rows, 1, code + 2000) };
  }
  await writeModel(folder, 'model', model);
  const write = (path: string, content: unknown) => writeFileSync(join(folder, path), JSON.stringify(content));
  write('config.json', {
    vocab_size: rows,
    num_hidden_layers: 2,
    tie_word_embeddings: tied,
    eos_token_id: 0,
    ...config,
  });
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  if (tokenizer) write('tokenizer.json', { model: { type: 'BPE', vocab, merges: [] }, added_tokens: [] });
  const checkpoint = await describeCheckpoint(localFolder(folder));
  return { reference: name, identity: folder, name, checkpoint, path: folder };
}

type Wish = Partial<Recipe> & { method: string };

async function plan(wish: Wish, base: Loaded | null, models: Loaded[], options: PlanOptions = {}) {
  const recipe: Recipe = {
    ...(base === null ? {} : { base: base.reference }),
    models: models.map(({ reference }) => ({ model: reference })),
    ...wish,
  };
  const inputs = base === null ? models : [base, ...models];
  const request = tokenRequest(recipe, { base, models });
  const tokens = request && (await planTokens(request, (i) => localFolder(inputs[i]!.path, inputs[i]!.reference)));
  return { plan: planMerge(recipe, { base, models, tokens }, options), inputs };
}

/** Merges, and reads what lies there then: the first entry of each row of a tensor, and the files. */
async function merge(wish: Wish, base: Loaded | null, models: Loaded[], options: PlanOptions = {}) {
  const { plan: planned, inputs } = await plan(wish, base, models, options);
  const outDir = tempDir();
  const result = await executeMerge(planned, { pathOf: (i, file) => join(inputs[i]!.path, file), outDir });
  const folderOf = (input: number) => localFolder(inputs[input]!.path);
  await writeArtifacts(planned, result, { outDir, folderOf, digestOf: () => null });
  const bytes = readFileSync(join(outDir, 'model.safetensors'));
  const tensors = await decode(bytes);
  const rows = (name: string) => {
    const { shape, values } = tensors.get(name)!;
    const columns = shape[1] ?? 1;
    return Array.from({ length: shape[0]! }, (_, row) => values![row * columns]!);
  };
  const json = (path: string) => JSON.parse(readFileSync(join(outDir, path), 'utf8'));
  return { bytes, rows, json, tensors, warnings: planned.warnings, plan: planned };
}

/** An adapter for models of the tokens x and y, with a tokenizer that has q besides, and rows for it. */
async function adapterWithToken(): Promise<Loaded> {
  const folder = join(tempDir(), 'adapter');
  mkdirSync(folder);
  const matrix = (rows: number, first: number) => ({
    dtype: 'F32' as const,
    shape: [rows, HIDDEN],
    values: repeat(rows, HIDDEN, first),
  });
  await writeModel(folder, 'adapter_model', {
    'base_model.model.model.layers.0.mlp.lora_A.weight': { dtype: 'F32', shape: [1, HIDDEN], values: [1, 1, 1] },
    'base_model.model.model.layers.0.mlp.lora_B.weight': { dtype: 'F32', shape: [2, 1], values: [1, 2] },
    [`base_model.model.${EMBEDDING}`]: matrix(3, 100),
    [`base_model.model.${HEAD}`]: matrix(3, 1100),
  });
  const write = (path: string, content: unknown) => writeFileSync(join(folder, path), JSON.stringify(content));
  const modules = { target_modules: ['mlp'], modules_to_save: ['embed_tokens', 'lm_head'] };
  write('adapter_config.json', { peft_type: 'LORA', r: 1, lora_alpha: 1, ...modules });
  write('tokenizer.json', { model: { type: 'BPE', vocab: { x: 0, y: 1, q: 2 }, merges: [] } });
  const checkpoint = await describeCheckpoint(localFolder(folder));
  return { reference: 'adapter', identity: folder, name: 'adapter', checkpoint, path: folder };
}

/** What only the model at `index` has is what the merge gives. */
const only = (models: Loaded[], index: number): Pick<Recipe, 'models'> => ({
  models: models.map(({ reference }, i) => ({ model: reference, parameters: { weight: i === index ? 1 : 0 } })),
});

describe('a merge of models of different vocabularies', () => {
  it('takes rows by token, in embedding, head and bias', async () => {
    const base = await speaker('base', { letters: 'xyz', code: 0 });
    const models = [
      await speaker('a', { letters: 'zqx', code: 100 }),
      await speaker('b', { letters: 'yx', code: 200 }),
    ];
    const wish = { method: 'linear', tokenizer: { source: 'base' } };
    const first = await merge({ ...wish, ...only(models, 0) }, base, models);
    expect(first.rows(EMBEDDING)).toEqual([102, 1, 100]);
    expect(first.rows(HEAD)).toEqual([1102, 1001, 1100]);
    expect(first.rows(BIAS)).toEqual([2102, 2001, 2100]);
    expect(first.rows('model.layers.0.mlp.weight')).toEqual([100, 101]);
    const second = await merge({ ...wish, ...only(models, 1) }, base, models);
    expect(second.rows(EMBEDDING)).toEqual([201, 200, 2]);
  });

  it('gives a union the rows of all, means where several bring a token, and says so in config and tokenizer', async () => {
    const base = await speaker('base', { letters: 'xy', code: 0, config: { vocab_size: 2 } });
    const models = [
      await speaker('a', { letters: 'xq', code: 100 }),
      await speaker('b', { letters: 'qyr', code: 200 }),
    ];
    const tokenizer = { source: 'union' };
    const wish = { method: 'task_arithmetic', tokenizer, parameters: { lambda: 1 }, ...only(models, 0) };
    const { rows, json } = await merge(wish, base, models);
    // q is row 1 of a and 0 of b: the base has their mean, to which the difference of a is added. r is b's alone.
    expect(rows(EMBEDDING)).toEqual([100, 1, 101, 202]);
    expect(rows(HEAD)).toEqual([1100, 1001, 1101, 1202]);
    expect(json('config.json')).toMatchObject({ vocab_size: 4, eos_token_id: 0 });
    expect(json('tokenizer.json').model.vocab).toEqual({ x: 0, y: 1, q: 2, r: 3 });
    const untouched = { method: 'task_arithmetic', tokenizer, parameters: { lambda: 0 } };
    expect((await merge(untouched, base, models)).rows(EMBEDDING)).toEqual([0, 1, (101 + 200) / 2, 202]);
  });

  it('takes a named model’s vocabulary with its files and ids', async () => {
    const base = await speaker('base', { letters: 'xyz', code: 0 });
    const model = await speaker('a', { letters: 'qx', code: 100, config: { eos_token_id: 1 } });
    const { rows, json } = await merge({ method: 'linear', tokenizer: { source: 'a' } }, base, [model]);
    expect(rows(EMBEDDING)).toEqual([100, 101]);
    expect(json('config.json')).toMatchObject({ vocab_size: 2, eos_token_id: 1 });
    expect(json('tokenizer.json').model.vocab).toEqual({ q: 0, x: 1 });
  });

  it('pads rows as the recipe says, and keeps the base’s padding otherwise', async () => {
    const base = await speaker('base', { letters: 'xy', code: 0, padding: 3 });
    const model = await speaker('a', { letters: 'yx', code: 100 });
    const kept = await merge({ method: 'linear', tokenizer: { source: 'base' } }, base, [model]);
    expect(kept.rows(EMBEDDING)).toEqual([101, 100, 2, 3, 4]);
    expect(kept.json('config.json').vocab_size).toBe(5);
    const padded = { method: 'linear', tokenizer: { source: 'base', pad_to_multiple_of: 8 } };
    const more = await merge(padded, base, [model]);
    expect(more.rows(EMBEDDING)).toEqual([101, 100, 2, 3, 4, 0, 0, 0]);
    expect(more.json('config.json').vocab_size).toBe(8);
  });

  it('takes single rows from where the recipe says', async () => {
    const base = await speaker('base', { letters: 'xyz', code: 0 });
    const model = await speaker('a', { letters: 'zqx', code: 100 });
    const tokens = {
      y: { source: { kind: 'model_token' as const, model: 'a', token: 'q' } },
      z: { source: 'base', force: true },
      x: { source: { kind: 'zero' as const }, force: true },
    };
    const wish = { method: 'linear', tokenizer: { source: 'base', tokens } };
    expect((await merge(wish, base, [model])).rows(HEAD)).toEqual([0, 1101, 1002]);
  });

  it('reads the rows of a model that takes no part in the place', async () => {
    const models = [await speaker('a', { letters: 'xy', code: 100 }), await speaker('b', { letters: 'yr', code: 200 })];
    const slice = (model: string, from: number) => ({
      sources: [{ model, layer_range: [from, from + 1] as [number, number] }],
    });
    const stack = { method: 'passthrough', slices: [slice('a', 0), slice('b', 1)], tokenizer: { source: 'union' } };
    const { rows } = await merge(stack, null, models);
    expect(rows(EMBEDDING)).toEqual([100, 101, 201]);
    // Behind the layers it is the last slice's: the head of b, with the row of x from a.
    expect(rows(HEAD)).toEqual([1100, 1200, 1201]);
  });

  it('takes the embedding for the head of a model that has none', async () => {
    const base = await speaker('base', { letters: 'xy', code: 0 });
    base.checkpoint.tensors.delete(BIAS);
    const tied = await speaker('a', { letters: 'yq', code: 100, tied: true });
    const { rows } = await merge({ method: 'linear', tokenizer: { source: 'union' } }, base, [tied]);
    expect(rows(EMBEDDING)).toEqual([0, 100, 101]);
    expect(rows(HEAD)).toEqual([1000, 100, 101]);
  });

  it('leaves embeddings that serve as heads tied', async () => {
    const base = await speaker('base', { letters: 'xy', code: 0, tied: true });
    const model = await speaker('a', { letters: 'yq', code: 100, tied: true });
    const { rows, tensors } = await merge({ method: 'linear', tokenizer: { source: 'union' } }, base, [model]);
    expect(rows(EMBEDDING)).toEqual([0, 100, 101]);
    expect(tensors.has(HEAD)).toBe(false);
  });

  it('takes the tokens and rows that an adapter brings', async () => {
    const base = await speaker('base', { letters: 'xy', code: 0 });
    const adapter = await adapterWithToken();
    base.checkpoint.tensors.delete(BIAS);
    const { rows, json } = await merge({ method: 'linear', tokenizer: { source: 'union' } }, base, [adapter]);
    expect(rows(EMBEDDING)).toEqual([100, 101, 102]);
    expect(rows(HEAD)).toEqual([1100, 1101, 1102]);
    expect(rows('model.layers.0.mlp.weight')).toEqual([1, 3]);
    expect(json('config.json').vocab_size).toBe(3);
    expect(json('tokenizer.json').model.vocab).toEqual({ x: 0, y: 1, q: 2 });
  });

  it('goes with slices, adapters and heads that only some models have', async () => {
    const base = await speaker('base', { letters: 'xy', code: 0, tied: true });
    const model = await speaker('a', { letters: 'yq', code: 100 });
    model.checkpoint.tensors.delete(BIAS);
    const folder = join(tempDir(), 'adapter');
    mkdirSync(folder);
    // Adds 10 to row x of the embedding, 20 to row y; 5 and 7 to the rows of the first layer.
    await writeModel(folder, 'adapter_model', {
      'base_model.model.model.embed_tokens.lora_embedding_A': { dtype: 'F32', shape: [1, 2], values: [10, 20] },
      'base_model.model.model.embed_tokens.lora_embedding_B': { dtype: 'F32', shape: [HIDDEN, 1], values: [1, 1, 1] },
      'base_model.model.model.layers.0.mlp.lora_A.weight': { dtype: 'F32', shape: [1, HIDDEN], values: [1, 1, 1] },
      'base_model.model.model.layers.0.mlp.lora_B.weight': { dtype: 'F32', shape: [2, 1], values: [5, 7] },
    });
    const config = { peft_type: 'LORA', r: 1, lora_alpha: 1, target_modules: ['embed_tokens', 'mlp'] };
    writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify(config));
    const checkpoint = await describeCheckpoint(localFolder(folder));
    const adapter: Loaded = { reference: 'adapter', identity: folder, name: 'adapter', checkpoint, path: folder };

    const wish: Wish = {
      method: 'passthrough',
      tokenizer: { source: 'union' },
      slices: [
        { sources: [{ model: 'adapter', layer_range: [0, 1] }] },
        { sources: [{ model: 'a', layer_range: [1, 2] }] },
        { sources: [{ model: 'adapter', layer_range: [0, 1] }] },
        { sources: [{ model: 'a', layer_range: [0, 1] }] },
      ],
    };
    const { rows, json, tensors } = await merge(wish, base, [model, adapter]);
    // The adapted rows; q is only in the other model.
    expect(rows(EMBEDDING)).toEqual([10, 21, 101]);
    // The last slice's head; x is only in the base, whose embedding serves for a head.
    expect(rows(HEAD)).toEqual([0, 1100, 1101]);
    expect([0, 1, 2, 3].map((layer) => rows(`model.layers.${layer}.mlp.weight`))).toEqual([
      [5, 8],
      [100, 101],
      [5, 8],
      [100, 101],
    ]);
    expect(tensors.size).toBe(6);
    expect(json('config.json')).toMatchObject({ vocab_size: 3, num_hidden_layers: 4, tie_word_embeddings: false });
  });

  it.each(['F32', 'BF16'] as const)(
    'writes the same bytes for any chunk size and number of threads (%s)',
    async (dtype) => {
      const letters = (count: number, first: number) =>
        Array.from({ length: count }, (_, i) => String.fromCodePoint(0x4e00 + ((i * 7919 + first) % 20_000))).join('');
      const base = await speaker('base', { letters: letters(5000, 0), code: 0, dtype });
      const models = [
        await speaker('a', { letters: letters(4000, 7919 * 2500), code: 100, dtype }),
        await speaker('b', { letters: letters(5500, 7919 * 1000), code: 200, dtype, padding: 7 }),
      ];
      const wish = { method: 'ties', tokenizer: { source: 'union' }, parameters: { lambda: 1 } };
      const one = await merge(wish, base, models, { threads: 1, chunkElements: 4096 });
      const two = await merge(wish, base, models, { threads: 2, chunkElements: 2 ** 16 });
      expect(one.rows(EMBEDDING).length).toBeGreaterThan(6000);
      expect(Buffer.compare(one.bytes, two.bytes)).toBe(0);
    },
  );
});

it('the lists of rows count in the memory plan, once for embedding, head and bias', async () => {
  const letters = Array.from({ length: 4000 }, (_, i) => String.fromCodePoint(0x4e00 + i));
  const base = await speaker('base', { letters: letters.join(''), code: 0 });
  const turned = await speaker('a', { letters: letters.reverse().join(''), code: 100 });
  const memory = async (wish: Wish) => (await plan(wish, base, [turned], { threads: 1 })).plan.memoryBytes;
  const plain = await memory({
    method: 'linear',
    merge: { exclude: ['*embed*', 'lm_head.*'] },
    tokenizer: { source: 'base' },
  });
  const all = await memory({ method: 'linear', tokenizer: { source: 'base' } });
  const heads = await memory({ method: 'linear', merge: { exclude: ['*embed*'] }, tokenizer: { source: 'base' } });
  // Four numbers for each row, none of which follows the one before it.
  expect(all).toBeGreaterThan(plain + 4000 * 4 * 4);
  expect(all).toBe(heads);
});

describe('files that change after the plan', () => {
  async function publish(wish: Wish, path: string, content: (before: string) => string) {
    const base = await speaker('base', { letters: 'xy', code: 0 });
    const other = await speaker('a', { letters: 'yx', code: 100 });
    const { plan: planned, inputs } = await plan(wish, base, [other]);
    const outDir = tempDir();
    const result = await executeMerge(planned, { pathOf: (i, file) => join(inputs[i]!.path, file), outDir });
    const file = join(base.path, path);
    writeFileSync(file, content(readFileSync(file, 'utf8')));
    return writeArtifacts(planned, result, {
      outDir,
      folderOf: (i) => localFolder(inputs[i]!.path),
      digestOf: () => null,
    });
  }
  const linear = { method: 'linear' };

  it.each([
    [
      'tokenizer.json of the base',
      { ...linear, tokenizer: { source: 'base' } },
      'tokenizer.json',
      (text: string) => text.replace('"x"', '"z"'),
    ],
    ['the size of a file that is copied', linear, 'tokenizer.json', (text: string) => `${text} `],
    [
      'what config.json says',
      linear,
      'config.json',
      (text: string) => text.replace('"num_hidden_layers":2', '"num_hidden_layers":3'),
    ],
  ])('are refused: %s', async (_, wish, path, content) => {
    await expect(publish(wish, path, content)).rejects.toMatchObject({
      code: 'checkpoint_changed',
      detail: expect.stringContaining(path),
    });
  });

  it('may be written again with the same content', async () => {
    await expect(
      publish({ ...linear, tokenizer: { source: 'base' } }, 'tokenizer.json', (text) => text),
    ).resolves.toBeDefined();
  });
});

describe('without a tokenizer in the recipe', () => {
  it('embeddings of different heights are refused with advice', async () => {
    const base = await speaker('base', { letters: 'xyz', code: 0 });
    const model = await speaker('a', { letters: 'xy', code: 100 });
    await expect(plan({ method: 'linear' }, base, [model])).rejects.toMatchObject({
      code: 'shape_mismatch',
      detail: expect.stringContaining('"tokenizer": { "source": "base" } in the recipe, or "union"'),
    });
  });

  it('rows that stand for other tokens are merged with a warning, and files are copied', async () => {
    const base = await speaker('base', { letters: 'xy', code: 0 });
    const model = await speaker('a', { letters: 'yx', code: 100 });
    const { warnings, rows, json } = await merge({ method: 'linear' }, base, [model]);
    expect(warnings[0]).toContain('2 rows of the embeddings stand for other tokens in "a" than in "base"');
    expect(rows(EMBEDDING)).toEqual([100, 101]);
    expect(json('tokenizer.json').model.vocab).toEqual({ x: 0, y: 1 });
  });

  it('a chat template alone changes nothing but the tokenizer’s files', async () => {
    const base = await speaker('base', { letters: 'xy', code: 0 });
    const { json, rows } = await merge({ method: 'linear', chat_template: 'chatml' }, base, [
      await speaker('a', { letters: 'xy', code: 100 }),
    ]);
    expect(json('tokenizer_config.json').chat_template).toContain('<|im_start|>');
    expect(rows(EMBEDDING)).toEqual([100, 101]);
  });
});

describe('refused are', () => {
  it('a model without the head of which the vocabulary needs rows', async () => {
    const base = await speaker('base', { letters: 'xy', code: 0 });
    const bare = await speaker('bare', { letters: 'yq', code: 100 });
    bare.checkpoint.tensors.delete(BIAS);
    const wish = { method: 'linear', tokenizer: { source: 'union' }, merge: { exclude: ['*.bias'] } };
    await expect(plan(wish, base, [bare])).rejects.toMatchObject({
      code: 'tensor_missing',
      detail:
        '"bare" ("model.safetensors") has no tensor "lm_head.bias": "lm_head.bias" of "base" takes from there the rows of tokens ' +
        'that it lacks, so that every input with tokens of its own must have the tensor',
    });
  });

  it('an adapter beside a model that brings tokens, which only its own tokenizer knows', async () => {
    const model = await speaker('model', { letters: 'xy', code: 0 });
    const adapter = await adapterWithToken();
    const recipe: Recipe = { method: 'passthrough', models: [{ model: 'model', adapter: 'adapter' }] };
    const inputs = { base: null, models: [model], adapters: [adapter] };
    const detail = expect.stringContaining('"adapter" brings an embedding of 3 rows where "model" has 2') as string;
    expect(() => tokenRequest({ ...recipe, tokenizer: { source: 'base' } }, inputs)).toThrow(
      expect.objectContaining({ code: 'invalid_recipe', errors: [{ pointer: '/models/0/adapter', detail }] }) as Error,
    );
    expect(tokenRequest(recipe, inputs)).toBeNull();
  });

  it('embeddings of integers, which no mean can be taken of', async () => {
    const quantised = async (name: string, letters: string) => {
      const own = await speaker(name, { letters, code: 0, tied: true });
      const tensor = own.checkpoint.tensors.get(EMBEDDING)!;
      own.checkpoint.tensors.set(EMBEDDING, { ...tensor, dtype: 'I32' });
      return own;
    };
    const wish = { method: 'linear', tokenizer: { source: 'union' } };
    await expect(plan(wish, await quantised('base', 'xy'), [await quantised('a', 'yq')])).rejects.toMatchObject({
      code: 'dtype_unsupported',
      detail: expect.stringContaining(`tensor "${EMBEDDING}" of "base" is I32`),
    });
  });

  it('a model without tokenizer whose rows are not the base’s', async () => {
    const base = await speaker('base', { letters: 'xy', code: 0 });
    const silent = await speaker('silent', { letters: 'xyz', code: 100, tokenizer: false });
    await expect(plan({ method: 'linear', tokenizer: { source: 'base' } }, base, [silent])).rejects.toMatchObject({
      code: 'invalid_recipe',
      detail: expect.stringContaining('"silent" has no tokenizer'),
    });
  });

  it('methods that learn from graphs', async () => {
    const base = await speaker('base', { letters: 'xy', code: 0 });
    const model = await speaker('a', { letters: 'yx', code: 100 });
    const { method, parameters, tasks } = tunedRecipe({}, base, [model]);
    const wish = { method, parameters: parameters ?? {}, tasks: tasks ?? [], tokenizer: { source: 'base' } };
    await expect(plan(wish, base, [model])).rejects.toMatchObject({
      code: 'invalid_recipe',
      errors: [{ pointer: '/tokenizer', detail: expect.stringContaining('adamerging learns from graphs') }],
    });
  });
});
