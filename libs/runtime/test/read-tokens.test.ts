import { expect, it } from 'vitest';
import { readTokens } from '../src/read-tokens.js';

const tokenizer = (vocab: Record<string, number>) =>
  Buffer.from(JSON.stringify({ model: { type: 'BPE', vocab, merges: [] } }));
const BASE = tokenizer({ a: 0, b: 1 });
const OTHER = tokenizer({ b: 0, q: 1 });

/** The union of what these bytes say, each being the tokenizer.json of an input. */
function unite(files: readonly Buffer[], read = (file: Buffer) => Promise.resolve(file), limitMs?: number) {
  const inputs = files.map((file, i) => ({
    reference: `in${i}`,
    files: [{ path: 'tokenizer.json', bytes: file.length }],
    config: { vocab_size: 2 },
    rows: 2,
  }));
  const models = inputs.slice(1).map(({ reference }) => ({ model: reference }));
  const recipe = { base: 'in0', models, tokenizer: { source: 'union' } };
  const labels = inputs.map(({ reference }) => reference);
  const open = async (input: number) => ({
    source: () => ({
      read: async (offset: number, length: number) => (await read(files[input]!)).subarray(offset, offset + length),
    }),
  });
  return readTokens({ recipe, inputs }, labels, open, limitMs);
}

it('tokens are planned in a thread, from files that this one reads', async () => {
  const { extra, vocabulary, config } = await unite([BASE, OTHER]);
  expect(extra.map(({ content }) => content)).toEqual(['q']);
  expect(config).toEqual({ vocab_size: 3 });
  // Rows of the other model: a from the base, its own b and q.
  expect([...vocabulary!.picks[1]!.inputs]).toEqual([0, 1]);
  expect([...vocabulary!.picks[1]!.starts]).toEqual([0, 1, 3]);
});

it('what is wrong with a file comes back with its name', async () => {
  const failing = unite([BASE, Buffer.from('{')]);
  await expect(failing).rejects.toMatchObject({
    code: 'invalid_checkpoint',
    detail: 'in1/tokenizer.json: is not valid JSON',
  });
});

it('tokenizers whose bytes do not come are given up, so that others have their turn', async () => {
  const [first, second] = await Promise.allSettled([
    unite([BASE, OTHER], () => new Promise(() => {}), 1500),
    unite([BASE, OTHER]),
  ]);
  expect(first).toMatchObject({ status: 'rejected', reason: { code: 'unavailable' } });
  expect(second.status).toBe('fulfilled');
});
