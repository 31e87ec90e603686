import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ErrorCode, isAmalgamError } from '@amalgam/contracts';
import { afterAll, expect } from 'vitest';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder that is gone after the test file. */
export function tempFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'amalgam-storage-'));
  folders.push(folder);
  return folder;
}

/** Expects an AmalgamError of this code, whose detail holds every text. */
export async function expectError(code: ErrorCode, run: Promise<unknown> | (() => unknown), ...texts: string[]) {
  let error: unknown;
  try {
    const result = await (typeof run === 'function' ? run() : run);
    expect.fail(`expected ${code}, got ${JSON.stringify(result)}`);
  } catch (caught) {
    error = caught;
  }
  if (!isAmalgamError(error)) throw error;
  expect(error.code, error.detail).toBe(code);
  for (const text of texts) expect(error.detail).toContain(text);
}

/** Bytes that differ everywhere, the same for one seed. */
export function pattern(bytes: number, seed = 1): Buffer {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  let state = seed >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return Buffer.from(words.buffer, 0, bytes);
}
