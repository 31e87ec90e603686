import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { describeDataset, encodeSafetensors, localFileFolder, type TensorData } from '../src/index.js';
import { memory, PICKLE, tensor } from './memory-folder.js';
import { matrix, zipFile } from './zip-writer.js';

const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/', import.meta.url));

const integers = (name: string, ...shape: number[]): TensorData => ({ ...tensor(name, ...shape), dtype: 'I32' });
const dataset = (...tensors: TensorData[]) => ({ 'd.safetensors': encodeSafetensors(tensors) });
const refused = async (files: Record<string, string | Uint8Array>, ...parts: (string | RegExp)[]) => {
  const folder = memory(files);
  await expectError(() => describeDataset(folder), 'invalid_dataset', ...parts);
  expect(folder.open).toBe(0);
};

describe('a dataset is described', () => {
  it.each(['blobs', 'digits', 'location', 'quadpair', 'segments', 'shapes'])('of the zoo: %s', async (task) => {
    const images = { name: 'pixel_values', dtype: 'F32', shape: [256, 1, 32, 32], bytes: 2 ** 20, compressed: null };
    const unlabelled = await describeDataset(localFileFolder(join(ZOO, `${task}.unlabeled.safetensors`)));
    expect(unlabelled).toMatchObject({ format: 'safetensors', rows: 256, labelled: false, tensors: [images] });
    expect(unlabelled).toMatchObject({ file: `${task}.unlabeled.safetensors`, bytes: 1_048_672 });

    const labelled = await describeDataset(localFileFolder(join(ZOO, `${task}.labeled.safetensors`)));
    expect(labelled).toMatchObject({ rows: 256, labelled: true });
    expect(labelled.tensors).toMatchObject([{ name: 'labels', dtype: 'I64', shape: [256], bytes: 2048 }, images]);
  });

  it('from a folder with other files, without reading its data', async () => {
    const folder = memory({ 'README.md': 'x', 'sub/other.npz': 'x', ...dataset(tensor('x', 2, 3)) });
    const description = await describeDataset(folder);
    expect(description).toMatchObject({ file: 'd.safetensors', rows: 2, labelled: false });
    expect(JSON.parse(JSON.stringify(description))).toEqual(description);
    expect(folder).toMatchObject({ open: 0, opened: ['d.safetensors'] });
  });

  it('with labels for each position', async () => {
    const files = dataset(tensor('x', 2, 3), integers('labels', 2, 3));
    expect(await describeDataset(memory(files))).toMatchObject({ rows: 2, labelled: true });
  });
});

describe('a dataset is refused', () => {
  const rules: [string, TensorData[], string][] = [
    ['without tensors', [], 'M/d.safetensors: has no tensors'],
    ['with labels alone', [integers('labels', 2)], 'has no tensor besides "labels"'],
    ['with a scalar', [tensor('x', 2), tensor('y')], 'tensor "y": shape []: has no first dimension'],
    ['without rows', [tensor('x', 0, 2)], 'tensor "x": shape [0, 2]: has no rows'],
    ['with rows without elements', [tensor('x', 2 ** 40, 0)], 'tensor "x": shape [1099511627776, 0]: its rows have no'],
    ['with different rows', [tensor('a', 2), tensor('b', 3, 1)], 'tensor "b": shape [3, 1]: has 3 rows, but "a" has 2'],
    [
      'with fewer labels than rows',
      [tensor('x', 3), integers('labels', 2)],
      '"labels": shape [2]: has 2 rows, but "x" has 3',
    ],
    ['with labels that are no numbers of classes', [tensor('x', 3), tensor('labels', 3)], '"labels": has dtype F32'],
    ['with labels of rank 3', [tensor('x', 1), integers('labels', 1, 1, 1)], 'must be [rows] or [rows, positions]'],
    [
      'with a thousand tensors and more',
      Array.from({ length: 1001 }, (_, i) => tensor(`t${i}`, 1)),
      'has 1001 tensors; a dataset has at most 1000',
    ],
  ];
  it.each(rules)('%s', async (_, tensors, part) => refused(dataset(...tensors), part));

  it('when the folder is empty, or has no such file, or has it further down', async () => {
    await refused({}, 'M: is empty; a dataset is one .safetensors or .npz file');
    await refused({ 'a.onnx': 'x' }, 'M: has "a.onnx"; a dataset is one');
    await refused({ 'a/d.npz': 'x' }, 'M: has no file at its top level, but "a/d.npz"');
  });

  it('when there are several files', async () => {
    await refused({ ...dataset(tensor('x', 1)), 'a.npz': 'x' }, 'M: has "a.npz", "d.safetensors"; a dataset is one');
  });

  it('as unsafe when it is pickle, by name, content, or as a member', async () => {
    const unsafe = (files: Record<string, Uint8Array>) =>
      expectError(() => describeDataset(memory(files)), 'unsafe_format', 'ickle can run code');
    await unsafe({ 'data.pt': PICKLE });
    await unsafe({ 'data.npz': PICKLE });
    await unsafe({ 'data.safetensors': PICKLE });
    await unsafe({ 'data.npz': zipFile([{ name: 'archive/data.pkl', data: PICKLE }]) });
  });

  it('for the reason that the file is not what its name says', async () => {
    await refused({ 'd.npz': matrix(2, 2) }, 'M/d.npz: is a single array of NumPy', 'numpy.savez(path, name=array)');
    await refused({ 'd.npz': Buffer.from('version https://git-lfs') }, 'a Git LFS pointer');
    await refused({ 'd.npz': encodeSafetensors([tensor('x', 1)]) }, 'is not an npz file (a zip archive)');
    await refused({ 'd.npz': '' }, 'is not an npz file');
    await refused({ 'd.safetensors': 'short' }, 'M/d.safetensors: the file has 5 bytes');
  });
});
