import { describe, expect, it } from 'vitest';
import { describeCheckpoint, parseConfig } from '../src/index.js';
import { memory, weights } from './memory-folder.js';

const parse = (text: string | Uint8Array) => parseConfig(Buffer.from(text));

describe('configs of a checkpoint', () => {
  it('are read from the top level', async () => {
    const description = await describeCheckpoint(
      memory({
        'adapter_model.safetensors': weights('a'),
        'adapter_config.json': '{"r": 8}',
        'config.json': '{"vocab_size": 32}',
        'text_encoder/config.json': '{"vocab_size": 64}',
      }),
    );
    expect([description.config, description.adapterConfig]).toEqual([{ vocab_size: 32 }, { r: 8 }]);
  });

  it('are null when there are none', async () => {
    const description = await describeCheckpoint(memory({ 'model.safetensors': weights('a') }));
    expect([description.config, description.adapterConfig]).toEqual([null, null]);
  });

  it('leave nothing open', async () => {
    const folder = memory({ 'model.safetensors': weights('a'), 'config.json': '{}' });
    await describeCheckpoint(folder);
    expect([folder.opened.includes('config.json'), folder.open]).toEqual([true, 0]);
  });

  it('are not read when they are larger than 1 MB', async () => {
    const folder = memory({ 'model.safetensors': weights('a'), 'config.json': `{"a": "${'x'.repeat(2 ** 20)}"}` });
    expect((await describeCheckpoint(folder)).config).toBeNull();
    expect(folder.opened).not.toContain('config.json');
  });
});

describe('a config', () => {
  it.each([
    ['a list', '[1]'],
    ['null', 'null'],
    ['a number', '3'],
    ['no JSON', '{"a": }'],
    ['nothing', ''],
    ['not UTF-8', Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)],
    ['nested beyond any sense', `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
  ])('that is %s counts as none', (_what, text) => expect(parse(text)).toBeNull());

  it("may hold Python's numbers that JSON has not", () => {
    expect(parse('{"limit": [0.0, Infinity, -Infinity], "nan": NaN, "say \\"NaN\\"": "Infinity"}')).toEqual({
      limit: [0, null, null],
      nan: null,
      'say "NaN"': 'Infinity',
    });
  });
});
