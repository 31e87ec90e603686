import type { Recipe } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { planTokens } from '../src/index.js';
import { bpe, type Content, folderOf } from './support.js';

type Files = Record<string, Content>;
type Wish = Pick<Recipe, 'tokenizer' | 'chat_template'>;

/** Plans the tokens of a recipe with a base, `rows` being as many as its letters, and models m0, m1, … */
function plan(wish: Wish, folders: Files[], rows: (number | null)[] = folders.map(() => 2)) {
  const opened: number[] = [];
  const inputs = folders.map((files, i) => ({
    reference: i === 0 ? 'base' : `m${i - 1}`,
    files: folderOf(files).files,
    config: { vocab_size: 2, eos_token_id: 1 },
    rows: rows[i] ?? null,
  }));
  const models = folders.slice(1).map((_, i) => ({ model: `m${i}` }));
  const open = (input: number) => {
    opened.push(input);
    return folderOf(folders[input]!, inputs[input]!.reference).folder;
  };
  return { opened, planned: planTokens({ recipe: { base: 'base', models, ...wish }, inputs }, open) };
}

const letters = (text: string, template?: string): Files => ({
  'tokenizer.json': bpe([...text], []),
  'tokenizer_config.json': template === undefined ? {} : { chat_template: template },
});

describe('planTokens', () => {
  it('plans a union of vocabularies of 150 000 tokens within seconds', { timeout: 30_000 }, async () => {
    const size = 150_000;
    const words = (step: number) => Array.from({ length: size }, (_, i) => `w${i * step}`);
    const files = [words(2), words(3)].map((tokens): Files => ({ 'tokenizer.json': bpe(tokens, []) }));
    const planned = await plan({ tokenizer: { source: 'union' } }, files, [size, size]).planned;
    // Of the multiples of 3 below 450 000 a third are multiples of 6 below 300 000.
    expect(planned.extra).toHaveLength(100_000);
    expect(planned.vocabulary?.rows).toBe(250_000);
    expect(planned.vocabulary?.picks.map((picks) => picks?.rows)).toEqual([250_000, 250_000]);
  });

  it('finds models by what the recipe calls them, and says what the configs must say', async () => {
    const base = { ...letters('xy'), 'generation_config.json': { eos_token_id: 1, pad_token_id: 0 } };
    const other = { ...letters('yxq'), 'generation_config.json': { eos_token_id: 0 } };
    const planned = await plan({ tokenizer: { source: 'm1' } }, [base, letters('xy'), other], [2, 2, 3]).planned;
    expect(planned.donor).toBe(2);
    expect(planned.vocabulary?.rows).toBe(3);
    expect(planned.vocabulary?.picks.map((picks) => picks === null)).toEqual([false, false, true]);
    // The donor's config.json has id 1; its generation_config.json has its own, and none for padding.
    expect(planned.config).toEqual({ vocab_size: 3 });
    expect(planned.generation).toEqual({ eos_token_id: 0, pad_token_id: 1 });
  });

  it('takes the base’s files for a union', async () => {
    const planned = await plan({ tokenizer: { source: 'union' } }, [letters('xy'), letters('xq')]).planned;
    expect(planned).toMatchObject({ donor: 0, config: { vocab_size: 3 }, generation: {}, chatTemplate: null });
    expect(planned.extra.map(({ content }) => content)).toEqual(['q']);
  });

  it('chooses the chat template, built in, written out or the models’', async () => {
    const folders = [letters('xy', '{{ a }}'), letters('xy', '{{ b }}'), letters('xy', '{{ b }}')];
    const template = async (wish: Wish, models: Files[]) => (await plan(wish, models).planned).chatTemplate;
    expect(await template({ chat_template: 'auto' }, folders)).toBe('{{ b }}');
    expect(await template({ chat_template: 'chatml' }, folders)).toContain('<|im_start|>');
    expect(await template({}, folders)).toBeNull();
    const none = await plan({ chat_template: 'auto' }, [letters('xy')]).planned;
    expect(none.warnings).toEqual(['no model has a chat template: the result gets none']);
  });

  it('opens nothing for a template that the recipe states', async () => {
    const { opened, planned } = plan({ chat_template: 'llama3' }, [letters('xy')]);
    await planned;
    expect(opened).toEqual([]);
  });

  it('warns, without a setting, of rows that stand for different tokens', async () => {
    const { warnings } = await plan({}, [letters('xy'), letters('yx'), letters('xy')]).planned;
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('in "m0" than in "base"');
  });

  it('lets a tokenizer that cannot be read stand in nobody’s way who does not ask for it', async () => {
    const folders = [letters('xy'), { 'tokenizer.json': '{' }];
    const { warnings } = await plan({}, folders).planned;
    expect(warnings).toEqual(['vocabularies are not compared: m0/tokenizer.json: is not valid JSON']);
    await expectError(() => plan({ tokenizer: { source: 'base' } }, folders).planned, 'invalid_checkpoint', 'm0/');
  });
});
