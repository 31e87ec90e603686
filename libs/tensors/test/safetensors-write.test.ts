import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { temporaryFolders } from '../../../test/support/folders.js';
import {
  bytesSource,
  encodeHeader,
  encodeSafetensors,
  fileSource,
  readHeader,
  readSafetensors,
  writeSafetensors,
} from '../src/index.js';

const folder = temporaryFolders();
const ZOO = new URL('../../../examples/zoo/vit6/base.safetensors', import.meta.url).pathname;

describe('writing safetensors', () => {
  it('writes these very bytes', () => {
    const { header, begins, fileBytes } = encodeHeader(
      [
        { name: '1', dtype: 'F32', shape: [2] },
        { name: '0', dtype: 'BOOL', shape: [] },
      ],
      { b: '2', a: '1' },
    );
    const json =
      '{"__metadata__":{"a":"1","b":"2"},"1":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},' +
      '"0":{"dtype":"BOOL","shape":[],"data_offsets":[8,9]}}';
    const length = Math.ceil(json.length / 8) * 8;
    expect(Buffer.from(header).toString('latin1', 8)).toBe(json.padEnd(length));
    expect(Buffer.from(header).readBigUInt64LE()).toBe(BigInt(length));
    expect(begins).toEqual([8 + length, 16 + length]);
    expect(fileBytes).toBe(17 + length);
  });

  it('refuses what could not be read back', async () => {
    const u8 = { dtype: 'U8', shape: [1] } as const;
    const data = new Uint8Array(1);
    const twice = [
      { name: 'a', ...u8 },
      { name: 'a', ...u8 },
    ];
    await expectError(() => encodeHeader(twice), 'invalid_checkpoint', 'tensor "a"', 'twice');
    for (const name of ['__metadata__', '__proto__']) {
      await expectError(() => encodeHeader([{ name, ...u8 }]), 'invalid_checkpoint', name, 'not allowed');
    }
    await expectError(() => encodeHeader([{ name: '\ud800', ...u8 }]), 'invalid_checkpoint', 'surrogate');
    await expectError(() => encodeHeader([{ name: 'a', dtype: 'U8', shape: [1.5] }]), 'invalid_checkpoint', '1.5');
    await expectError(
      () => encodeHeader([{ name: 'a', dtype: 'F64', shape: [2 ** 30, 2 ** 30] }]),
      'invalid_checkpoint',
      '2^53',
    );
    await expectError(
      () => encodeSafetensors([{ name: 'a', dtype: 'F32', shape: [2], data }]),
      'invalid_checkpoint',
      'has 1 bytes',
      'take 8',
    );
  });

  it('refuses a header above the limit', () =>
    expectError(
      () => encodeHeader([{ name: 'x'.repeat(100_000_000), dtype: 'U8', shape: [0] }]),
      'invalid_checkpoint',
      '100000000',
    ));

  it('writes a file that reads back', async () => {
    const path = join(await folder(), 'small.safetensors');
    const data = Uint8Array.of(1, 2, 3, 4);
    await writeSafetensors(path, [{ name: 'a', dtype: 'F16', shape: [2], data }], { format: 'pt' });
    const source = fileSource(path);
    expect((await readHeader(source)).metadata).toEqual({ format: 'pt' });
    expect(await readSafetensors(source)).toEqual(new Map([['a', { dtype: 'F16', shape: [2], data }]]));
    await source.close();
  });
});

describe('a file that the Python library wrote', () => {
  it('is read, and written again from its parts gives the same tensors', async () => {
    const source = fileSource(ZOO);
    const header = await readHeader(source);
    expect(header.fileBytes).toBe(781_472);
    expect(header.tensors.length).toBeGreaterThan(10);
    const first = header.tensors.find((tensor) => tensor.name === 'encoder.blocks.0.fc1.weight');
    expect(first).toMatchObject({ dtype: 'F32', shape: [160, 64], elements: 10_240 });

    const tensors = await readSafetensors(source);
    await source.close();
    const whole = await readFile(ZOO);
    const bias = tensors.get('encoder.blocks.0.fc1.bias');
    expect(bias?.data).toEqual(new Uint8Array(whole.subarray(header.headerBytes, header.headerBytes + 640)));
    expect(bias?.data.byteOffset).toBe(0);

    const again = encodeSafetensors(
      header.tensors.map(({ name, dtype, shape }) => ({
        name,
        dtype,
        shape,
        data: tensors.get(name)?.data ?? new Uint8Array(),
      })),
      header.metadata,
    );
    const reread = await readSafetensors(bytesSource('again', again));
    expect([...reread.keys()]).toEqual([...tensors.keys()]);
    for (const [name, { data }] of tensors) expect(Buffer.compare(reread.get(name)?.data ?? Buffer.of(), data)).toBe(0);
  });
});
