import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { loadConfig } from '../src/config.js';

function tempHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'amalgam-config-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  return home;
}

test('a variable that is empty counts as not set: compose files pass them on so', () => {
  const AMALGAM_HOME = tempHome();
  const empty = { AMALGAM_THREADS: '', S3_BUCKET: '', S3_ENDPOINT: '', AMALGAM_SECRET_KEY: '', AMALGAM_PUBLIC_URL: '' };
  expect(loadConfig({ AMALGAM_HOME, ...empty })).toEqual(loadConfig({ AMALGAM_HOME }));
});

test('the secret key is made once; a file that holds none is refused instead of sealing with less', () => {
  const AMALGAM_HOME = tempHome();
  const { secretKey } = loadConfig({ AMALGAM_HOME });
  expect(secretKey).toHaveLength(32);
  expect(readFileSync(join(AMALGAM_HOME, 'secret.key'), 'utf8')).toBe(secretKey.toString('hex'));
  expect(loadConfig({ AMALGAM_HOME }).secretKey).toEqual(secretKey);
  for (const text of ['', 'abc']) {
    writeFileSync(join(AMALGAM_HOME, 'secret.key'), text);
    expect(() => loadConfig({ AMALGAM_HOME })).toThrow('does not hold 64 hexadecimal digits');
  }
});
