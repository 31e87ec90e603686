import { ID_PATTERNS } from '@amalgam/contracts';
import { type Draft, isRecord } from './draft.js';

const CHECKPOINT = new RegExp(ID_PATTERNS.checkpoint);
/** Keys of a document of mergekit under which models stand, alone or in lists. */
const NAMED = new Set(['model', 'base_model', 'path', 'lora']);

/**
 * Models that a document of mergekit names by paths, or by names of the hub, as it does where it comes from: each once, in its
 * order. The service knows checkpoints by their ids.
 */
export function strangeNames(draft: Draft): string[] {
  const found = new Set<string>();
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(walk);
    else if (isRecord(value)) {
      for (const [key, item] of Object.entries(value)) {
        if (NAMED.has(key) && typeof item === 'string') for (const part of item.split('+')) found.add(part.trim());
        else walk(item);
      }
    }
  };
  walk(draft);
  return [...found].filter((name) => name !== '' && !CHECKPOINT.test(name));
}

/** The text with an id wherever the name stands by itself, so that comments and order stay. */
export function putInPlace(text: string, name: string, id: string): string {
  const quoted = name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  return text.replace(new RegExp(`(?<![\\w./@-])${quoted}(?![\\w./@-])`, 'g'), id);
}

/** By which a checkpoint may be found: `math` of `./models/math` and of `org/math@main`. */
export function shortName(name: string): string {
  return name.replace(/@.*/, '').split('/').filter(Boolean).at(-1) ?? name;
}
