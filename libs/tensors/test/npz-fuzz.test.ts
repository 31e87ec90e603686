import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AmalgamError } from '@amalgam/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { temporaryFolders } from '../../../test/support/folders.js';
import { describeDataset, localFileFolder, openDataset } from '../src/index.js';
import { memory } from './memory-folder.js';
import { matrix, zipFile } from './zip-writer.js';

const FIXTURES = fileURLToPath(new URL('./fixtures/', import.meta.url));
const makeFolder = temporaryFolders();

const small = zipFile([
  { name: 'x.npy', data: matrix(3, 2) },
  { name: 'y.npy', data: matrix(3, 4), deflate: true },
]);
const wide = zipFile([{ name: 'x.npy', data: matrix(3, 2), deflate: true }], { zip64: true, comment: 'c' });

/** True when the bytes were described, false when they were refused as they should be. */
async function survives(bytes: Uint8Array): Promise<boolean> {
  const folder = memory({ 'd.npz': bytes });
  try {
    const { rows, tensors } = await describeDataset(folder);
    expect(rows).toBeGreaterThan(0);
    expect(tensors.every(({ shape }) => shape[0] === rows)).toBe(true);
    return true;
  } catch (error) {
    if (!(error instanceof AmalgamError)) throw error;
    expect(['invalid_dataset', 'unsafe_format']).toContain(error.code);
    return false;
  } finally {
    expect(folder.open).toBe(0);
  }
}

describe('an npz file under random damage', () => {
  it('is refused, or described as what it then says, for every single bit that is turned', async () => {
    expect(await survives(wide)).toBe(true);
    for (let bit = 0; bit < wide.length * 8; bit++) {
      const changed = Uint8Array.from(wide);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await survives(changed);
    }
  });

  it('is met with nothing but AmalgamErrors when bytes are changed, put in, or taken out', async () => {
    const stored = new Uint8Array(await readFile(join(FIXTURES, 'stored.npz')));
    const edits = fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        bytes: fc.uint8Array({ maxLength: 4 }),
        gone: fc.nat(4),
      }),
      {
        minLength: 1,
        maxLength: 3,
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(small, wide, stored), edits, async (file, list) => {
        let changed = Buffer.from(file);
        for (const { at, bytes, gone } of list) {
          const position = Math.floor(at * changed.length);
          changed = Buffer.concat([changed.subarray(0, position), bytes, changed.subarray(position + gone)]);
        }
        await survives(changed);
      }),
      { numRuns: 3000 },
    );
  });

  it('is refused or read whole when its compressed bytes are changed', async () => {
    const path = join(await makeFolder(), 'd.npz');
    let read = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(small.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const bytes = Buffer.from(small);
        bytes[at] = (bytes[at] ?? 0) ^ change;
        await writeFile(path, bytes);
        try {
          const reader = await openDataset(path, await describeDataset(localFileFolder(path)));
          for (const { name } of reader.description.tensors) await reader.rows(name, 0, reader.description.rows);
          await reader.close();
          read++;
        } catch (error) {
          if (!(error instanceof AmalgamError)) throw error;
          expect(['invalid_dataset', 'unsafe_format']).toContain(error.code);
        }
      }),
      { numRuns: 400 },
    );
    expect(read).toBeLessThan(200);
  });
});
