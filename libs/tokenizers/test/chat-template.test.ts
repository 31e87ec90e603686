import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { BUILTIN_TEMPLATES, commonestTemplate, statedChatTemplate } from '../src/index.js';
import { bpe, read } from './support.js';

const withTemplate = (template: string | null) =>
  read({
    'tokenizer.json': bpe(['a'], []),
    'tokenizer_config.json': template === null ? {} : { chat_template: template },
  });

describe('chat templates', () => {
  it('are built in by mergekit’s names', () => {
    expect(Object.keys(BUILTIN_TEMPLATES)).toEqual(['alpaca', 'chatml', 'llama3', 'mistral', 'exaone']);
    expect(statedChatTemplate('chatml')).toContain('<|im_start|>');
  });

  it('may be written out, or left to the models', () => {
    const jinja = '{% for m in messages %}{{ m }}{% endfor %}';
    expect(statedChatTemplate(jinja)).toBe(jinja);
    expect(statedChatTemplate('auto')).toBeNull();
  });

  it.each(['chatlm', '{{ too short }}', 'long enough but without any brace', 'toString'])(
    'are not %s',
    async (text) => {
      const error = await expectError(() => statedChatTemplate(text), 'invalid_recipe', 'alpaca', 'Jinja');
      expect(error.errors[0]?.pointer).toBe('/chat_template');
    },
  );

  it('are by default the one that most models have, the first among equals', async () => {
    const [none, a, b] = await Promise.all([withTemplate(null), withTemplate('A'), withTemplate('B')]);
    expect(commonestTemplate([none, b, a, a])).toBe('A');
    expect(commonestTemplate([b, null, a])).toBe('B');
    expect(commonestTemplate([none, null])).toBeNull();
  });
});
