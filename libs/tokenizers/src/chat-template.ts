import { AmalgamError, quote } from '@amalgam/contracts';
import { BUILTIN_TEMPLATES } from './builtin-templates.js';
import type { TokenizerDescription } from './types.js';

/** Anything shorter is a name that was mistyped. */
const SHORTEST_TEMPLATE = 20;

/**
 * A recipe's chat_template as Jinja: a built-in one by its name, or one that is written out; null for `auto`, which
 * depends on the models.
 *
 * @throws AmalgamError `invalid_recipe` when it is neither
 */
export function statedChatTemplate(setting: string): string | null {
  if (setting === 'auto') return null;
  if (Object.hasOwn(BUILTIN_TEMPLATES, setting)) return BUILTIN_TEMPLATES[setting]!;
  if (setting.length >= SHORTEST_TEMPLATE && setting.includes('{')) return setting;
  const names = Object.keys(BUILTIN_TEMPLATES).join(', ');
  const detail =
    `${quote(setting)} is neither auto, nor a built-in template (${names}), nor Jinja ` +
    `(at least ${SHORTEST_TEMPLATE} characters, with a "{")`;
  throw new AmalgamError('invalid_recipe', `chat_template: ${detail}`, {
    errors: [{ pointer: '/chat_template', detail }],
  });
}

/** The template that most tokenizers have; among equals the one that comes first. Null when none has one. */
export function commonestTemplate(tokenizers: readonly (TokenizerDescription | null)[]): string | null {
  const counts = new Map<string, number>();
  for (const tokenizer of tokenizers) {
    const template = tokenizer?.chatTemplate ?? null;
    if (template !== null) counts.set(template, (counts.get(template) ?? 0) + 1);
  }
  // Sorting is stable: the first among equals stays first.
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}
