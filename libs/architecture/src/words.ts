/** What the words of a tensor's prefix or of a config's key say of the part of a model that they name. */

/** What a part of a model reads. */
export type Kind = 'text' | 'vision' | 'audio';
/** Which of two stacks of the same kind it is. */
export type Side = 'encoder' | 'decoder' | 'single';

const KINDS: Readonly<Record<string, Kind>> = {
  text: 'text',
  language: 'text',
  llm: 'text',
  lm: 'text',
  vision: 'vision',
  visual: 'vision',
  image: 'vision',
  img: 'vision',
  vit: 'vision',
  video: 'vision',
  audio: 'audio',
  speech: 'audio',
};
const SIDES: Readonly<Record<string, Side>> = { encoder: 'encoder', decoder: 'decoder', single: 'single' };
/** Words that stand in the names of any part. */
const COMMON = new Set(
  'model models module layer layers block blocks config dict num n hidden transformer backbone tower depth h'.split(
    ' ',
  ),
);

export interface Words {
  kind: Kind | null;
  side: Side | null;
  /** The others, save those that say nothing. */
  others: ReadonlySet<string>;
}

/** Of dotted or underscored names; the first word of a sort wins: `vision_tower.text_like.encoder` is vision. */
export function readWords(text: string): Words {
  const words = text.toLowerCase().split(/[._]/);
  const find = <T>(table: Readonly<Record<string, T>>): T | null => {
    const word = words.find((candidate) => Object.hasOwn(table, candidate));
    return word === undefined ? null : (table[word] ?? null);
  };
  const isOther = (word: string) =>
    word !== '' && !COMMON.has(word) && !Object.hasOwn(KINDS, word) && !Object.hasOwn(SIDES, word);
  return { kind: find(KINDS), side: find(SIDES), others: new Set(words.filter(isOther)) };
}

/** How well a number of layers in a config fits a stack of blocks; null: it is another's. */
export function affinity(stack: Words, entry: Words): number | null {
  let score = 0;
  if (entry.kind !== null) {
    if (stack.kind === entry.kind) score += 4;
    // What a language model reads often goes without saying; what others read never does.
    else if (stack.kind === null && entry.kind === 'text') score += 1;
    else return null;
  }
  if (entry.side !== null) {
    if (stack.side === entry.side) score += 4;
    // A tower that hears has encoder_layers, and may have no encoder in its names.
    else if (stack.side === null && entry.side === 'encoder' && entry.kind !== null) score += 1;
    else return null;
  }
  for (const word of entry.others) if (stack.others.has(word)) score += 3;
  return score;
}
