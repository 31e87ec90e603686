import { parse, stringify } from 'yaml';
import { type Draft, isRecord } from './draft.js';

export const LANGUAGES = ['JSON', 'YAML'] as const;
export type Language = (typeof LANGUAGES)[number];

export function writeRecipe(draft: Draft, language: Language): string {
  return language === 'JSON' ? JSON.stringify(draft, null, 2) : stringify(draft);
}

/** A recipe's text, in either language, as it was typed or pasted; or why it is none. */
export function readRecipe(text: string): { draft: Draft } | { why: string } {
  let value: unknown;
  try {
    // JSON's own parser tells of JSON's mistakes in its own words, and is quicker.
    value = text.trimStart().startsWith('{') ? JSON.parse(text) : parse(text);
  } catch (error) {
    return { why: firstLine(error) };
  }
  if (!isRecord(value)) return { why: 'a recipe is an object with members: method, models and so on' };
  return { draft: value };
}

/** The language that a text is written in. */
export function languageOf(text: string): Language {
  return text.trimStart().startsWith('{') ? 'JSON' : 'YAML';
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}
