import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { readAdapterConfig, scaleOf } from '../src/index.js';

const read = (config: Record<string, unknown> | null) =>
  readAdapterConfig({ adapterConfig: config === null ? null : { peft_type: 'LORA', ...config } }, 'A');

describe('the config of an adapter', () => {
  it('has PEFT’s defaults', () => {
    expect(scaleOf(read({}), 'any')).toEqual({ rank: 8, scale: 1 });
  });

  it('matches patterns as PEFT does: the first that fits the whole name or its end behind a dot', () => {
    const config = read({
      r: 8,
      lora_alpha: 8,
      rank_pattern: { q: 1, 'a.q': 2, 'layers\\.[01]\\..*': 3, '^root': 4, k: 5 },
    });
    const ranks = (...modules: string[]) => modules.map((module) => scaleOf(config, module).rank);
    // "a.q" also ends with "q", which comes first; "aq" does not.
    expect(ranks('q', 'x.q', 'a.q', 'aq')).toEqual([1, 1, 1, 8]);
    expect(ranks('model.layers.1.x', 'layers.0.k', 'layers.2.x', 'layers.2.k')).toEqual([3, 3, 8, 5]);
    expect(ranks('root', 'x.root')).toEqual([4, 8]);
  });

  it('divides alpha by the root of the rank when it is rank-stabilised', () => {
    const config = read({ r: 4, lora_alpha: 3, use_rslora: true, rank_pattern: { q: 9 }, alpha_pattern: { q: 6 } });
    expect(scaleOf(config, 'k').scale).toBe(3 / 2);
    expect(scaleOf(config, 'q').scale).toBe(2);
  });

  it('takes no time for expressions that make other engines backtrack', () => {
    const config = read({ rank_pattern: { '(a|aa)+$': 2 } });
    expect(scaleOf(config, `${'a'.repeat(5000)}b`).rank).toBe(8);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['another kind', { peft_type: 'IA3' }, 'peft_type must be "LORA", not "IA3"'],
    ['DoRA', { use_dora: true }, 'use_dora is set'],
    ['a bias of B', { lora_bias: true }, 'lora_bias is set'],
    ['repeated layers', { layer_replication: [[0, 4]] }, 'layer_replication is set'],
    ['single tokens', { trainable_token_indices: { embed: [1] } }, 'trainable_token_indices is set'],
    ['parameters', { target_parameters: ['experts.w'] }, 'target_parameters is set'],
    ['a switch that is not known', { use_new_idea: true }, '"use_new_idea" is set'],
    ['a start that changes the base', { init_lora_weights: 'pissa_niter_4' }, 'init_lora_weights is "pissa_niter_4"'],
    ['no rank', { r: 0 }, 'r must be a whole number from 1, not 0'],
    ['an alpha in words', { lora_alpha: 'x' }, 'lora_alpha must be a number'],
    ['a pattern that is no object', { rank_pattern: [1] }, 'rank_pattern must be an object'],
    ['a pattern of fractions', { rank_pattern: { q: 1.5 } }, '"q" has 1.5'],
    ['a pattern that is no expression', { alpha_pattern: { '(': 1 } }, '"(" is not a regular expression'],
  ])('refuses %s by name', async (_, config, message) => {
    await expectError(() => read(config), 'invalid_checkpoint', 'A/adapter_config.json', message);
  });

  it('is needed', async () => {
    await expectError(() => read(null), 'invalid_checkpoint', 'A/adapter_config.json: is missing');
  });

  it('may have starts that leave the base alone, and empty fields of variants', () => {
    for (const init of [true, false, 'gaussian', 'eva', 'orthogonal']) {
      expect(() => read({ init_lora_weights: init, loftq_config: {}, target_parameters: null })).not.toThrow();
    }
  });
});
