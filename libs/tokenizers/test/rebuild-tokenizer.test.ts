import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { planVocabulary, rebuildTokenizer, type VocabularyInput } from '../src/index.js';
import { writeBytes, writeFloat, writeVarint } from '../src/protobuf.js';
import { readPieces } from '../src/sentencepiece.js';
import { bpe, type Content, folderOf, read, unigram, wordpiece } from './support.js';

type Files = Record<string, Content>;

/** The files of the union of these models' tokenizers, decoded, and what reading them finds. */
async function unite(base: Files, ...others: Files[]) {
  const inputs: VocabularyInput[] = await Promise.all(
    [base, ...others].map(async (files, i) => {
      const tokenizer = await read(files);
      return { reference: `m${i}`, tokenizer, rows: tokenizer.size };
    }),
  );
  const { extra, tokens } = planVocabulary({ source: 'union' }, inputs, { hasBase: true, find: () => null });
  const rebuilt = await rebuild(base, { extra });
  return { ...rebuilt, tokens };
}

async function rebuild(files: Files, options: Partial<Parameters<typeof rebuildTokenizer>[2]>) {
  const { folder, files: list } = folderOf(files);
  const written = await rebuildTokenizer(folder, list, { extra: [], chatTemplate: null, digests: {}, ...options });
  const text = (path: string) => new TextDecoder().decode(written.get(path));
  return { written, text, json: (path: string) => JSON.parse(text(path)) };
}

const IM_START = { id: 2, content: '<|im_start|>' };

describe('rebuildTokenizer', () => {
  it('copies every tokenizer file, and nothing else, when nothing changes', async () => {
    const files = {
      'tokenizer.json': '{"model":   {"type": "BPE", "vocab": {"a": 0}, "merges": []}}',
      'special_tokens_map.json': '{ }',
      'config.json': '{}',
      'model.safetensors': '',
      'README.md': '',
    };
    const { written, text } = await rebuild(files, {});
    expect([...written.keys()]).toEqual(['tokenizer.json', 'special_tokens_map.json']);
    expect(text('tokenizer.json')).toBe(files['tokenizer.json']);
  });

  it('appends added tokens as such and leaves the model alone', async () => {
    const base = { 'tokenizer.json': bpe(['a', 'b'], [], []), 'tokenizer_config.json': { added_tokens_decoder: {} } };
    const { json, tokens } = await unite(base, { 'tokenizer.json': bpe(['a', 'b'], [], [IM_START]) });
    expect(tokens).toEqual(['a', 'b', '<|im_start|>']);
    expect(json('tokenizer.json').model).toEqual(base['tokenizer.json'].model);
    expect(json('tokenizer.json').added_tokens).toMatchObject([{ ...IM_START, special: true }]);
    expect(json('tokenizer_config.json').added_tokens_decoder).toMatchObject({ 2: { content: '<|im_start|>' } });
  });

  it('gives tokens of another BPE an id and no merge', async () => {
    const base = bpe(['a', 'b', 'c'], ['a b'], [{ id: 4, content: '<s>' }]);
    const { json, tokens, written } = await unite(
      { 'tokenizer.json': base },
      { 'tokenizer.json': bpe(['b', 'c'], ['b c']) },
    );
    expect(tokens).toEqual(['a', 'b', 'c', 'ab', '<s>', 'bc']);
    const { model, added_tokens } = json('tokenizer.json');
    expect(model.merges).toEqual([['a', 'b']]);
    // Added tokens too, so that readers which count find the same ids.
    expect(model.vocab).toEqual({ a: 0, b: 1, c: 2, ab: 3, '<s>': 4, bc: 5 });
    expect(added_tokens).toEqual(base.added_tokens);
    expect([...(await read({ 'tokenizer.json': written.get('tokenizer.json')! })).tokens.keys()]).toHaveLength(6);
  });

  it('puts added tokens into the vocabulary where counting would give them other ids', async () => {
    const base = bpe(['a', 'b'], [], [{ id: 7, content: '<s>' }]);
    const { json } = await unite({ 'tokenizer.json': base }, { 'tokenizer.json': bpe(['a', 'b'], [], [IM_START]) });
    expect(json('tokenizer.json').model.vocab).toEqual({ a: 0, b: 1, '<s>': 7, '<|im_start|>': 8 });
  });

  it('gives pieces of another Unigram a place and a score below all', async () => {
    const [unk, a, q] = [['<unk>', 0] as const, ['▁a', -3] as const, ['▁q', -1] as const];
    const base = unigram([unk, a], [{ id: 3, content: '<pad>' }]);
    const { json, tokens } = await unite({ 'tokenizer.json': base }, { 'tokenizer.json': unigram([unk, q]) });
    expect(tokens).toEqual(['<unk>', '▁a', null, '<pad>', '▁q']);
    const { vocab } = json('tokenizer.json').model;
    expect(vocab.map(([piece]: [string]) => piece)).toEqual(['<unk>', '▁a', '<unused_id_2>', '<pad>', '▁q']);
    expect(vocab[4][1]).toBe(-10003);
  });

  it('gives words of another WordPiece an id, in vocab.txt too', async () => {
    const base = {
      'tokenizer.json': wordpiece(['[UNK]', 'a'], [{ id: 2, content: '[X]' }]),
      'vocab.txt': '[UNK]\na\n',
    };
    const { json, text } = await unite(base, { 'vocab.txt': '[UNK]\nb\n' });
    expect(json('tokenizer.json').model.vocab).toEqual({ '[UNK]': 0, a: 1, '[X]': 2, b: 3 });
    expect(text('vocab.txt')).toBe('[UNK]\na\n[X]\nb\n');
  });

  it('extends vocab.json and added_tokens.json where there is no tokenizer.json', async () => {
    const base = { 'vocab.json': { a: 0, b: 1 }, 'merges.txt': 'a b\n', 'added_tokens.json': { '<s>': 2 } };
    const other = { 'tokenizer.json': bpe(['a', 'q'], [], [IM_START]) };
    const { json, written } = await unite(base, other);
    expect(json('vocab.json')).toEqual({ a: 0, b: 1, q: 3 });
    expect(json('added_tokens.json')).toEqual({ '<s>': 2, '<|im_start|>': 4 });
    expect([...written.keys()]).toEqual(['vocab.json', 'merges.txt', 'added_tokens.json']);
  });

  it('extends sentencepiece models with pieces that no text is cut into', async () => {
    const base = {
      'tokenizer.model': SENTENCEPIECE,
      'tokenizer_config.json': { added_tokens_decoder: { 3: { content: '<pad>', special: true } } },
    };
    const { written, json, tokens } = await unite(base, { 'tokenizer.json': bpe(['▁a', '▁q'], [], [IM_START]) });
    expect(tokens).toEqual(['<unk>', '</s>', '▁a', '<pad>', '▁q', '<|im_start|>']);
    const bytes = written.get('tokenizer.model')!;
    expect(bytes.subarray(0, SENTENCEPIECE.length)).toEqual(Buffer.from(SENTENCEPIECE));
    const { kind, pieces } = readPieces(bytes, (rule) => new Error(rule) as never);
    expect(kind).toBe('bpe');
    expect(pieces.slice(3)).toEqual([
      { text: '<pad>', score: -2, type: 3 },
      { text: '▁q', score: -2, type: 5 },
      { text: '<|im_start|>', score: -2, type: 3 },
    ]);
    const { added_tokens_decoder: decoder } = json('tokenizer_config.json');
    expect(Object.keys(decoder)).toEqual(['0', '1', '3', '5']);
  });

  it('leaves a tokenizer.model of another library as it is beside a tokenizer.json, and refuses it alone', async () => {
    const tiktoken = 'IQ== 0\n';
    const base = { 'tokenizer.json': bpe(['a'], []), 'tokenizer.model': tiktoken };
    const { text } = await unite(base, { 'tokenizer.json': bpe(['q'], []) });
    expect(text('tokenizer.model')).toBe(tiktoken);
    await expectError(() => read({ 'tokenizer.model': tiktoken }), 'invalid_checkpoint', 'not a sentencepiece model');
  });

  it('keeps the digits of large numbers, and tokens that are words of JavaScript', async () => {
    const base = {
      'tokenizer.json': `{"model":{"type":"BPE","vocab":{"__proto__":0,"1e+30":1},"merges":[]},"added_tokens":[]}`,
      'tokenizer_config.json': '{"model_max_length": 1000000000000000019884624838656, "x": ["1e+30"]}',
    };
    const { json, text } = await unite(base, { 'tokenizer.json': bpe(['q'], []) });
    expect(text('tokenizer.json')).toContain('"__proto__": 0');
    expect(Object.keys(json('tokenizer.json').model.vocab)).toEqual(['__proto__', '1e+30', 'q']);
    const { text: config } = await rebuild(base, { chatTemplate: 'x' });
    expect(config('tokenizer_config.json')).toContain('"model_max_length": 1000000000000000019884624838656,');
    expect(config('tokenizer_config.json')).toContain('"1e+30"');
  });

  it('sets the chat template wherever it is looked for', async () => {
    const base = {
      'tokenizer.json': bpe(['a'], []),
      'tokenizer_config.json': { chat_template: 'old', eos_token: 'a' },
      'chat_template.jinja': 'old',
      'chat_template.json': { chat_template: 'old' },
    };
    const { json, text } = await rebuild(base, { chatTemplate: '{{ new }}' });
    expect(json('tokenizer_config.json')).toEqual({ chat_template: '{{ new }}', eos_token: 'a' });
    expect(text('chat_template.jinja')).toBe('{{ new }}');
    expect(json('chat_template.json')).toEqual({ chat_template: '{{ new }}' });
    expect((await rebuild({}, { chatTemplate: '{{ new }}' })).json('tokenizer_config.json')).toEqual({
      chat_template: '{{ new }}',
    });
  });
});

const piece = (text: string, type: number) =>
  writeBytes(1, [...writeBytes(1, Buffer.from(text)), ...writeFloat(2, -1), ...writeVarint(3, type)]);
const SENTENCEPIECE = Uint8Array.from([
  ...piece('<unk>', 2),
  ...piece('</s>', 3),
  ...piece('▁a', 1),
  ...writeBytes(2, writeVarint(3, 2)),
]);
