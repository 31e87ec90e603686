import type { TokenTable } from './token-table.js';
import { plainToken, toAddedToken } from './token-table.js';
import { isObject } from './tokenizer-files.js';
import type { SpecialTokens } from './types.js';

/** The small JSON files beside a vocabulary; null for those that are not there. */
export interface SideFiles {
  /** tokenizer_config.json */
  config: Record<string, unknown> | null;
  /** special_tokens_map.json */
  specialMap: Record<string, unknown> | null;
  /** added_tokens.json */
  added: Record<string, unknown> | null;
  /** chat_template.jinja, else what chat_template.json holds. */
  chatTemplate: string | null;
}

/** Adds the tokens that only tokenizer_config.json and added_tokens.json know. What the vocabulary says comes first. */
export function addSideTokens(table: TokenTable, { config, added }: SideFiles): void {
  const decoder = config?.['added_tokens_decoder'];
  if (isObject(decoder)) {
    for (const [id, value] of Object.entries(decoder)) {
      const token = toAddedToken(value, false);
      if (token !== null) table.addIfFree(token, /^[0-9]+$/.test(id) ? Number(id) : id);
    }
  }
  for (const [content, id] of Object.entries(added ?? {})) table.addIfFree(plainToken(content, false), id);
}

/** A special token that is named but is not in the vocabulary has no id: null. */
export function specialTokens(table: TokenTable, { config, specialMap }: SideFiles, unk: string | null): SpecialTokens {
  const find = (name: string): string | null => {
    for (const file of [config, specialMap]) {
      const token = toAddedToken(file?.[name], true);
      if (token !== null && table.tokens.has(token.content)) return token.content;
    }
    return null;
  };
  return {
    bos: find('bos_token'),
    eos: find('eos_token'),
    pad: find('pad_token'),
    unk: find('unk_token') ?? (unk !== null && table.tokens.has(unk) ? unk : null),
  };
}

/** The default template: a file of its own comes before tokenizer_config.json, where it may be one of several by name. */
export function chatTemplateOf({ config, chatTemplate }: SideFiles): string | null {
  if (chatTemplate !== null) return chatTemplate;
  const template = config?.['chat_template'];
  if (typeof template === 'string') return template;
  if (!Array.isArray(template)) return null;
  const named = template.filter(isObject).find(({ name }) => name === 'default');
  return typeof named?.['template'] === 'string' ? named['template'] : null;
}
