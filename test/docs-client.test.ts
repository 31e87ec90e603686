import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClient } from '@amalgam/client';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startTestService, type TestService } from './support/service.js';
import { ZOO } from './support/zoo-service.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const EXAMPLE = fileURLToPath(new URL('../examples/python/client.py', import.meta.url));
const PYTHON = process.env['AMALGAM_PYTHON'] ?? 'python3';
const missing = spawnSync(PYTHON, ['-c', 'import requests']).status === 0 ? null : `${PYTHON} cannot import requests`;
if (missing !== null) console.warn(`SKIPPED: examples/python/client.py — ${missing}; AMALGAM_PYTHON names another`);

describe.skipIf(missing !== null)('examples/python/client.py (SKIPPED without a Python that has requests)', () => {
  const out = mkdtempSync(join(tmpdir(), 'amalgam-python-client-'));
  let service: TestService;
  beforeAll(async () => {
    service = await startTestService();
  });
  afterAll(async () => {
    await service?.stop();
    rmSync(out, { recursive: true, force: true });
  });

  const run = (models: string[], key: string): Promise<{ code: unknown; err: string }> =>
    new Promise((resolve) => {
      const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', AMALGAM_URL: service.url, AMALGAM_API_KEY: key };
      const files = models.map((name) => join(ZOO, `${name}.safetensors`));
      execFile(PYTHON, [EXAMPLE, ...files, join(out, 'merged.safetensors')], { env }, (error, _, err) =>
        resolve({ code: error === null ? 0 : error.code, err }),
      );
    });

  test('uploads, merges, waits and downloads', async () => {
    expect(await run(['base', 'digits', 'shapes'], service.apiKey)).toEqual({ code: 0, err: '' });
    const client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    const { data } = await client.merges.page({ method: 'ties' });
    const bytes = await client.merges.download(data[0]!.id, 'model.safetensors');
    expect(readFileSync(join(out, 'merged.safetensors')).equals(bytes)).toBe(true);
  });

  test('says what is wrong, and ends', async () => {
    expect(await run(['base', 'digits', 'shapes'], 'amk_wrong')).toEqual({
      code: 1,
      err: expect.stringMatching(/^unauthorized: /),
    });
  });
});
