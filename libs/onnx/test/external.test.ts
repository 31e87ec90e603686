import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { temporaryFolders } from '../../../test/support/folders.js';
import {
  type ByteSource,
  encodeModel,
  isExternal,
  lazyTensor,
  loadTensor,
  type ModelProto,
  readModel,
  readTensorBytes,
  type TensorProto,
  tensorAttribute,
  tensorOf,
  writeModel,
} from '../src/index.js';
import { info, node, numbers, run, smallModel } from './helpers.js';

const makeFolder = temporaryFolders();

/** The small model with w in a file that says where it is by these entries. */
function external(entries: Record<string, string>, change: Partial<TensorProto> = {}): ModelProto {
  const externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
  const model = smallModel();
  model.graph!.initializer[0] = { dims: [2, 3], dataType: 1, name: 'w', dataLocation: 1, externalData, ...change };
  return model;
}

/** Reads the model from a folder with a file `w.bin` of `size` bytes. */
async function readWith(model: ModelProto, size = 24, folder?: string): Promise<ModelProto> {
  const at = folder ?? (await makeFolder());
  await writeFile(join(at, 'w.bin'), Buffer.alloc(size, 1));
  await writeFile(join(at, 'm.onnx'), encodeModel(model));
  return readModel(join(at, 'm.onnx'));
}

describe('external data', () => {
  it('is found by location, offset and length, and read when asked for', async () => {
    const folder = await makeFolder();
    await mkdir(join(folder, 'sub'));
    await writeFile(join(folder, 'sub/w.bin'), Buffer.from([0, 0, ...Buffer.from(numbers(6).buffer)]));
    const model = await readWith(
      external({ location: 'sub/w.bin', offset: '2', length: '24', checksum: 'x' }),
      0,
      folder,
    );
    const [w] = model.graph!.initializer;
    expect(isExternal(w!)).toBe(true);
    expect(new Float32Array((await loadTensor(w!)).bytes.buffer)).toEqual(numbers(6));
    expect(Buffer.from(await readTensorBytes(w!, 4, 8))).toEqual(Buffer.from(numbers(6).buffer, 4, 8));
    expect(encodeModel(model)).toEqual(await readFile(join(folder, 'm.onnx')));
  });

  it('may leave offset and length out', async () => {
    const model = await readWith(external({ location: 'w.bin' }));
    expect((await loadTensor(model.graph!.initializer[0]!)).bytes).toEqual(new Uint8Array(24).fill(1));
  });

  it('comes from a store when the caller opens it', async () => {
    const asked: string[] = [];
    const source: ByteSource = { name: 's', size: async () => 24, read: async (_, length) => new Uint8Array(length) };
    const model = await readModel(encodeModel(external({ location: 'a/w.bin' })), {
      openExternal: async (location) => {
        asked.push(location);
        return source;
      },
    });
    expect(asked).toEqual(['a/w.bin']);
    expect((await loadTensor(model.graph!.initializer[0]!)).bytes).toEqual(new Uint8Array(24));
  });

  it('beyond 2 GB is read in ranges only', async () => {
    const folder = await makeFolder();
    const gigabytes = 5 * 2 ** 30;
    await writeFile(join(folder, 'big.bin'), '');
    // A file with a hole: it takes no space.
    await truncate(join(folder, 'big.bin'), gigabytes + 4096);
    const dims = [gigabytes / 4];
    const model = await readWith(external({ location: 'big.bin', offset: '4096' }, { dims }), 0, folder);
    const [w] = model.graph!.initializer;
    expect(await readTensorBytes(w!, gigabytes - 8, 8)).toEqual(new Uint8Array(8));
    await expectError(() => loadTensor(w!), 'invalid_graph', '"w"', 'too many to be read at once');
    await expectError(() => readTensorBytes(w!, gigabytes, 1), 'invalid_graph', '1 bytes from byte');
  });

  it('is written to one file at aligned offsets, small tensors staying in the model', async () => {
    const folder = await makeFolder();
    const model = smallModel();
    const tied = new Uint8Array(Uint8Array.from(Buffer.from(numbers(6).buffer)));
    model.graph!.initializer.push(
      { dims: [6], dataType: 1, name: 'tied1', rawData: tied },
      { dims: [2, 3], dataType: 1, name: 'tied2', rawData: tied },
      { dims: [6], dataType: 1, name: 'typed', floatData: numbers(6, 3) },
      { dims: [1], dataType: 8, name: 'text', stringData: [Buffer.alloc(50)] },
    );
    const path = join(folder, 'm.onnx');
    await writeModel(model, path, { externalData: { threshold: 20, alignment: 64 } });
    expect((await readdir(folder)).sort()).toEqual(['m.onnx', 'm.onnx.data']);
    expect((await stat(join(folder, 'm.onnx.data'))).size).toBe(128 + 24);
    const read = await readModel(path);
    const offsets = read.graph!.initializer.map(({ externalData }) => externalData?.[1]?.value);
    expect(offsets).toEqual(['0', undefined, '64', '64', '128', undefined]);
    for (const [i, tensor] of read.graph!.initializer.entries()) {
      if (tensor.dataType === 8) continue;
      const before = await loadTensor(model.graph!.initializer[i]!);
      expect(Buffer.compare((await loadTensor(tensor)).bytes, before.bytes)).toBe(0);
    }
    const feeds = { x: { dims: [3, 2], data: numbers(6, 5) } };
    expect(await run(path, feeds)).toEqual(await run(encodeModel(smallModel()), feeds));
  });

  it('moves with the model to another folder, and can be put back into the model', async () => {
    const [one, two] = [await makeFolder(), await makeFolder()];
    await writeModel(smallModel(), join(one, 'a.onnx'), { externalData: { threshold: 0, location: 'a.bin' } });
    const model = await readModel(join(one, 'a.onnx'));
    await writeModel(model, join(two, 'b.onnx'), { externalData: { threshold: 0 } });
    await rm(join(one, 'a.bin'));
    await writeModel(await readModel(join(two, 'b.onnx')), join(two, 'c.onnx'), { externalData: { threshold: 1e9 } });
    expect(encodeModel(await readModel(join(two, 'c.onnx')))).toEqual(encodeModel(smallModel()));
  });

  it('is put back into the model for tensors of attributes', async () => {
    const value: TensorProto = { ...external({ location: 'w.bin' }).graph!.initializer[0]!, name: '' };
    const model = smallModel();
    model.graph!.node.unshift(node('Constant', [], ['k'], { attribute: [tensorAttribute('value', value)] }));
    const read = await readWith(model);
    const folder = await makeFolder();
    await writeModel(read, join(folder, 'm.onnx'), { externalData: {} });
    const back = await readModel(join(folder, 'm.onnx'));
    expect(back.graph!.node[0]!.attribute[0]!.t).toMatchObject({ rawData: new Uint8Array(24).fill(1) });
  });

  it('may be tensors of other files that no model has yet', async () => {
    const bytes = new Uint8Array(Uint8Array.from([9, ...Buffer.from(Float32Array.of(1, -2, 3, 4, 5, -6).buffer)]));
    const source: ByteSource = {
      name: 'checkpoint',
      size: async () => bytes.length,
      read: async (offset, length) => bytes.slice(offset, offset + length),
    };
    const model = smallModel();
    model.graph!.initializer[0] = lazyTensor('w', 'F32', [2, 3], { source, offset: 1, length: 24 });
    const folder = await makeFolder();
    await expectError(() => encodeModel(model), 'invalid_graph', '"w"', 'write the model with external data');
    await writeModel(model, join(folder, 'm.onnx'), { externalData: { threshold: 1 } });
    const feeds = { x: { dims: [3, 2], data: numbers(6, 5) } };
    expect(await run(join(folder, 'm.onnx'), feeds)).toEqual(await run(encodeModel(smallModel()), feeds));
    await expectError(
      () => lazyTensor('w', 'F32', [7], { source, offset: 1, length: 24 }),
      'invalid_graph',
      'has 24 bytes; its shape and dtype take 28',
    );
  });

  it('replaces a model in place', async () => {
    const path = join(await makeFolder(), 'm.onnx');
    await writeModel(smallModel(), path, { externalData: { threshold: 0 } });
    const model = await readModel(path);
    await writeModel(model, path, { externalData: { threshold: 0 } });
    await expectError(() => loadTensor(model.graph!.initializer[0]!), 'invalid_graph', 'was changed after');
    expect((await loadTensor((await readModel(path)).graph!.initializer[1]!)).dims).toEqual([3]);
  });
});

describe('external data that is refused', () => {
  const locations: [string, string, string][] = [
    ['an absolute path', '/etc/hostname', 'is absolute'],
    ['a path with a drive', 'C:\\w.bin', 'is absolute'],
    ['a network path', '\\\\host\\w.bin', 'is absolute'],
    ['a path upwards', '../w.bin', 'leads out of the model’s folder'],
    ['a path upwards inside', 'a/../../w.bin', 'leads out of the model’s folder'],
    ['a path upwards as Windows writes it', 'a\\..\\w.bin', 'leads out of the model’s folder'],
    ['an empty path', '', 'is not a name of a file'],
    ['a path with a zero', 'w\0.bin', 'is not a name of a file'],
    ['a file that is not there', 'none.bin', 'is not there'],
    ['the folder itself', '.', 'leads out of the model’s folder'],
  ];
  it.each(locations)('%s', async (_, location, part) => {
    await expectError(() => readWith(external({ location })), 'invalid_graph', 'm.onnx', part);
  });

  it('a symbolic link out of the folder', async () => {
    const [folder, outside] = [await makeFolder(), await mkdtemp(join(tmpdir(), 'amalgam-onnx-'))];
    await writeFile(join(outside, 'secret'), Buffer.alloc(24));
    await symlink(join(outside, 'secret'), join(folder, 'link.bin'));
    await symlink(outside, join(folder, 'sub'));
    for (const location of ['link.bin', 'sub/secret']) {
      await expectError(() => readWith(external({ location }), 0, folder), 'invalid_graph', 'leads out of the model');
    }
    await rm(outside, { recursive: true });
  });

  it('but not a symbolic link that stays in the folder', async () => {
    const folder = await makeFolder();
    await symlink('w.bin', join(folder, 'link.bin'));
    await readWith(external({ location: 'link.bin' }), 24, folder);
  });

  it('a folder', async () => {
    const folder = await makeFolder();
    await mkdir(join(folder, 'sub'));
    await expectError(() => readWith(external({ location: 'sub' }), 0, folder), 'invalid_graph', 'not a regular file');
  });

  const ranges: [string, Record<string, string>, string][] = [
    ['an offset beyond the file', { offset: '25' }, 'takes 24 bytes from byte 25'],
    ['a range that begins in the file and ends outside', { offset: '1' }, 'takes 24 bytes from byte 1 of "w.bin"'],
    ['another length than the shape takes', { length: '20' }, 'has 20 bytes in "w.bin"'],
    ['a negative offset', { offset: '-1' }, 'its offset "-1" in the external file is not a whole number'],
    ['an offset that is no number', { offset: '0x10' }, 'is not a whole number'],
    ['an offset beyond 2^53', { offset: '9999999999999999' }, 'is not a whole number'],
    ['an empty length', { length: '' }, 'is not a whole number'],
  ];
  it.each(ranges)('%s', async (_, entries, part) => {
    await expectError(() => readWith(external({ location: 'w.bin', ...entries })), 'invalid_graph', '"w"', part);
  });

  it('no location, or two', async () => {
    await expectError(() => readWith(external({})), 'invalid_graph', '"w"', 'names no file');
    const model = external({ location: 'w.bin' });
    model.graph!.initializer[0]!.externalData!.push({ key: 'location', value: 'x' });
    await expectError(() => readWith(model), 'invalid_graph', 'names the location of its external data twice');
  });

  it('a shape that is too large for any file', async () => {
    const model = external({ location: 'w.bin' }, { dims: [2 ** 50] });
    await expectError(() => readWith(model), 'invalid_graph', 'takes 4503599627370496 bytes');
    const negative = external({ location: 'w.bin' }, { dims: [-1] });
    await expectError(() => readWith(negative), 'invalid_graph', 'shape [-1] is negative');
  });

  it('strings', async () => {
    const model = external({ location: 'w.bin' }, { dataType: 8 });
    await expectError(() => readWith(model), 'invalid_graph', '"w"', 'strings');
  });

  it('any, in a model that comes as bytes without a folder', async () => {
    const bytes = encodeModel(external({ location: 'w.bin' }));
    await expectError(() => readModel(bytes), 'invalid_graph', '"w.bin"', 'without a folder');
  });

  it('a file that changed since', async () => {
    const folder = await makeFolder();
    const model = await readWith(external({ location: 'w.bin' }), 24, folder);
    await writeFile(join(folder, 'w.bin'), Buffer.alloc(30));
    await expectError(() => loadTensor(model.graph!.initializer[0]!), 'invalid_graph', 'was changed after');
  });
});

describe('writing that is refused', () => {
  it('references that do not hold in the new folder', async () => {
    const model = await readWith(external({ location: 'w.bin' }));
    const folder = await makeFolder();
    await expectError(() => writeModel(model, join(folder, 'm.onnx')), 'invalid_graph', '"w.bin"', 'is not there');
    expect(await readdir(folder)).toEqual([]);
  });

  it.each(['/tmp/x', '../x', 'sub/x', 'm.onnx', ''])('a data file named %j', async (location) => {
    const folder = await makeFolder();
    const write = () => writeModel(smallModel(), join(folder, 'm.onnx'), { externalData: { location } });
    await expectError(write, 'invalid_graph', 'm.onnx: the data file ');
    expect(await readdir(folder)).toEqual([]);
  });

  it('a folder that is not there, and a source that fails: nothing is left behind', async () => {
    const folder = await makeFolder();
    await expectError(() => writeModel(smallModel(), join(folder, 'no/m.onnx')), 'storage_error', 'cannot be written');
    const source: ByteSource = { name: 's', size: async () => 24, read: async () => Promise.reject(new Error('gone')) };
    const model = smallModel();
    model.graph!.initializer[0] = lazyTensor('w', 'F32', [2, 3], { source, offset: 0, length: 24 });
    const path = join(folder, 'm.onnx');
    await writeFile(path, 'before');
    await expectError(() => writeModel(model, path, { externalData: { threshold: 1 } }), 'storage_error', 'gone');
    expect(await readdir(folder)).toEqual(['m.onnx']);
    expect(await readFile(path, 'utf8')).toBe('before');
  });

  it('a model above 2 GB', async () => {
    // Never touched, so it takes no memory.
    const rawData = new Uint8Array(2 ** 31);
    const model = smallModel({ output: [info('y', ['batch', 3])] });
    model.graph!.initializer.push({ dims: [2 ** 31], dataType: 2, name: 'big', rawData });
    await expectError(() => encodeModel(model), 'invalid_graph', 'at most 2147483647: write it with external data');
    expect(tensorOf('x', 'U8', [1], [1]).rawData).toEqual(Uint8Array.of(1));
  });

  it('a file above 2 GB, before it is read', async () => {
    const path = join(await makeFolder(), 'big.onnx');
    await writeFile(path, '');
    await truncate(path, 2 ** 31);
    await expectError(() => readModel(path), 'invalid_graph', 'big.onnx: has 2147483648 bytes', 'external data');
  });

  it('a model that is not there, or is a folder', async () => {
    const folder = await makeFolder();
    await expectError(() => readModel(join(folder, 'none.onnx')), 'invalid_graph', 'none.onnx is not there');
    await expectError(() => readModel(folder), 'invalid_graph', 'is not a regular file');
  });
});
