import { describe, expect, it } from 'vitest';
import { compareVocabularies, followVocabulary } from '../src/index.js';
import { bpe, read } from './support.js';

const model = async (letters: string, config: Record<string, unknown> | null, rows?: number) => {
  const tokenizer = await read({ 'tokenizer.json': bpe([...letters], []) });
  return { reference: letters, config, tokenizer, rows: rows ?? tokenizer.size };
};

describe('followVocabulary', () => {
  it('changes nothing where rows and vocabulary stay', async () => {
    const owner = await model('xy', { vocab_size: 9, eos_token_id: 1 });
    expect(followVocabulary({ rows: 2, tokens: [] }, owner, null)).toEqual({});
  });

  it('puts the rows into vocab_size, wherever that is said of these embeddings', async () => {
    const config = { vocab_size: 2, text_config: { vocab_size: 2 }, vision_config: { vocab_size: 7 } };
    const changes = followVocabulary({ rows: 5, tokens: [] }, await model('xy', config), null);
    expect(changes).toEqual({ vocab_size: 5, 'text_config.vocab_size': 5 });
  });

  it('says vocab_size where the config leaves it to its default', async () => {
    expect(followVocabulary({ rows: 5, tokens: [] }, await model('xy', {}), null)).toEqual({ vocab_size: 5 });
    const nested = await model('xy', { text_config: {} });
    expect(followVocabulary({ rows: 5, tokens: [] }, nested, null)).toEqual({ 'text_config.vocab_size': 5 });
    expect(followVocabulary({ rows: 5, tokens: [] }, await model('xy', null), null)).toEqual({});
  });

  it('takes ids of tokens from the model whose vocabulary it is, else moves them by what they stand for', async () => {
    const owner = await model('xyz', {
      bos_token_id: 0,
      eos_token_id: [1, 2],
      pad_token_id: 1,
      image_token_index: 2,
      text_config: { eos_token_id: 0 },
      decoder_start_token_id: null,
    });
    const donor = await model('qzx', { pad_token_id: 7 });
    expect(followVocabulary({ rows: 3, tokens: [] }, owner, donor)).toEqual({
      bos_token_id: 2,
      eos_token_id: [1],
      pad_token_id: 7,
      image_token_index: 1,
      'text_config.eos_token_id': 2,
    });
  });
});

describe('compareVocabularies', () => {
  it('warns of rows that stand for different tokens', async () => {
    const [warning, ...more] = compareVocabularies([await model('xyz', null), await model('xzy', null)]);
    expect(warning).toContain('2 rows of the embeddings stand for other tokens in "xzy" than in "xyz"');
    expect(warning).toContain('"source": "base"');
    expect(more).toEqual([]);
  });

  it('takes tokens that only one side has for no contradiction', async () => {
    expect(compareVocabularies([await model('xy', null, 4), await model('xyq', null, 4)])).toEqual([]);
    expect(compareVocabularies([await model('xyq', null, 4), await model('xy', null, 4)])).toEqual([]);
  });
});
