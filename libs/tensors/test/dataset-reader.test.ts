import { appendFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { temporaryFolders } from '../../../test/support/folders.js';
import {
  checkFinite,
  checkLabels,
  type DatasetReader,
  describeDataset,
  encodeSafetensors,
  fromFloat32,
  localFileFolder,
  openDataset,
  type TensorData,
} from '../src/index.js';
import { matrix, type WrittenMember, zipFile } from './zip-writer.js';

const FIXTURES = fileURLToPath(new URL('./fixtures/', import.meta.url));
const makeFolder = temporaryFolders();

/** A file of these bytes, opened as a dataset. */
async function opened(name: string, bytes: Uint8Array): Promise<DatasetReader> {
  const path = join(await makeFolder(), name);
  await writeFile(path, bytes);
  return openDataset(path, await describeDataset(localFileFolder(path)));
}

async function withFixture(name: string, work: (reader: DatasetReader) => Promise<void>): Promise<void> {
  const path = join(FIXTURES, `${name}.npz`);
  const reader = await openDataset(path, await describeDataset(localFileFolder(path)));
  await work(reader).finally(() => reader.close());
}

const floats = (bytes: Uint8Array) => [...new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];

describe('rows of a dataset', () => {
  it.each(['stored', 'deflated'])('are read as they are, whatever the dtype: %s', async (name) => {
    await withFixture(name, async (reader) => {
      const read = async (tensor: string) => (await reader.rows(tensor, 1, 2)).buffer;
      expect([...new Float64Array(await read('f8'))]).toEqual([2, 3, 4, 5]);
      expect([...new Float32Array(await read('f4'))]).toEqual([2, 3, 4, 5]);
      expect([...new Uint16Array(await read('f2'))]).toEqual([0x4000, 0x4200, 0x4400, 0x4500]);
      expect([...new BigInt64Array(await read('i8'))]).toEqual([2n, 3n, 4n, 5n]);
      expect([...new BigUint64Array(await read('u8'))]).toEqual([2n, 3n, 4n, 5n]);
      expect([...new Int32Array(await read('i4'))]).toEqual([2, 3, 4, 5]);
      expect([...new Uint32Array(await read('u4'))]).toEqual([2, 3, 4, 5]);
      expect([...new Int16Array(await read('i2'))]).toEqual([2, 3, 4, 5]);
      expect([...new Uint16Array(await read('u2'))]).toEqual([2, 3, 4, 5]);
      expect([...new Int8Array(await read('i1'))]).toEqual([2, 3, 4, 5]);
      expect([...new Uint8Array(await read('u1'))]).toEqual([2, 3, 4, 5]);
      expect([...new Uint8Array(await read('bool'))]).toEqual([1, 0, 1, 0]);
      expect([...new Float32Array(await read('größe'))]).toEqual([1, 2]);
      expect([...new BigInt64Array(await read('labels'))]).toEqual([0n, 1n]);
    });
  });

  it('are gathered in any order, again and again', async () => {
    for (const name of ['stored', 'deflated']) {
      await withFixture(name, async (reader) => {
        expect(floats(await reader.gather('f4', [2, 0, 1, 2, 2]))).toEqual([4, 5, 0, 1, 2, 3, 4, 5, 4, 5]);
        expect((await reader.gather('f4', [])).length).toBe(0);
        expect((await reader.rows('f4', 3, 0)).length).toBe(0);
      });
    }
  });

  it('are read of a member that is inflated in many pieces', async () => {
    await withFixture('long', async (reader) => {
      const row = Array.from({ length: 1000 }, (_, i) => i);
      expect(floats(await reader.gather('x', [299, 7]))).toEqual([...row, ...row]);
      expect([...new Int32Array((await reader.rows('labels', 290, 10)).buffer)]).toEqual(
        Array.from({ length: 10 }, (_, i) => 290 + i),
      );
    });
  });

  it('are read of safetensors', async () => {
    const data = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);
    const reader = await opened('d.safetensors', encodeSafetensors([{ name: 'x', dtype: 'F32', shape: [3, 2], data }]));
    expect(floats(await reader.gather('x', [2, 0]))).toEqual([5, 6, 1, 2]);
    await reader.close();
  });

  it('are read from the file when the tensor is large', async () => {
    const values = Float32Array.from({ length: 5 * 2 ** 20 }, (_, i) => i);
    const data = new Uint8Array(values.buffer);
    const bytes = encodeSafetensors([{ name: 'x', dtype: 'F32', shape: [2 ** 20, 5], data }]);
    const path = join(await makeFolder(), 'd.safetensors');
    await writeFile(path, bytes);
    const reader = await openDataset(path, await describeDataset(localFileFolder(path)));
    expect(floats(await reader.gather('x', [2 ** 20 - 1, 7, 8, 0]))).toEqual(
      [2 ** 20 - 1, 7, 8, 0].flatMap((row) => [0, 1, 2, 3, 4].map((column) => 5 * row + column)),
    );
    await truncate(path, 1000);
    await expectError(
      () => reader.rows('x', 9, 1000),
      'checkpoint_changed',
      'the file became shorter while it was read',
    );
    await reader.close();
  });

  it('are memory of the caller', async () => {
    await withFixture('deflated', async (reader) => {
      (await reader.rows('f4', 0, 3)).fill(9);
      expect(floats(await reader.rows('f4', 0, 1))).toEqual([0, 1]);
    });
  });

  it('are refused where there are none', async () => {
    await withFixture('stored', async (reader) => {
      const asked: [number, number][] = [
        [0, 4],
        [3, 1],
        [-1, 1],
        [0, -1],
        [0.5, 1],
        [Number.NaN, 1],
      ];
      for (const [start, count] of asked) {
        await expectError(() => reader.rows('f4', start, count), 'invalid_dataset', 'tensor "f4"', 'it has 3');
      }
      await expectError(() => reader.gather('f4', [0, 3]), 'invalid_dataset', '1 rows from row 3 were asked for');
      await expectError(() => reader.rows('none', 0, 1), 'invalid_dataset', 'tensor "none" is not open');
    });
  });
});

describe('opening a dataset', () => {
  const y: WrittenMember = { name: 'y.npy', data: matrix(3, 5), deflate: true };

  it('inflates only what is wanted', async () => {
    const path = join(await makeFolder(), 'd.npz');
    await writeFile(
      path,
      zipFile([
        { ...y, crc32: 1 },
        { ...y, name: 'x.npy' },
      ]),
    );
    const description = await describeDataset(localFileFolder(path));
    const reader = await openDataset(path, description, ['x']);
    expect(floats(await reader.rows('x', 0, 1))).toEqual([0, 1, 2, 3, 4]);
    await reader.close();
    await expectError(() => openDataset(path, description), 'invalid_dataset', 'd.npz: tensor "y": its checksum');
    await expectError(() => openDataset(path, description, ['z']), 'invalid_dataset', 'd.npz: has no tensor "z"');
  });

  it('refuses members that inflate to something else', async () => {
    const { data } = y;
    const deflated = deflateRawSync(data);
    const wrong: [WrittenMember, string][] = [
      [{ ...y, stored: deflated.subarray(0, -3) }, 'its compressed bytes are damaged (unexpected end of file)'],
      [{ ...y, stored: Buffer.concat([deflated, Buffer.alloc(2)]) }, 'its compressed data ends after'],
      [{ ...y, stored: deflateRawSync(data.subarray(0, -4)) }, 'inflates to 126 bytes, not the 130'],
      [{ ...y, stored: deflateRawSync(Buffer.concat([data, data])) }, 'inflates to more than the 130 bytes'],
      [{ ...y, stored: deflateRawSync(Uint8Array.from(data, (byte, i) => (i === 129 ? 1 : byte))) }, 'its checksum'],
    ];
    for (const [member, part] of wrong) {
      await expectError(() => opened('d.npz', zipFile([member])), 'invalid_dataset', 'd.npz: tensor "y": ', part);
    }
  });

  it('stops a bomb at the size that its header has', async () => {
    // Whoever went on to the end would find that it is cut off there.
    const bomb = deflateRawSync(Buffer.concat([y.data, Buffer.alloc(2 ** 22)])).subarray(0, -8);
    await expectError(() => opened('d.npz', zipFile([{ ...y, stored: bomb }])), 'invalid_dataset', 'inflates to more');
  });

  it('refuses a file that is no longer the one that was described', async () => {
    const path = join(await makeFolder(), 'd.npz');
    await writeFile(path, zipFile([y]));
    const description = await describeDataset(localFileFolder(path));
    await appendFile(path, 'x');
    await expectError(() => openDataset(path, description), 'checkpoint_changed', 'when it was registered it had');
    await expectError(() => openDataset(`${path}x`, description), 'invalid_dataset', 'there is no such file');
  });
});

describe('checking values', () => {
  const withTensors = async (tensors: TensorData[], work: (reader: DatasetReader) => Promise<void>) => {
    const reader = await opened('d.safetensors', encodeSafetensors(tensors));
    await work(reader).finally(() => reader.close());
  };
  /** Six rows of two ones, but for one value. */
  const floatTensor = (dtype: TensorData['dtype'], row: number, value: number): TensorData => {
    const values = Array.from({ length: 12 }, (_, i) => (i === 2 * row + 1 ? value : 1));
    return { name: 'x', dtype, shape: [6, 2], data: fromFloat32(dtype, values) };
  };

  it.each(['F64', 'F32', 'F16', 'BF16', 'F8_E5M2'] as const)('finds NaN and infinity in %s', async (dtype) => {
    await withTensors([floatTensor(dtype, 5, Number.NaN)], async (reader) => {
      await expectError(
        () => checkFinite(reader, 'x'),
        'invalid_dataset',
        'd.safetensors: tensor "x" has NaN in row 5',
      );
    });
    await withTensors([floatTensor(dtype, 0, -Infinity)], async (reader) => {
      await expectError(() => checkFinite(reader, 'x'), 'invalid_dataset', 'has infinity in row 0');
    });
    const largest = { F64: 1e308, F32: 3e38, F16: 65504, BF16: 3e38, F8_E5M2: 57344 }[dtype];
    await withTensors([floatTensor(dtype, 3, largest)], (reader) => checkFinite(reader, 'x'));
  });

  it('finds NaN in F8_E4M3, which has no infinity', async () => {
    await withTensors([floatTensor('F8_E4M3', 4, Number.NaN)], async (reader) => {
      await expectError(() => checkFinite(reader, 'x'), 'invalid_dataset', 'has NaN in row 4');
    });
    await withTensors([floatTensor('F8_E4M3', 4, 448)], (reader) => checkFinite(reader, 'x'));
  });

  it('reads tensors of many megabytes in parts, and names the row', async () => {
    const columns = 1000;
    const values = new Float32Array(3000 * columns);
    values[2345 * columns + 999] = Number.NaN;
    const data = new Uint8Array(values.buffer);
    await withTensors([{ name: 'x', dtype: 'F32', shape: [3000, columns], data }], async (reader) => {
      await expectError(() => checkFinite(reader, 'x'), 'invalid_dataset', 'has NaN in row 2345');
    });
  });

  it('has nothing to check of integers', async () => {
    const data = new Uint8Array(8).fill(255);
    await withTensors([{ name: 'x', dtype: 'I32', shape: [2], data }], (reader) => checkFinite(reader, 'x'));
  });

  const x: TensorData = { name: 'x', dtype: 'U8', shape: [3], data: new Uint8Array(3) };
  const labels = (dtype: TensorData['dtype'], shape: number[], data: ArrayBufferView): TensorData => ({
    name: 'labels',
    dtype,
    shape,
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  });

  it('takes labels of every integer dtype, and names the row and value out of range', async () => {
    const given: [TensorData, string][] = [
      [labels('I64', [3], BigInt64Array.of(0n, 2n, -1n)), 'has -1 in row 2; the logits have 3 classes'],
      [labels('U64', [3], BigUint64Array.of(0n, 2n ** 64n - 1n, 1n)), 'has 18446744073709551615 in row 1'],
      [labels('I32', [3], Int32Array.of(3, 0, 0)), 'has 3 in row 0; the logits have 3 classes, so labels are 0 to 2'],
      [labels('U32', [3], Uint32Array.of(0, 0, 2 ** 32 - 1)), 'has 4294967295 in row 2'],
      [labels('I16', [3], Int16Array.of(0, -5, 0)), 'has -5 in row 1'],
      [labels('U16', [3], Uint16Array.of(0, 65535, 0)), 'has 65535 in row 1'],
      [labels('I8', [3], Int8Array.of(0, 0, -100)), 'has -100 in row 2'],
      [labels('U8', [3], Uint8Array.of(0, 0, 3)), 'has 3 in row 2'],
    ];
    for (const [tensor, part] of given) {
      await withTensors([x, tensor], async (reader) => {
        await expectError(() => checkLabels(reader, 3), 'invalid_dataset', 'd.safetensors: tensor "labels" ', part);
      });
    }
    await withTensors([x, labels('I64', [3], BigInt64Array.of(0n, 2n, 1n))], (reader) => checkLabels(reader, 3));
  });

  it('lets positions out that have the label -100', async () => {
    const good = labels('I64', [3, 2], BigInt64Array.of(0n, -100n, -100n, 2n, 1n, 1n));
    await withTensors([x, good], (reader) => checkLabels(reader, 3));
    const bad = labels('I64', [3, 2], BigInt64Array.of(0n, -100n, -100n, 2n, -99n, 1n));
    await withTensors([x, bad], async (reader) => {
      await expectError(() => checkLabels(reader, 3), 'invalid_dataset', 'has -99 in row 2', 'or -100 for a position');
    });
  });

  it('needs labels to check', async () => {
    await withTensors([x], async (reader) => {
      await expectError(() => checkLabels(reader, 3), 'invalid_dataset', 'tensor "labels" is not there');
    });
  });
});
