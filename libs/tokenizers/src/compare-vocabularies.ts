import { quote } from '@amalgam/contracts';
import type { VocabularyInput } from './owners.js';

/**
 * What a merge without a `tokenizer` setting takes for granted: that a row stands for the same token everywhere. A warning for
 * each model where it does not. Tokens that only one side has are no contradiction: models put theirs where others have padding.
 */
export function compareVocabularies(inputs: readonly VocabularyInput[]): string[] {
  const [first, ...others] = inputs;
  if (first === undefined || first.tokenizer === null) return [];
  const words = new Map([...first.tokenizer.tokens].map(([token, id]) => [id, token]));
  return others.flatMap(({ reference, tokenizer, rows }) => {
    if (tokenizer === null || tokenizer === first.tokenizer || rows === null) return [];
    const moved = [...tokenizer.tokens].filter(([token, id]) => (words.get(id) ?? token) !== token);
    const [example] = moved;
    if (example === undefined) return [];
    const [token, id] = example;
    return [
      `${moved.length} rows of the embeddings stand for other tokens in ${quote(reference)} than in ${quote(first.reference)} ` +
        `(${id}: ${quote(token)}, not ${quote(words.get(id) ?? '')}) and are merged all the same; ` +
        '"tokenizer": { "source": "base" } in the recipe puts them in order',
    ];
  });
}
