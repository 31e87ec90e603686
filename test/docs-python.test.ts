import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClient } from '@amalgam/client';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startTestService, type TestService } from './support/service.js';

// The example trains, exports and tunes; Python itself is slow to start.
vi.setConfig({ testTimeout: 400_000, hookTimeout: 120_000 });

const EXAMPLE = fileURLToPath(new URL('../examples/python/adamerging.py', import.meta.url));
const PYTHON = process.env['AMALGAM_PYTHON'] ?? 'python3';
const imports = spawnSync(PYTHON, ['-c', 'import torch, safetensors, requests, onnx, onnxscript']);
const missing =
  imports.status === 0 ? null : `${PYTHON} cannot import torch, safetensors, requests, onnx and onnxscript`;
if (missing !== null) console.warn(`SKIPPED: examples/python/adamerging.py — ${missing}; AMALGAM_PYTHON names another`);

function runExample(args: string[], env: Record<string, string>): Promise<{ code: unknown; out: string; err: string }> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...env }, timeout: 180_000 };
    execFile(PYTHON, [EXAMPLE, ...args], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : error.code, out, err });
    });
  });
}

describe.skipIf(missing !== null)('examples/python/adamerging.py (SKIPPED without a Python that has torch)', () => {
  let out: string;
  let service: TestService;
  let env: Record<string, string>;
  beforeAll(async () => {
    out = mkdtempSync(join(tmpdir(), 'amalgam-python-'));
    service = await startTestService({ AMALGAM_DEVICE: 'cpu', AMALGAM_TUNING_THREADS: '1' });
    env = { AMALGAM_API_KEY: service.apiKey };
  });
  afterAll(async () => {
    await service?.stop();
    rmSync(out, { recursive: true, force: true });
  });

  /** By task, in per cent: what the service's report says, and what PyTorch found with the downloaded weights. */
  async function accuracies(printed: string): Promise<{ name: string; reported: number; found: number }[]> {
    const client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    for await (const { id } of client.merges.list({ method: 'adamerging' })) {
      const { tasks } = await client.merges.report(id);
      return tasks!.map(({ name, accuracy }) => {
        const line = new RegExp(`^${name}: ([0-9.]+) % by PyTorch`, 'm').exec(printed);
        return { name, reported: 100 * accuracy!, found: Number(line?.[1]) };
      });
    }
    return [];
  }

  test.each([
    ['layer by layer, with the default exporter', ['--granularity', 'layer']],
    ['task by task, with the older exporter', ['--granularity', 'task', '--torchscript']],
  ])('merges %s, and PyTorch agrees with the evaluation', async (_, choice) => {
    const ran = await runExample(['--url', service.url, '--out', out, '--steps', '60', ...choice], env);
    expect([ran.code, ran.code === 0 ? '' : ran.err]).toEqual([0, '']);
    expect(ran.out).toMatch(/^ {2}step \d+ of 60: loss /m);
    expect(ran.out).toMatch(choice.includes('layer') ? /^encoder\.blocks\.0\.k\.bias .* insensitive$/m : /^\* /m);
    const tasks = await accuracies(ran.out);
    expect(tasks.map(({ name }) => name)).toEqual(['bars', 'corners']);
    // Within half a point: a row between two classes may fall on the other side.
    for (const { name, reported, found } of tasks) expect(found, name).toBeCloseTo(reported, 0);
  });

  test('says what is wrong with a key, and ends', async () => {
    const ran = await runExample(['--url', service.url, '--out', out], { AMALGAM_API_KEY: 'amk_wrong' });
    expect(ran.code).toBe(1);
    expect(ran.err).toMatch(/^GET \/methods\/adamerging: 401 unauthorized: /);
  });
});
