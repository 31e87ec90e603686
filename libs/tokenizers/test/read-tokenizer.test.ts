import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { readTokenizer, TokenizerFiles } from '../src/index.js';
import { writeBytes, writeFloat, writeVarint } from '../src/protobuf.js';
import { bpe, folderOf, read, unigram, wordpiece } from './support.js';

const SPECIAL = { bos_token: '<s>', eos_token: { content: '</s>' }, pad_token: '<nowhere>' };

describe('readTokenizer', () => {
  it('reads byte-level BPE with its added tokens', async () => {
    const { kind, spelling, tokens, added, size, takesWholeWords } = await read({
      'tokenizer.json': bpe(['a', 'b', 'Ġ'], ['a b', 'Ġ a'], [{ id: 9, content: '<s>' }]),
    });
    expect({ kind, spelling, size, takesWholeWords }).toEqual({
      kind: 'bpe',
      spelling: 'bytes',
      size: 10,
      takesWholeWords: false,
    });
    expect([...tokens]).toEqual([
      ['a', 0],
      ['b', 1],
      ['Ġ', 2],
      ['ab', 3],
      ['Ġa', 4],
      ['<s>', 9],
    ]);
    expect(added.get('<s>')).toEqual({
      content: '<s>',
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    });
  });

  it('reads WordPiece', async () => {
    const { kind, spelling, special, takesWholeWords } = await read({
      'tokenizer.json': wordpiece(['[UNK]', 'a', '##b']),
    });
    expect({ kind, spelling, unk: special.unk, takesWholeWords }).toEqual({
      kind: 'wordpiece',
      spelling: 'wordpiece',
      unk: '[UNK]',
      takesWholeWords: true,
    });
  });

  it('reads Unigram, whose pieces are numbered by their place', async () => {
    const { kind, tokens, special } = await read({
      'tokenizer.json': unigram([
        ['<unk>', 0],
        ['▁a', -1.5],
      ]),
    });
    expect(kind).toBe('unigram');
    expect(tokens.get('▁a')).toBe(1);
    expect(special.unk).toBe('<unk>');
  });

  it('takes added tokens that only the files beside it know, and special tokens that are in the vocabulary', async () => {
    const { tokens, added, special, chatTemplate } = await read({
      'tokenizer.json': bpe(['a'], [], [{ id: 1, content: '<s>' }]),
      'tokenizer_config.json': {
        ...SPECIAL,
        added_tokens_decoder: { 2: { content: '</s>', special: true }, 0: { content: '<taken>', special: true } },
        chat_template: [
          { name: 'tools', template: 'no' },
          { name: 'default', template: '{{ yes }}' },
        ],
      },
      'added_tokens.json': { '<late>': 5 },
    });
    expect([...tokens.keys()]).toEqual(['a', '<s>', '</s>', '<late>']);
    expect(added.get('</s>')?.special).toBe(true);
    expect(special).toEqual({ bos: '<s>', eos: '</s>', pad: null, unk: null });
    expect(chatTemplate).toBe('{{ yes }}');
  });

  it('takes a chat template that is a file of its own first', async () => {
    const files = { 'tokenizer.json': bpe(['a'], []), 'tokenizer_config.json': { chat_template: 'old' } };
    expect((await read({ ...files, 'chat_template.json': { chat_template: 'json' } })).chatTemplate).toBe('json');
    expect((await read({ ...files, 'chat_template.jinja': 'jinja' })).chatTemplate).toBe('jinja');
  });

  it('reads vocab.json with merges.txt, and vocab.txt', async () => {
    const gpt = await read({ 'vocab.json': { a: 0, Ġa: 1 }, 'merges.txt': '#version: 0.2\nĠ a\n' });
    expect([gpt.kind, gpt.format, gpt.size]).toEqual(['bpe', 'vocab.json', 2]);
    const bert = await read({ 'vocab.txt': '[PAD]\n[UNK]\na\n##b\n' });
    expect([bert.kind, bert.tokens.get('##b'), bert.special.unk]).toEqual(['wordpiece', 3, '[UNK]']);
  });

  it('reads sentencepiece models, with the sentinels of T5', async () => {
    const t5 = await read({ 'spiece.model': SENTENCEPIECE, 'tokenizer_config.json': { extra_ids: 2 } });
    expect(t5.kind).toBe('unigram');
    expect([...t5.tokens]).toEqual([
      ['<unk>', 0],
      ['</s>', 1],
      ['▁a', 2],
      ['<extra_id_0>', 4],
      ['<extra_id_1>', 3],
    ]);
    expect(t5.special.unk).toBe('<unk>');
    expect([...t5.added.keys()]).toEqual(['<unk>', '</s>', '<extra_id_0>', '<extra_id_1>']);
  });

  it('finds none in a folder without one', async () => {
    const { folder, files } = folderOf({ 'config.json': '{}', 'tokenizer_config.json': '{}' });
    expect(await readTokenizer(new TokenizerFiles(folder, files))).toBeNull();
  });

  const broken: [string, Parameters<typeof read>[0], string[]][] = [
    ['no JSON', { 'tokenizer.json': '{' }, ['M/tokenizer.json', 'not valid JSON']],
    ['no object', { 'tokenizer.json': '[]' }, ['not a JSON object']],
    ['no UTF-8', { 'tokenizer.json': Uint8Array.of(0x22, 0xff, 0x22) }, ['not UTF-8']],
    ['no model', { 'tokenizer.json': {} }, ['"model" must be an object']],
    ['an unknown model', { 'tokenizer.json': { model: { type: 'Tekken' } } }, ['"Tekken"']],
    ['a list for a vocabulary', { 'tokenizer.json': { model: { type: 'BPE', vocab: [] } } }, ['"model.vocab"']],
    ['pieces without score', { 'tokenizer.json': { model: { type: 'Unigram', vocab: [['a']] } } }, ['model.vocab/0']],
    ['a negative id', { 'vocab.json': { a: -1 } }, ['"a"', 'from 0']],
    ['an id beyond all vocabularies', { 'vocab.json': { a: 2 ** 31 } }, ['"a"', 'from 0']],
    ['an id that is no number', { 'vocab.json': { a: '1' } }, ['"a"', 'integer']],
    ['one id for two tokens', { 'vocab.json': { a: 1, b: 1 } }, ['"a"', '"b"', 'both have id 1']],
    ['an added token without content', { 'tokenizer.json': { ...bpe(['a'], []), added_tokens: [{ id: 1 }] } }, ['/0']],
    ['no tokens', { 'vocab.json': {} }, ['has no tokens']],
    ['sentencepiece bytes cut off', { 'tokenizer.model': Uint8Array.of(0x0a, 5, 0) }, ['sentencepiece', 'announced']],
    ['text in place of sentencepiece', { 'tokenizer.model': 'IQ== 0\nIg== 1\n' }, ['not a sentencepiece model']],
    ['no pieces', { 'tokenizer.model': new Uint8Array() }, ['no pieces']],
    [
      'a family that numbers pieces its own way',
      { 'spiece.model': '', 'tokenizer_config.json': { tokenizer_class: 'PegasusTokenizer' } },
      ['"PegasusTokenizer"', 'tokenizer.json is needed'],
    ],
  ];
  it.each(broken)('refuses %s', async (_, files, parts) => {
    await expectError(() => read(files), 'invalid_checkpoint', ...parts);
  });

  it('refuses a file larger than any tokenizer', async () => {
    const { folder } = folderOf({});
    const files = [{ path: 'tokenizer.json', bytes: 2 ** 30 }];
    await expectError(() => readTokenizer(new TokenizerFiles(folder, files)), 'invalid_checkpoint', 'at most');
  });
});

const piece = (text: string, type: number) =>
  writeBytes(1, [...writeBytes(1, Buffer.from(text)), ...writeFloat(2, -1), ...writeVarint(3, type)]);
const SENTENCEPIECE = Uint8Array.from([
  ...piece('<unk>', 2),
  ...piece('</s>', 3),
  ...piece('▁a', 1),
  // trainer_spec: unigram, and a negative id of ten bytes.
  ...writeBytes(2, [...writeVarint(3, 1), 0xd8, 0x02, ...new Array<number>(9).fill(0xff), 1]),
]);
