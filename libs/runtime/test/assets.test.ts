import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeModel, type ModelProto } from '@amalgam/onnx';
import { FileStore, storeFolder } from '@amalgam/storage';
import { encodeSafetensors } from '@amalgam/tensors';
import { afterAll, describe, expect, it } from 'vitest';
import { assetPrefix, describeAsset, type Place } from '../src/index.js';

const dir = mkdtempSync(join(tmpdir(), 'amalgam-assets-'));
const store = new FileStore({ root: dir, baseUrl: 'http://x', secret: 'x' });
afterAll(async () => {
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

let made = 0;
async function place(files: Record<string, Uint8Array>, more: Partial<Place> = {}): Promise<Place> {
  const prefix = assetPrefix('dataset', `test-${made++}`);
  for (const [path, bytes] of Object.entries(files)) await store.put(`${prefix}/${path}`, bytes);
  return { open: async () => storeFolder(store, prefix, 'here'), whole: true, ...more };
}

const rows = (count: number) =>
  encodeSafetensors([{ name: 'x', dtype: 'F32', shape: [count, 1], data: new Uint8Array(4 * count) }]);

/** Passes `x`, or whatever its input is called, through. */
const passing = (input: string): ModelProto => {
  const type = { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'batch' }, { dimValue: 2 }] } } };
  const node = { input: [input], output: ['y'], name: 'n', opType: 'Identity', attribute: [] };
  return {
    irVersion: 8,
    opsetImport: [{ domain: '', version: 17 }],
    graph: {
      name: 'g',
      node: [node],
      initializer: [],
      input: [{ name: input, type }],
      output: [{ name: 'y', type }],
      valueInfo: [],
    },
  };
};

describe('describeAsset', () => {
  it('keeps all files of an upload, and of another place only those that the asset is made of', async () => {
    const files = { 'x.safetensors': rows(2), 'README.md': Buffer.from('about') };
    const digests = new Map([['x.safetensors', 'ab'.repeat(32)]]);
    const whole = await describeAsset('dataset', await place(files, { digests }));
    expect(whole.files.map(({ path, sha256 }) => [path, sha256])).toEqual([
      ['README.md', null],
      ['x.safetensors', 'ab'.repeat(32)],
    ]);
    const own = await describeAsset('dataset', await place(files, { whole: false }));
    expect(own.files.map(({ path }) => path)).toEqual(['x.safetensors']);
    expect(own.description).toMatchObject({ file: 'x.safetensors', rows: 2, tensors: [{ name: 'x', begin: 64 }] });
  });

  it('calls what is wrong by the kind that was meant', async () => {
    const broken = { 'x.safetensors': Buffer.alloc(20, 1) };
    await expect(describeAsset('dataset', await place(broken))).rejects.toMatchObject({ code: 'invalid_dataset' });
    await expect(describeAsset('checkpoint', await place(broken))).rejects.toMatchObject({
      code: 'invalid_checkpoint',
    });
    await expect(describeAsset('graph', await place(broken))).rejects.toMatchObject({ code: 'invalid_graph' });
    const pickle = { 'data.pt': Buffer.alloc(8) };
    await expect(describeAsset('dataset', await place(pickle))).rejects.toMatchObject({ code: 'unsafe_format' });
  });

  it('refuses headers that would not fit into lists', async () => {
    const small = await describeAsset('graph', await place({ 'm.onnx': encodeModel(passing('x')) }));
    expect(small.description.inputs).toEqual([{ name: 'x', dtype: 'F32', shape: ['batch', 2] }]);
    const model = encodeModel(passing('x'.repeat(2_000_000)));
    await expect(describeAsset('graph', await place({ 'm.onnx': model }))).rejects.toMatchObject({
      code: 'invalid_graph',
      message: expect.stringContaining('characters to describe'),
    });
  });
});
