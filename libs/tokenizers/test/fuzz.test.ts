import { isAmalgamError } from '@amalgam/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { piecesToAppend } from '../src/sentencepiece.js';
import { bpe, read, unigram } from './support.js';

/** Whatever the bytes are, reading them ends in a tokenizer whose ids are sound, or in an error that names the file. */
async function survives(path: string, bytes: Uint8Array): Promise<void> {
  try {
    const { tokens, size } = await read({ [path]: bytes });
    for (const id of tokens.values()) expect(Number.isInteger(id) && id >= 0 && id < size).toBe(true);
  } catch (error) {
    if (!isAmalgamError(error)) throw error;
    expect(error.code).toBe('invalid_checkpoint');
    expect(error.detail).toContain(`M/${path}`);
  }
}

/** Bytes with some of them replaced, or cut off. */
const damaged = (bytes: Uint8Array) =>
  fc
    .tuple(
      fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 4 }),
      fc.integer({ min: 1, max: bytes.length }),
    )
    .map(([changes, length]) => {
      const copy = Uint8Array.from(bytes);
      for (const [at, value] of changes) copy[at] = value;
      return copy.subarray(0, length);
    });

const PIECES = piecesToAppend(
  ['<unk>', '▁a', 'b', '<s>'].map((text, type) => ({ text, score: -type, type: type + 1 })),
);
const JSONS = [
  bpe(['a', 'b'], ['a b'], [{ id: 3, content: '<s>' }]),
  unigram([
    ['<unk>', 0],
    ['a', -1],
  ]),
].map((document) => Buffer.from(JSON.stringify(document)));

describe('damaged files', () => {
  it('of sentencepiece', () =>
    fc.assert(fc.asyncProperty(damaged(PIECES), (bytes) => survives('tokenizer.model', bytes))));

  it.each(JSONS)('of tokenizer.json', (document) =>
    fc.assert(fc.asyncProperty(damaged(document), (bytes) => survives('tokenizer.json', bytes))),
  );

  it('of any JSON where a tokenizer should be', () =>
    fc.assert(
      fc.asyncProperty(fc.json(), fc.json(), (model, added) =>
        survives('tokenizer.json', Buffer.from(`{"model":{"vocab":${model}},"added_tokens":${added}}`)),
      ),
    ));
});
