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

test('a worker takes every lane unless told which', () => {
  const lanes = (AMALGAM_LANES: string) => loadConfig({ AMALGAM_HOME: tempHome(), AMALGAM_LANES }).worker.lanes;
  expect(lanes('')).toEqual(['cpu', 'gpu', 'delivery']);
  expect(lanes('delivery, cpu')).toEqual(['cpu', 'delivery']);
  expect(lanes('gpu')).toEqual(['gpu']);
  for (const text of ['gpus', 'cpu,gpu,tpu', ',', 'cpu gpu']) {
    expect(() => lanes(text)).toThrow(`AMALGAM_LANES must be some of cpu, gpu, delivery, with commas between them`);
  }
});

test('what tuning runs on', () => {
  const { device, tuningThreads, gpuConcurrency } = loadConfig({ AMALGAM_HOME: tempHome() }).worker;
  expect({ device, tuningThreads, gpuConcurrency }).toEqual({
    device: 'auto',
    tuningThreads: undefined,
    gpuConcurrency: 1,
  });
  const given = { AMALGAM_DEVICE: 'cuda', AMALGAM_TUNING_THREADS: '4', AMALGAM_GPU_CONCURRENCY: '2' };
  const config = loadConfig({ AMALGAM_HOME: tempHome(), ...given });
  expect(config.worker).toMatchObject({ device: 'cuda', tuningThreads: 4, gpuConcurrency: 2 });
  const wrong = { AMALGAM_DEVICE: 'gpu', AMALGAM_TUNING_THREADS: '0', AMALGAM_GPU_CONCURRENCY: '0' };
  for (const [name, value] of Object.entries(wrong)) {
    expect(() => loadConfig({ AMALGAM_HOME: tempHome(), [name]: value })).toThrow(name);
  }
});
