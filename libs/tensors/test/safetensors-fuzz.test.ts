import { AmalgamError, DTYPES, dtypeBytes } from '@amalgam/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { bytesSource, encodeHeader, encodeSafetensors, readHeader, readSafetensors } from '../src/index.js';

const small = encodeSafetensors(
  [
    { name: 'layer.0.weight', dtype: 'F32', shape: [2, 2], data: new Uint8Array(16).fill(1) },
    { name: 'scalar', dtype: 'I64', shape: [], data: new Uint8Array(8).fill(2) },
    { name: 'empty', dtype: 'BF16', shape: [0, 3], data: new Uint8Array(0) },
    { name: 'bytes', dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) },
  ],
  { format: 'pt', note: 'ä "quoted"' },
);

const tensorSet = fc
  .uniqueArray(
    fc.record({
      name: fc.oneof(
        fc.string({ unit: 'binary', maxLength: 12 }),
        fc.constantFrom('constructor', 'toString', '0', 'a.b'),
      ),
      dtype: fc.constantFrom(...DTYPES),
      shape: fc.array(fc.nat(4), { maxLength: 4 }),
      fill: fc.nat(255),
    }),
    { selector: (tensor) => tensor.name, maxLength: 12 },
  )
  .map((tensors) =>
    tensors
      .filter(({ name }) => name !== '__proto__' && name !== '__metadata__')
      .map(({ name, dtype, shape, fill }) => ({
        name,
        dtype,
        shape,
        data: new Uint8Array(shape.reduce((a, b) => a * b, 1) * dtypeBytes(dtype)).map((_, i) => fill + i),
      })),
  );

describe('safetensors under random input', () => {
  it('gives back every tensor set and its metadata, at aligned offsets', async () => {
    const metadata = fc.dictionary(
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.string({ unit: 'binary', maxLength: 8 }),
      { maxKeys: 4 },
    );
    await fc.assert(
      fc.asyncProperty(tensorSet, metadata, async (tensors, meta) => {
        const file = encodeSafetensors(tensors, meta);
        expect(encodeSafetensors(tensors, meta)).toEqual(file);
        const encoded = encodeHeader(tensors, meta);
        const header = await readHeader(bytesSource('m', file));
        expect(header.headerBytes % 8).toBe(0);
        expect(header.headerBytes).toBe(encoded.header.length);
        expect(header.fileBytes).toBe(encoded.fileBytes);
        expect(Object.entries(header.metadata).sort()).toEqual(Object.entries(meta).sort());
        const begins = new Map(header.tensors.map((tensor) => [tensor.name, tensor.begin]));
        expect(tensors.map((tensor) => begins.get(tensor.name))).toEqual(encoded.begins);

        const read = await readSafetensors(bytesSource('m', file));
        expect(read.size).toBe(tensors.length);
        for (const { name, dtype, shape, data } of tensors) expect(read.get(name)).toEqual({ dtype, shape, data });
      }),
      { numRuns: 300 },
    );
  });

  it('refuses the file cut at every byte', async () => {
    for (let length = 0; length < small.length; length++) {
      await expectError(() => readHeader(bytesSource('m', small.subarray(0, length))), 'invalid_checkpoint', 'm: ');
    }
    await readHeader(bytesSource('m', small));
  });

  it('refuses the file with any bytes added', async () => {
    for (const more of [1, 8, 100]) {
      const longer = Buffer.concat([small, Buffer.alloc(more)]);
      await expectError(() => readHeader(bytesSource('m', longer)), 'invalid_checkpoint', `${more} trailing bytes`);
    }
  });

  const onlyAmalgamErrors = async (bytes: Uint8Array): Promise<void> => {
    try {
      await readHeader(bytesSource('m', bytes));
    } catch (error) {
      if (!(error instanceof AmalgamError)) throw error;
      expect(['invalid_checkpoint', 'unsafe_format']).toContain(error.code);
    }
  };

  it('meets changed header bytes with nothing but AmalgamErrors', async () => {
    const { headerBytes } = await readHeader(bytesSource('m', small));
    const changes = fc.array(fc.tuple(fc.nat(headerBytes - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(changes, async (list) => {
        const changed = new Uint8Array(small);
        for (const [at, byte] of list) changed[at] = byte;
        await onlyAmalgamErrors(changed);
      }),
      { numRuns: 5000 },
    );
  });

  it('meets every single bit flip in the header with nothing but AmalgamErrors', async () => {
    const { headerBytes } = await readHeader(bytesSource('m', small));
    for (let bit = 0; bit < headerBytes * 8; bit++) {
      const changed = new Uint8Array(small);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await onlyAmalgamErrors(changed);
    }
  });

  it('meets any JSON as a header with nothing but AmalgamErrors', async () => {
    await fc.assert(
      fc.asyncProperty(fc.json({ maxDepth: 4 }), async (json) => {
        const header = Buffer.from(`{"t":${json}}`);
        const file = Buffer.alloc(8 + header.length);
        file.writeBigUInt64LE(BigInt(header.length));
        header.copy(file, 8);
        await onlyAmalgamErrors(file);
      }),
      { numRuns: 1000 },
    );
  });
});
