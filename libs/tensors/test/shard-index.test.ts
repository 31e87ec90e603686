import { describe, it } from 'vitest';
import { indexOf, refused, sharded, weights } from './memory-folder.js';

describe('the index', () => {
  const index = 'M/model.safetensors.index.json: ';
  const bad = (text: string | Uint8Array, ...parts: (string | RegExp)[]) =>
    refused(sharded({}, { 'model.safetensors.index.json': text }), index, ...parts);

  it('refuses what is not JSON', () => bad('{', 'not valid JSON'));
  it('refuses what is not UTF-8', () => bad(Buffer.from([0x7b, 0xff]), 'UTF-8'));
  it('refuses a list', () => bad('[]', 'not array'));
  it('refuses one without weight_map', () => bad('{"metadata":{}}', 'no weight_map'));
  it('refuses an empty weight_map', () => bad('{"weight_map":{}}', 'names no tensors'));
  it('refuses a weight_map that is no object', () => bad('{"weight_map":[]}', 'weight_map', 'not array'));
  it('refuses a shard that is no string', () => bad('{"weight_map":{"a":1}}', '"a"', 'not number'));
  it('refuses a tensor twice', () =>
    bad('{"weight_map":{"a":"x.safetensors","\\u0061":"y.safetensors"}}', 'the key "a" is there twice'));
  it('refuses an index above 64 MB', () => bad(' '.repeat(2 ** 26 + 1), '67108865', '67108864'));
  it('refuses more than 10 000 shards', () =>
    bad(
      indexOf(Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`t${i}`, `${i}.safetensors`]))),
      '10000 shards',
    ));
  it.each([
    '../x.safetensors',
    'a/x.safetensors',
    '/x.safetensors',
    'a\\x.safetensors',
    '..',
    '.',
    '',
    'a..safetensors',
  ])('refuses the shard name %j', (shard) =>
    refused(sharded({ b: shard }), index, '"b"', JSON.stringify(shard), 'without folders'),
  );
  it('refuses a shard of another kind', () => refused(sharded({ b: 'config.json' }), index, '"config.json"', '"b"'));
  it('names missing shards', () =>
    refused(sharded({ b: 'model-9.safetensors' }), index, '1 of 2 shards', '"model-9.safetensors"'));
  it('names a shard of the set that it forgot', () =>
    refused(
      sharded({ b: 'model-00001-of-00002.safetensors' }),
      index,
      'does not name "model-00002-of-00002.safetensors"',
    ));
  it('names a tensor in a shard but not in the index', () =>
    refused(
      sharded({}, { 'model-00002-of-00002.safetensors': weights('b', 'x.y') }),
      index,
      '"x.y" is in shard "model-00002-of-00002.safetensors" but not in the index',
    ));
  it('names a tensor in the index but not in a shard', () =>
    refused(
      sharded({ 'x.y': 'model-00002-of-00002.safetensors' }),
      index,
      '"x.y" is in the index but not in shard "model-00002-of-00002.safetensors"',
    ));
  it('names a tensor that is in another shard', () =>
    refused(
      sharded({ c: 'model-00002-of-00002.safetensors' }),
      index,
      '"c" in shard',
      '0002-of',
      'but it is in',
      '0001-of',
    ));
  it('names a tensor in two shards', () =>
    refused(
      sharded({}, { 'model-00002-of-00002.safetensors': weights('b', 'a') }),
      '"a" is in two shards',
      '0001-of',
      '0002-of',
    ));
  it('looks up names such as constructor in no prototype', () =>
    refused(
      sharded({}, { 'model-00002-of-00002.safetensors': weights('b', 'constructor') }),
      '"constructor"',
      'not in the index',
    ));
});
