import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrange, describeArchitecture } from '../src/index.js';

function checkpoint(shapes: Record<string, number[]>, config: Record<string, unknown> | null) {
  const tensors = new Map(
    Object.entries(shapes).map(([name, shape]) => {
      const elements = shape.reduce((product, size) => product * size, 1);
      return [name, { name, shape, elements, dtype: 'F32' as const, bytes: 4 * elements, file: 'f', begin: 8 }];
    }),
  );
  return { kind: 'model' as const, tensors, config };
}

describe('whatever a file holds', () => {
  const segment = fc.constantFrom(
    '0',
    '1',
    '2',
    '01',
    'layers',
    'encoder',
    'decoder',
    'vision',
    'lm_head',
    'shared',
    'weight',
    'bias',
    '',
    'a',
  );
  const name = fc.array(segment, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('.'));
  const shapes = fc.dictionary(name, fc.array(fc.nat(4), { maxLength: 3 }), { maxKeys: 30, noNullPrototype: true });
  const key = fc.constantFrom(
    'num_layers',
    'num_hidden_layers',
    'text_config',
    'encoder',
    'vocab_size',
    'layer_types',
    'tie_word_embeddings',
  );
  const config = fc.option(
    fc.dictionary(key, fc.oneof(fc.nat(4), fc.boolean(), fc.jsonValue({ maxDepth: 2 })), { noNullPrototype: true }),
  );

  it('is described, and arranged as it is', () => {
    fc.assert(
      fc.property(shapes, config, (given, json) => {
        const described = checkpoint(given, json);
        const { stacks, modules, layerOf } = describeArchitecture(described);
        for (const tensor of described.tensors.keys()) {
          const layer = layerOf(tensor);
          if (layer !== null) expect(layer.index).toBeLessThan(stacks[layer.stack]?.count ?? 0);
          expect(modules.of(tensor) === null).toBe(stacks.length === 0);
        }
        const inputs = { base: null, models: [{ reference: 'a', checkpoint: described }] };
        const { tensors } = arrange({ method: 'x', models: [{ model: 'a' }] }, inputs);
        expect(tensors.map((tensor) => tensor.name).sort()).toEqual([...described.tensors.keys()].sort());
      }),
      { numRuns: 500 },
    );
  });

  it('takes no time out of proportion', () => {
    const deep = 'a.'.repeat(50_000);
    const given: Record<string, number[]> = {};
    for (let i = 0; i < 20_000; i++) for (const j of [0, 1]) given[`p${i}.${j}.a.weight`] = [4, 4];
    for (const tail of ['b', 'c']) for (const j of [0, 1]) given[`${deep}${tail}.${j}.a.weight`] = [4, 4];
    const before = performance.now();
    expect(describeArchitecture(checkpoint(given, { num_layers: 2, vocab_size: 4 })).stacks).toEqual([]);
    expect(performance.now() - before).toBeLessThan(5000);
  });
});
