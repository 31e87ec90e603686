import { AmalgamError, type ErrorCode } from '@amalgam/contracts';
import { expect } from 'vitest';

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
  // Texts are looked for as they are, also where they could be patterns.
  for (const part of parts) expect(amalgam.detail).toMatch(part);
  return amalgam;
}
