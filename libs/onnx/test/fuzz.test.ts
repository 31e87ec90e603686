import { AmalgamError } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { encodeModel, graphAttribute, graphOf, modelOf, readModel, tensorAttribute, tensorOf } from '../src/index.js';
import { info, node, numbers, smallModel } from './helpers.js';

/** A model with some of everything: a body, an attribute tensor, strings, metadata, a function. */
function richModel() {
  const model = smallModel();
  const body = {
    name: 'then',
    node: [node('Neg', ['a'], ['inner'])],
    initializer: [],
    input: [],
    output: [info('inner', [])],
    valueInfo: [],
  };
  const other = { ...body, name: 'else', node: [node('Identity', ['a'], ['other'])], output: [info('other', [])] };
  model.graph!.node.splice(
    2,
    1,
    node('Constant', [], ['c'], { attribute: [tensorAttribute('value', tensorOf('', 'BOOL', [], [1]))] }),
    node('If', ['c'], ['picked'], {
      attribute: [graphAttribute('then_branch', body), graphAttribute('else_branch', other)],
    }),
    node('Relu', ['picked'], ['y']),
  );
  model.graph!.initializer.push({
    dims: [2],
    dataType: 8,
    name: 's',
    stringData: [Buffer.from('a'), Buffer.from('b')],
  });
  model.metadataProps = [{ key: 'k', value: 'v' }];
  model.functions = [
    {
      name: 'F',
      domain: 'local',
      input: ['p'],
      output: ['q'],
      node: [node('Neg', ['p'], ['q'])],
      opsetImport: [{ version: 17 }],
    },
  ];
  return encodeModel(model);
}

/** Reads, checks, edits and writes; true when it got through, false when it was refused as it should be. */
async function survives(bytes: Uint8Array): Promise<boolean> {
  try {
    encodeModel(modelOf(graphOf(await readModel(bytes, { name: 'm' }), 'm')));
    return true;
  } catch (error) {
    if (error instanceof AmalgamError) {
      expect(['invalid_graph', 'unsupported_graph']).toContain(error.code);
      expect(error.detail).toMatch(/^m: /);
      return false;
    }
    throw error;
  }
}

describe('a model file under random damage', () => {
  const file = richModel();

  it('is read when whole', async () => expect(await survives(file)).toBe(true));

  it('is refused, or read as what is left of it, when cut at any byte', async () => {
    let read = 0;
    for (let length = 0; length < file.length; length++) if (await survives(file.subarray(0, length))) read++;
    // Cuts between the fields after the graph.
    expect(read).toBeLessThan(8);
  });

  it('only ever raises AmalgamErrors when bytes are changed', async () => {
    const random = numbers(40_000, 7);
    let next = 0;
    const pick = (limit: number) => Math.floor(((random[next++]! + 1) / 2) * limit) % limit;
    const start = Date.now();
    let read = 0;
    for (let i = 0; i < 4000; i++) {
      const damaged = Buffer.from(file);
      for (let k = 0; k <= i % 4; k++) damaged[pick(file.length)] = pick(256);
      if (await survives(damaged)) read++;
    }
    expect(read).toBeGreaterThan(0);
    expect(Date.now() - start).toBeLessThan(30_000);
  });

  it('only ever raises AmalgamErrors on noise', async () => {
    for (let i = 0; i < 500; i++) {
      const noise = Uint8Array.from(numbers(1 + (i % 60), i), (value) => (value + 1) * 127.99);
      expect(await survives(noise)).toBe(false);
    }
  });
});
