import type { TokenizerRecipe } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { planVocabulary, type RowPicks, type VocabularyInput, type VocabularyPlan } from '../src/index.js';
import { type AddedSpec, bpe, read, wordpiece } from './support.js';

/** A model whose vocabulary is these letters and added tokens, with this many rows; by default one for each id. */
async function model(letters: string, extra: AddedSpec[] = [], rows?: number): Promise<VocabularyInput> {
  const tokenizer = await read({ 'tokenizer.json': bpe([...letters], [], extra) });
  return { reference: letters, tokenizer, rows: rows ?? tokenizer.size };
}

function plan(setting: TokenizerRecipe, inputs: VocabularyInput[], hasBase = true): VocabularyPlan {
  const find = (reference: string) => {
    const index = inputs.findIndex((input) => input.reference === reference);
    return index < 0 ? null : index;
  };
  return planVocabulary(setting, inputs, { hasBase, find });
}

/**
 * What each row of an input's new embedding is made of, when row r of input i is "ir": "a3" is row 3 of the first input,
 * "a0+b1" a mean, "" zeros. Unchanged embeddings are written out too.
 */
function rows(planned: VocabularyPlan, input: number): string[] {
  const name = (at: number, row: number) => `${'abcdef'[at]}${row}`;
  const picks = planned.picks[input] ?? null;
  if (picks === null) return Array.from({ length: planned.rows }, (_, row) => name(input, row));
  return Array.from({ length: picks.rows }, (_, row) => {
    const run = picks.starts.findLastIndex((start) => start <= row);
    const [from, to] = [picks.begins[run]!, picks.begins[run + 1]!];
    const offset = row - picks.starts[run]!;
    return Array.from({ length: to - from }, (_, i) =>
      name(picks.inputs[from + i]!, picks.firstRows[from + i]! + offset),
    ).join('+');
  });
}

const runs = (picks: RowPicks | null) => picks?.inputs.length;

describe('the vocabulary of a result', () => {
  it('is the base’s; models that have it too stay as they are', async () => {
    const planned = plan({ source: 'base' }, [await model('xyz'), await model('xyz')]);
    expect(planned.tokens).toEqual(['x', 'y', 'z']);
    expect(planned.picks).toEqual([null, null]);
    expect(planned.warnings).toEqual([]);
  });

  it('gives models the base’s rows for tokens they lack, and drops what the base lacks', async () => {
    const planned = plan({ source: 'base' }, [await model('xyz'), await model('zqx')]);
    expect(planned.tokens).toEqual(['x', 'y', 'z']);
    expect(planned.picks[0]).toBeNull();
    expect(rows(planned, 1)).toEqual(['b2', 'a1', 'b0']);
    expect([...planned.rowsOf[1]!]).toEqual([2, -1, 0]);
  });

  it('is a named model’s', async () => {
    const planned = plan({ source: 'zqx' }, [await model('xyz'), await model('zqx')]);
    expect(planned.donor).toBe(1);
    expect(planned.tokens).toEqual(['z', 'q', 'x']);
    // The base lacks q: the sole owner's row.
    expect(rows(planned, 0)).toEqual(['a2', 'b1', 'a0']);
    expect(planned.picks[1]).toBeNull();
  });

  it('is for a union the base’s order, then what each model has besides, in its order', async () => {
    const inputs = [await model('xy'), await model('qxp'), await model('yrq')];
    const planned = plan({ source: 'union' }, inputs);
    expect(planned.tokens).toEqual(['x', 'y', 'q', 'p', 'r']);
    expect(planned.extra.map(({ content, id, added }) => [content, id, added])).toEqual([
      ['q', 2, null],
      ['p', 3, null],
      ['r', 4, null],
    ]);
    // q has two owners and no row in the base: their mean. p and r have one.
    expect(rows(planned, 0)).toEqual(['a0', 'a1', 'b0+c2', 'b2', 'c1']);
    expect(rows(planned, 1)).toEqual(['b1', 'a1', 'b0', 'b2', 'c1']);
    expect(rows(planned, 2)).toEqual(['a0', 'c0', 'c2', 'b2', 'c1']);
  });

  it('keeps the attributes of tokens that models have added', async () => {
    const chat = { id: 2, content: '<|im_start|>', special: true };
    const { extra } = plan({ source: 'union' }, [await model('xy'), await model('xy', [chat])]);
    expect(extra[0]).toMatchObject({ content: '<|im_start|>', id: 2, added: { special: true, normalized: false } });
  });

  it('takes, without a base, the first model’s for it, and means over all owners', async () => {
    const inputs = [await model('xy'), await model('yq'), await model('yq')];
    const planned = plan({ source: 'union' }, inputs, false);
    expect(planned.tokens).toEqual(['x', 'y', 'q']);
    expect(rows(planned, 0)).toEqual(['a0', 'a1', 'b1+c1']);
    // x is in the first model only.
    expect(rows(planned, 1)).toEqual(['a0', 'b0', 'b1']);
  });

  it('describes shifted vocabularies in few runs', async () => {
    const letters = Array.from({ length: 1000 }, (_, i) => String.fromCodePoint(0x4e00 + i));
    const all = letters.join('');
    const planned = plan({ source: 'base' }, [await model(all), await model(`q${all}`)]);
    expect(runs(planned.picks[1] ?? null)).toBe(1);
    expect(rows(planned, 1)[999]).toBe('b1000');
  });
});

describe('tokens that the recipe names', () => {
  const inputs = async () => [await model('xy'), await model('xq'), await model('xp')];

  it('come from a model, or are another token of one, or zeros', async () => {
    const planned = plan(
      {
        source: 'union',
        tokens: {
          q: { source: { kind: 'model_token', model: 'xp', token: 'x' } },
          p: { source: { kind: 'zero' } },
          y: { source: { kind: 'model_token', model: 'xq', token_id: 1 } },
        },
      },
      await inputs(),
    );
    // Who has the token keeps its own row.
    expect(rows(planned, 0)).toEqual(['a0', 'a1', 'c0', '']);
    expect(rows(planned, 1)).toEqual(['b0', 'b1', 'b1', '']);
    expect(rows(planned, 2)).toEqual(['c0', 'b1', 'c0', 'c1']);
  });

  it('replace every model’s row when forced', async () => {
    const setting = { source: 'base', tokens: { x: { source: 'xq', force: true } } };
    const planned = plan(setting, await inputs());
    expect([0, 1, 2].map((input) => rows(planned, input)[0])).toEqual(['b0', 'b0', 'b0']);
  });

  it('are added when nobody has them, with zeros', async () => {
    const planned = plan({ source: 'base', tokens: { '<new>': { source: { kind: 'zero' } } } }, await inputs());
    expect(planned.tokens).toEqual(['x', 'y', '<new>']);
    expect(planned.extra).toMatchObject([{ content: '<new>', id: 2, added: { special: false } }]);
    expect(rows(planned, 1)).toEqual(['b0', 'a1', '']);
  });

  it.each([
    ['a model that is not there', { source: 'nobody' }, '/tokenizer/tokens/q~1~0/source', 'none of the recipe'],
    ['a model that lacks the token', { source: 'xp' }, '/tokenizer/tokens/q~1~0/source', 'no embedding of "q/~"'],
    [
      'a token that is not there',
      { source: { kind: 'model_token' as const, model: 'xp', token: 'zz' } },
      '/tokenizer/tokens/q~1~0/source/token',
      'no embedding of "zz"',
    ],
    [
      'an id out of range',
      { source: { kind: 'model_token' as const, model: 'xp', token_id: 2 } },
      '/tokenizer/tokens/q~1~0/source/token_id',
      'none with index 2',
    ],
    [
      'neither token nor id',
      { source: { kind: 'model_token' as const, model: 'xp' } },
      '/tokenizer/tokens/q~1~0/source',
      'either token or token_id',
    ],
  ])('are refused for %s', async (_, rule, pointer, detail) => {
    const models = await inputs();
    const error = await expectError(
      () => plan({ source: 'base', tokens: { 'q/~': rule } }, models),
      'invalid_recipe',
      detail,
    );
    expect(error.errors[0]?.pointer).toBe(pointer);
  });
});

describe('rows without token', () => {
  it('keep the donor’s padding, and what each model has there', async () => {
    const planned = plan({ source: 'base' }, [await model('xy', [], 4), await model('yx', [], 3)]);
    expect(planned.rows).toBe(4);
    expect(rows(planned, 0)).toEqual(['a0', 'a1', 'a2', 'a3']);
    expect(rows(planned, 1)).toEqual(['b1', 'b0', 'b2', 'a3']);
  });

  it('are used for tokens that come in before more rows are made', async () => {
    const planned = plan({ source: 'union' }, [await model('xy', [], 4), await model('xyq')]);
    expect(planned.tokens).toEqual(['x', 'y', 'q']);
    expect(rows(planned, 0)).toEqual(['a0', 'a1', 'b2', 'a3']);
    expect(rows(planned, 1)).toEqual(['b0', 'b1', 'b2', 'a3']);
  });

  it('are as many as pad_to_multiple_of says, more or fewer', async () => {
    const more = plan({ source: 'base', pad_to_multiple_of: 4 }, [await model('xyz'), await model('xyz')]);
    expect(more.rows).toBe(4);
    expect(rows(more, 1)).toEqual(['b0', 'b1', 'b2', '']);
    const fewer = plan({ source: 'base', pad_to_multiple_of: 2 }, [await model('xyz', [], 9), await model('xyz')]);
    expect(rows(fewer, 0)).toEqual(['a0', 'a1', 'a2', 'a3']);
  });

  it('of holes in the ids are kept like padding', async () => {
    const holed = await model('xy', [{ id: 4, content: '<s>' }]);
    const planned = plan({ source: 'base' }, [holed, await model('yx')]);
    expect(planned.tokens).toEqual(['x', 'y', null, null, '<s>']);
    expect(rows(planned, 1)).toEqual(['b1', 'b0', 'a2', 'a3', 'a4']);
  });
});

describe('what is doubtful', () => {
  it('is a token beyond the rows of its model: it counts as missing', async () => {
    const planned = plan({ source: 'base' }, [await model('xyz'), await model('xyz', [], 2)]);
    expect(planned.warnings).toEqual(['"xyz" has 2 rows of embeddings and none for "z": they count as missing']);
    expect(rows(planned, 1)).toEqual(['b0', 'b1', 'a2']);
  });

  it('is a token without embedding anywhere', async () => {
    const planned = plan({ source: 'base' }, [await model('xyz', [], 2)]);
    expect(planned.warnings).toContain('no model has an embedding of "z": zeros');
    expect(rows(planned, 0)).toEqual(['a0', 'a1', '']);
  });

  it('is a model without tokenizer that has as many rows as the base', async () => {
    const silent = { reference: 'silent', tokenizer: null, rows: 3 };
    const planned = plan({ source: 'base' }, [await model('xyz'), silent]);
    expect(planned.picks).toEqual([null, null]);
    expect(planned.warnings).toEqual(['"silent" has no tokenizer: it is taken to have that of "xyz"']);
  });

  it('are words of others in a vocabulary that takes words whole, and other spellings', async () => {
    const tokenizer = await read({ 'tokenizer.json': wordpiece(['[UNK]', 'a', '##b']) });
    const base = { reference: 'bert', tokenizer, rows: 3 };
    const bytes = await read({ 'tokenizer.json': bpe(['Ġ', 'Ġq'], []) });
    const { warnings } = plan({ source: 'union' }, [base, { reference: 'gpt', tokenizer: bytes, rows: 2 }]);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain('spell words differently');
    expect(warnings[1]).toContain('2 tokens of other vocabularies ("Ġ", "Ġq") join that of "bert"');
  });
});

describe('refused are', () => {
  it('a model without tokenizer whose rows are not the base’s', async () => {
    const base = await model('xyz');
    const silent = { reference: 'silent', tokenizer: null, rows: 4 };
    await expectError(() => plan({ source: 'base' }, [base, silent]), 'invalid_recipe', '"silent" has no tokenizer');
    await expectError(() => plan({ source: 'base' }, [silent, base]), 'invalid_recipe', '"silent" has no tokenizer');
  });

  it('a source that is no model', async () => {
    const base = await model('xyz');
    const error = await expectError(() => plan({ source: 'basis' }, [base]), 'invalid_recipe', '"basis"', 'union');
    expect(error.errors[0]?.pointer).toBe('/tokenizer/source');
  });
});
