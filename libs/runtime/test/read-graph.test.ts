import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { FolderSource } from '@amalgam/storage';
import { expect, it } from 'vitest';
import { readGraph } from '../src/read-graph.js';

const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/digits.onnx', import.meta.url));

it('a graph whose bytes do not come is given up, so that others have their turn', async () => {
  // Too large to be fetched at once, and the store never answers.
  const silent: FolderSource = { name: 'silent', size: async () => 2 ** 30, read: () => new Promise(() => {}) };
  const bytes = await readFile(ZOO);
  const good: FolderSource = {
    name: 'good',
    size: async () => bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  };
  const [first, second] = await Promise.allSettled([
    readGraph(silent, 'silent.onnx', 500),
    readGraph(good, 'good.onnx'),
  ]);
  expect(first).toMatchObject({
    status: 'rejected',
    reason: { code: 'unavailable', detail: 'silent.onnx: was not read within 0.5 s' },
  });
  expect(second.status).toBe('fulfilled');
});
