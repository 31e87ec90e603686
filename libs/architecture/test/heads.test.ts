import { describe, expect, it } from 'vitest';
import { arranged, changed, make, names, slice, tensorOf } from './support.js';

const HEAD = 'lm_head.weight';
const EMBEDDING = 'model.embed_tokens.weight';
const tied = make('llama', { tied: true });
const untied = make('llama', { tied: false });
/** Tied, and the head stored all the same. */
const doubled = { ...tied, shapes: { ...tied.shapes, [HEAD]: [40, 16] } };

describe('heads that are the embedding', () => {
  it('in all models make a result without a head', async () => {
    const result = await arranged({ base: 'base' }, { base: tied, a: tied });
    expect([names(result).includes(HEAD), result.config, result.warnings]).toEqual([false, {}, []]);
  });

  it('serve for the head that another has', async () => {
    const result = await arranged({ base: 'base' }, { base: untied, a: tied });
    expect(tensorOf(result, HEAD).models).toEqual([{ model: 0, name: EMBEDDING }]);
    expect(result.config).toEqual({});
  });

  it('in the base become a head when a model has its own', async () => {
    const result = await arranged({ base: 'base' }, { base: tied, a: tied, b: untied });
    expect(tensorOf(result, HEAD)).toMatchObject({
      base: { model: null, name: EMBEDDING },
      models: [
        { model: 0, name: EMBEDDING },
        { model: 1, name: HEAD },
      ],
    });
    expect(result.config).toEqual({ tie_word_embeddings: false });
    expect(result.warnings).toEqual([expect.stringContaining('"b" has a head of its own while "base"')]);
  });

  it('are redundant where a model stores them besides', async () => {
    const result = await arranged({ base: 'base' }, { base: tied, a: doubled });
    expect(result.redundant).toEqual([{ model: 0, name: HEAD }]);
    expect(names(result)).not.toContain(HEAD);
  });

  it('stay where the base stores them besides', async () => {
    const result = await arranged({ base: 'base' }, { base: doubled, a: tied });
    expect(tensorOf(result, HEAD).models).toEqual([{ model: 0, name: EMBEDDING }]);
    expect([result.config, result.redundant]).toEqual([{}, []]);
  });

  it('are told by the family where no config says so', async () => {
    const gpt2 = make('gpt2');
    const stored = { ...gpt2, shapes: { ...gpt2.shapes, [HEAD]: [40, 16] } };
    const result = await arranged({ base: 'base' }, { base: gpt2, a: stored });
    expect([names(result).includes(HEAD), result.redundant]).toEqual([false, [{ model: 0, name: HEAD }]]);
  });

  it('are nothing to a checkpoint without a config, whose models may have heads of their own', async () => {
    const shapes = { 'embed_tokens.weight': [40, 8] };
    const result = await arranged(
      { base: 'base' },
      {
        base: { shapes, config: null },
        a: { shapes: { ...shapes, 'head.weight': [40, 8] }, config: null },
      },
    );
    expect(names(result)).toEqual(['embed_tokens.weight']);
  });
});

describe('heads in slices', () => {
  const slices = [slice(['a', 0, 2]), slice(['b', 2, 4])];

  it('are those of the last one', async () => {
    const result = await arranged({ slices }, { a: tied, b: untied });
    expect(tensorOf(result, HEAD)).toMatchObject({ models: [{ model: 1, name: HEAD }], slice: 1 });
    expect(changed(tied.config, result)).toEqual(untied.config);
  });

  it('are its embedding where it has none and the config wants one', async () => {
    const result = await arranged({ slices }, { a: untied, b: tied });
    expect(tensorOf(result, HEAD)).toMatchObject({ models: [{ model: 1, name: EMBEDDING }], slice: 1 });
    expect(changed(untied.config, result)).toEqual(untied.config);
  });

  it('are the embedding where all models tie them', async () => {
    const result = await arranged({ slices }, { a: tied, b: tied });
    expect([names(result).includes(HEAD), result.config]).toEqual([false, {}]);
  });
});
