import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AmalgamError, type ErrorCode } from '@amalgam/contracts';
import { afterAll, expect } from 'vitest';

/** A safetensors file whose header is the given text (or bytes), however wrong, with this much data after it. */
export function rawFile(header: string | Uint8Array, dataBytes = 0): Uint8Array {
  const json = Buffer.from(header);
  const file = Buffer.alloc(8 + json.length + dataBytes, 0xab);
  file.writeBigUInt64LE(BigInt(json.length));
  json.copy(file, 8);
  return file;
}

/** Runs `work`, which must throw an AmalgamError of this code whose detail has every one of these parts. */
export async function expectError(
  work: () => unknown,
  code: ErrorCode,
  ...parts: (string | RegExp)[]
): Promise<AmalgamError> {
  const error: unknown = await Promise.resolve()
    .then(work)
    .then(
      () => new Error('nothing was thrown'),
      (thrown: unknown) => thrown,
    );
  expect(error).toBeInstanceOf(AmalgamError);
  const amalgam = error as AmalgamError;
  expect({ code: amalgam.code, detail: amalgam.detail }).toMatchObject({ code });
  for (const part of parts) {
    if (typeof part === 'string') expect(amalgam.detail).toContain(part);
    else expect(amalgam.detail).toMatch(part);
  }
  return amalgam;
}

/** A maker of fresh temporary folders, which are gone after the suite. */
export function temporaryFolders(): () => Promise<string> {
  const made: string[] = [];
  afterAll(async () => {
    for (const dir of made) await rm(dir, { recursive: true, force: true });
  });
  return async () => {
    const dir = await mkdtemp(join(tmpdir(), 'amalgam-tensors-'));
    made.push(dir);
    return dir;
  };
}
