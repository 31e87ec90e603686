import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import {
  checkpointFromInventory,
  describeCheckpoint,
  encodeSafetensors,
  inventoryOf,
  localFileFolder,
  localFolder,
} from '../src/index.js';
import { indexOf, memory, PICKLE, refused, sharded, tensor, unsafe, weights } from './memory-folder.js';

const ZOO = new URL('../../../examples/zoo/vit6/', import.meta.url).pathname;

describe('layouts', () => {
  it('describes a single file', async () => {
    const file = encodeSafetensors([
      tensor('z', 2, 3),
      { name: 'B', dtype: 'BF16', shape: [4], data: new Uint8Array(8) },
      tensor('a'),
    ]);
    const description = await describeCheckpoint(
      memory({ 'model.safetensors': file, 'config.json': '{}', 'heads/x.safetensors': 'junk', 'old.bin': PICKLE }),
    );
    const at = file.length - 36;
    expect(description).toEqual({
      kind: 'model',
      config: {},
      adapterConfig: null,
      files: [
        { path: 'config.json', bytes: 2 },
        { path: 'heads/x.safetensors', bytes: 4 },
        { path: 'model.safetensors', bytes: file.length },
        { path: 'old.bin', bytes: PICKLE.length },
      ],
      weightFiles: ['model.safetensors'],
      indexFile: null,
      sideFiles: ['config.json', 'heads/x.safetensors', 'old.bin'],
      tensors: new Map([
        [
          'B',
          { name: 'B', dtype: 'BF16', shape: [4], elements: 4, bytes: 8, file: 'model.safetensors', begin: at + 24 },
        ],
        ['a', { name: 'a', dtype: 'F32', shape: [], elements: 1, bytes: 4, file: 'model.safetensors', begin: at + 32 }],
        ['z', { name: 'z', dtype: 'F32', shape: [2, 3], elements: 6, bytes: 24, file: 'model.safetensors', begin: at }],
      ]),
      parameters: 11,
      bytes: 36,
      dtypes: { F32: 7, BF16: 4 },
    });
    expect([...description.tensors.keys()]).toEqual(['B', 'a', 'z']);
  });

  it('describes shards', async () => {
    const folder = memory(sharded({}, { 'consolidated.safetensors': 'not looked at' }));
    const description = await describeCheckpoint(folder);
    expect([...description.tensors.values()].map((t) => [t.name, t.file])).toEqual([
      ['a', 'model-00001-of-00002.safetensors'],
      ['b', 'model-00002-of-00002.safetensors'],
      ['c', 'model-00001-of-00002.safetensors'],
    ]);
    expect(description.weightFiles).toEqual(['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']);
    expect(description.indexFile).toBe('model.safetensors.index.json');
    expect(description.sideFiles).toEqual(['config.json', 'consolidated.safetensors']);
    expect(folder.open).toBe(0);
  });

  it('takes the only index and the only file, whatever their names', async () => {
    const { 'model.safetensors.index.json': index, ...rest } = sharded();
    const other = await describeCheckpoint(memory({ ...rest, 'x.safetensors.index.json': index }));
    expect(other.tensors.size).toBe(3);
    const single = await describeCheckpoint(memory({ 'blobs.safetensors': weights('a'), 'blobs.onnx': 'x' }));
    expect(single.weightFiles).toEqual(['blobs.safetensors']);
  });

  it('prefers the index, then model.safetensors', async () => {
    const both = await describeCheckpoint(memory(sharded({}, { 'model.safetensors': 'stale' })));
    expect(both.tensors.size).toBe(3);
    const named = await describeCheckpoint(memory({ 'model.safetensors': weights('a'), 'x.safetensors': 'junk' }));
    expect(named.weightFiles).toEqual(['model.safetensors']);
  });

  it('takes the plain form of what has variants, of files and of shards', async () => {
    const one = { 'diffusion_pytorch_model.safetensors': weights('a') };
    const half = {
      'diffusion_pytorch_model.fp16.safetensors': 'half',
      'diffusion_pytorch_model.non_ema.safetensors': '',
    };
    const single = await describeCheckpoint(memory({ ...one, ...half, 'config.json': '{}' }));
    expect(single.weightFiles).toEqual(['diffusion_pytorch_model.safetensors']);
    const { 'model.safetensors.index.json': index, ...rest } = sharded();
    const indexes = { 'x.safetensors.index.json': index, 'x.fp16.safetensors.index.json': 'half' };
    expect((await describeCheckpoint(memory({ ...rest, ...indexes }))).indexFile).toBe('x.safetensors.index.json');
    expect(
      (await describeCheckpoint(memory({ ...one, 'diffusion_pytorch_model.fp16.safetensors.index.json': '' })))
        .weightFiles,
    ).toEqual(['diffusion_pytorch_model.safetensors']);
  });

  it('takes a variant that is alone', async () => {
    const { weightFiles } = await describeCheckpoint(memory({ 'x.fp16.safetensors': weights('a') }));
    expect(weightFiles).toEqual(['x.fp16.safetensors']);
  });

  it('knows an adapter by its two files', async () => {
    const files = { 'adapter_model.safetensors': weights('lora_A'), 'adapter_config.json': '{}' };
    expect((await describeCheckpoint(memory(files))).kind).toBe('adapter');
    expect((await describeCheckpoint(memory({ ...files, 'optimizer.safetensors': '' }))).kind).toBe('adapter');
    expect((await describeCheckpoint(memory({ ...files, 'model.safetensors': weights('a') }))).kind).toBe('model');
    const { 'adapter_config.json': _, ...alone } = files;
    expect((await describeCheckpoint(memory(alone))).kind).toBe('model');
  });

  it('reads at most eight headers at once', async () => {
    const names = Array.from({ length: 40 }, (_, i) => `t${i}`);
    const shard = (name: string) => `${name}.safetensors`;
    const folder = memory({
      'model.safetensors.index.json': indexOf(Object.fromEntries(names.map((name) => [name, shard(name)]))),
      ...Object.fromEntries(names.map((name) => [shard(name), weights(name)])),
    });
    expect((await describeCheckpoint(folder)).tensors.size).toBe(40);
    expect(folder.mostOpen).toBe(8);
    expect(folder.open).toBe(0);
  });

  it('describes the example zoo', async () => {
    const description = await describeCheckpoint(localFileFolder(`${ZOO}base.safetensors`, 'vit6'));
    expect(description.weightFiles).toEqual(['base.safetensors']);
    expect(description.dtypes).toEqual({ F32: description.parameters });
    expect(description.bytes).toBe(description.parameters * 4);
    await expectError(
      () => describeCheckpoint(localFolder(ZOO, 'zoo')),
      'invalid_checkpoint',
      'zoo: ',
      /\d+ safetensors/,
    );
  });

  it('closes every file of a local folder', async () => {
    const openFiles = async () => (await readdir('/proc/self/fd').catch(() => [])).length;
    const before = await openFiles();
    for (let i = 0; i < 20; i++) await describeCheckpoint(localFileFolder(`${ZOO}base.safetensors`));
    expect(await openFiles()).toBeLessThan(before + 10);
  });
});

describe('folders without one checkpoint', () => {
  it('refuses an empty one', () => refused({}, 'M: ', 'empty'));
  it('refuses one without weights', () => refused({ 'config.json': '{}', 'a.txt': '' }, '"a.txt", "config.json"'));
  it('names several files without index', () =>
    refused(
      { 'a.safetensors': weights('a'), 'b.safetensors': weights('b') },
      '2 safetensors',
      '"a.safetensors", "b',
      'name the file',
    ));
  it('chooses among variants of nothing as little', () =>
    refused({ 'x.fp16.safetensors': weights('a'), 'x.non_ema.safetensors': weights('a') }, '2 safetensors', '"x.fp16'));
  it('points at the parts of a pipeline', () =>
    refused(
      { 'model_index.json': '{}', 'unet/x.safetensors': weights('a'), 'vae/x.safetensors': weights('a') },
      'is a pipeline',
      '"unet", "vae"; name one of these folders',
    ));
  it('names several indexes', () =>
    refused({ 'a.safetensors.index.json': '', 'b.safetensors.index.json': '' }, '2 indexes', '"a.safetensors.index'));
  it('points at a subfolder', () =>
    refused({ 'README.md': '', 'run/1/model.safetensors': weights('a') }, 'name that folder', '"run/1"'));
  it('names a format that is not read', () => refused({ 'm.gguf': 'x', 'config.json': '' }, '"m.gguf" is GGUF'));
  it('names the broken file', () => refused({ 'model.safetensors': '123' }, 'M/model.safetensors: ', '3 bytes'));
  it('recognises a single file without extension', () =>
    refused({ weights: `GGUF${'\0'.repeat(20)}` }, 'M/weights: is a GGUF file'));
});

describe('pickle', () => {
  it.each(['pytorch_model.bin', 'a.pt', 'a.pth', 'a.ckpt', 'a.pkl', 'a.pickle', 'A.PT', 'sub/a.bin'])(
    'refuses %s by name',
    async (name) => {
      await unsafe({ [name]: 'anything', 'config.json': '{}' }, 'M: ', name);
    },
  );
  it('refuses pickle and zip named as safetensors', async () => {
    await unsafe({ 'model.safetensors': PICKLE }, 'M/model.safetensors', 'protocol 2');
    await unsafe({ 'x.safetensors': Buffer.from('504b030400000808000000000000', 'hex') }, 'M/x.safetensors', 'zip');
  });
  it('refuses a pickle as a shard', () =>
    unsafe(sharded({}, { 'model-00002-of-00002.safetensors': PICKLE }), 'M/model-00002-of-00002.safetensors'));
  it('refuses a pickle named by the index', () => unsafe(sharded({ b: 'pytorch_model.bin' }), 'pytorch_model.bin'));
  it('refuses a single pickle under any name', () => unsafe({ weights: PICKLE }, 'M/weights'));
});

describe('inventories', () => {
  it.each([
    ['a single file', { 'model.safetensors': weights('b', 'a'), 'config.json': '{}' }],
    ['shards', sharded()],
    ['an adapter', { 'adapter_model.safetensors': weights('lora'), 'adapter_config.json': '{}' }],
    ['a model with its config', { 'model.safetensors': weights('a'), 'config.json': '{"num_hidden_layers":2}' }],
    ['no tensors', { 'model.safetensors': weights() }],
  ])('give back the description of %s', async (_what, files) => {
    const description = await describeCheckpoint(memory(files));
    const stored = JSON.parse(JSON.stringify(inventoryOf(description))) as ReturnType<typeof inventoryOf>;
    const again = checkpointFromInventory(stored.files, stored.tensors, 'stored', stored);
    expect(again).toEqual(description);
    expect([...again.tensors.keys()]).toEqual([...description.tensors.keys()]);
  });

  it('refuse what contradicts itself', async () => {
    const files = [{ path: 'model.safetensors', bytes: 100 }];
    const good = { name: 'a', dtype: 'F32', shape: [5], file: 'model.safetensors', begin: 80 } as const;
    const build = (change: object) => () => checkpointFromInventory(files, [{ ...good, shape: [5], ...change }], 'C');
    expect(build({})().bytes).toBe(20);
    const cases: [object, string][] = [
      [{ begin: 81 }, '20 bytes from byte 81'],
      [{ begin: 7 }, 'from byte 7'],
      [{ file: 'x.safetensors' }, '"x.safetensors"'],
      [{ dtype: 'F4' }, '"F4"'],
      [{ shape: [-1] }, '[-1]'],
      [{ shape: [2 ** 40, 2 ** 40] }, '2^53'],
    ];
    for (const [change, part] of cases) {
      await expectError(build(change), 'invalid_checkpoint', 'C: tensor "a": ', part);
    }
    const twice = [
      { ...good, shape: [5] },
      { ...good, shape: [5] },
    ];
    await expectError(() => checkpointFromInventory(files, twice, 'C'), 'invalid_checkpoint', '"a"', 'twice');
  });
});
