import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** An empty folder that lasts as long as the test. */
export async function workFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'amalgam-tuning-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
