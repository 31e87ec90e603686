import type { TensorInfo } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { withFirstPage, withOlderPage } from '../src/assets/asset-list.js';
import { findTensors, toRow } from '../src/assets/tensors/sort-tensors.js';
import { matchFiles } from '../src/assets/upload/match-files.js';
import { type Picked, toDrafts } from '../src/assets/upload/picked.js';

const rows = (...ids: string[]) => ids.map((id) => ({ id }));
const page = (ids: string[], next: string | null) => ({
  data: rows(...ids),
  has_more: next !== null,
  next_cursor: next,
});

describe('a list of assets', () => {
  it('drops what was deleted from the first page, and keeps what lies below it', () => {
    const held = withOlderPage(withFirstPage(null, page(['e', 'd'], 'd')), page(['c', 'b'], 'b'));
    expect(held).toEqual({ rows: rows('e', 'd', 'c', 'b'), cursor: 'b' });
    expect(withFirstPage(held, page(['f', 'd'], 'd'))).toEqual({ rows: rows('f', 'd', 'c', 'b'), cursor: 'b' });
    expect(withFirstPage(held, page(['e', 'c'], 'c'))).toEqual({ rows: rows('e', 'c', 'b'), cursor: 'b' });
  });

  it('begins anew when the first page does not reach down to what is held, or is all there is', () => {
    const held = { rows: rows('b', 'a'), cursor: 'a' };
    expect(withFirstPage(held, page(['z', 'y'], 'y'))).toEqual({ rows: rows('z', 'y'), cursor: 'y' });
    expect(withFirstPage(held, page(['b'], null))).toEqual({ rows: rows('b'), cursor: null });
  });
});

describe('files that were chosen', () => {
  const picked = (...paths: string[]): Picked[] => paths.map((path) => ({ path, file: new File(['x'], path) }));
  const drafts = (...paths: string[]) =>
    toDrafts(picked(...paths)).map(({ name, files }) => [name, ...files.map(({ path }) => path)]);

  it('are one asset for each folder, without its name and what is hidden', () => {
    expect(drafts('a/model.safetensors', 'a/sub/x.json', 'a/.git/HEAD', 'b/model.safetensors')).toEqual([
      ['a', 'model.safetensors', 'sub/x.json'],
      ['b', 'model.safetensors'],
    ]);
    expect(drafts('.DS_Store')).toEqual([]);
  });

  it('are each a model of its own when all are', () => {
    expect(drafts('b.safetensors', 'a.safetensors')).toEqual([
      ['a', 'a.safetensors'],
      ['b', 'b.safetensors'],
    ]);
    expect(drafts('x.npz')).toEqual([['x', 'x.npz']]);
  });

  it('belong together when they are parts of one model, or one comes with other files', () => {
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    expect(drafts(...shards)).toEqual([['model', ...shards]]);
    expect(drafts('net.onnx', 'net.onnx.data')).toEqual([['net', 'net.onnx', 'net.onnx.data']]);
    expect(drafts('model.safetensors', 'config.json')).toEqual([['model', 'config.json', 'model.safetensors']]);
  });
});

describe('going on with an upload', () => {
  /** Of "abc": FIPS 180-2, B.1. */
  const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
  const wanted = [
    { path: 'a', bytes: 3, sha256: ABC },
    { path: 'sub/b', bytes: 2, sha256: null },
  ];
  const missing = new Set(['sub/b']);
  const match = (contents: Record<string, string>, changedAt: (path: string) => number | undefined = () => undefined) =>
    matchFiles(
      wanted,
      missing,
      Object.entries(contents).map(([path, text]) => ({ path, file: new File([text], path, { lastModified: 1000 }) })),
      changedAt,
    );

  it('takes the same files, with or without the name of their folder', async () => {
    for (const folder of ['', 'model/']) {
      const { files, problems } = await match({ [`${folder}a`]: 'abc', [`${folder}sub/b`]: 'xy' });
      expect(problems).toEqual([]);
      expect(files.map(({ path }) => path)).toEqual(['a', 'sub/b']);
    }
  });

  it('needs only what has not arrived', async () => {
    expect((await match({ 'sub/b': 'xy' })).problems).toEqual([]);
    expect((await match({ a: 'abc' })).problems).toEqual(['"sub/b" is not among them']);
  });

  it('refuses other sizes, and another file in the place of one that has arrived', async () => {
    const { problems } = await match({ a: 'abd', 'sub/b': 'xyz' });
    expect(problems).toEqual([
      '"a" is not the file that has arrived under this name',
      '"sub/b" has 3 B (3 bytes), and had 2 when the upload began',
    ]);
  });

  it('refuses a file of the same size that was changed since a part of it was sent', async () => {
    expect((await match({ 'sub/b': 'xy' }, () => 1000)).problems).toEqual([]);
    expect((await match({ 'sub/b': 'xy' }, () => 999)).problems).toEqual([
      '"sub/b" was changed after a part of it had been sent; begin a new upload',
    ]);
  });
});

describe('the table of tensors', () => {
  const tensor = (name: string, shape: number[]): TensorInfo => {
    return { name, shape, dtype: 'F32', bytes: 0, file: 'model.safetensors', begin: 8 };
  };
  const tensors = [tensor('layer.10.weight', [2, 2]), tensor('layer.2.weight', [3]), tensor('layer.2.bias', [2, 3])];
  const names = (search: string, column: 'name' | 'shape' | 'elements', down = false) =>
    findTensors(tensors.map(toRow), search, { column, down }).map(({ name }) => name);

  it('sorts numbers in names as numbers, and shapes dimension by dimension', () => {
    expect(names('', 'name')).toEqual(['layer.2.bias', 'layer.2.weight', 'layer.10.weight']);
    expect(names('', 'shape')).toEqual(['layer.10.weight', 'layer.2.bias', 'layer.2.weight']);
    expect(names('', 'elements', true)).toEqual(['layer.2.bias', 'layer.10.weight', 'layer.2.weight']);
  });

  it('finds names that have every word, whatever their case', () => {
    expect(names('WEIGHT layer.2', 'name')).toEqual(['layer.2.weight']);
    expect(names('nothing', 'name')).toEqual([]);
  });
});
