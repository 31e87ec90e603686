import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { Stack, ZOO } from './stack.js';

let server: TestDatabase;
let stack: Stack | undefined;
beforeAll(async () => {
  server = await startTestDatabase();
});
afterEach(async () => {
  await stack?.close();
  stack = undefined;
  vi.unstubAllEnvs();
});
afterAll(() => server?.stop());

async function workers(of: Stack) {
  const alive = await of.parts.database.workers.listAlive(10_000);
  return alive.map(({ id, lanes, device }) => ({ id, lanes, device }));
}

describe('a worker', () => {
  it('takes every lane by default, and says so and what it tunes on in its heartbeat and metrics', async () => {
    stack = await Stack.open(server.url, { AMALGAM_DEVICE: 'cpu' });
    const { id } = await stack.startWorker();
    await vi.waitFor(async () => {
      expect(await workers(stack as Stack)).toEqual([{ id, lanes: ['cpu', 'gpu', 'delivery'], device: 'cpu' }]);
    });
    const { body } = await stack.metrics.render();
    expect(body).toMatch(/^amalgam_worker_info\{device="cpu",lanes="cpu,gpu,delivery",version="[\d.]+"\} 1$/m);
  });

  it('takes jobs of the gpu lane', async () => {
    stack = await Stack.open(server.url, { AMALGAM_DEVICE: 'cpu' });
    await stack.startWorker();
    await stack.parts.queue.add('gpu', { id: 'of-no-merge', data: {} });
    await vi.waitFor(async () => expect(await stack?.parts.queue.has('gpu', 'of-no-merge')).toBe(false), 10_000);
  });

  it('tells of each attempt what it ran on', async () => {
    stack = await Stack.open(server.url);
    const base = await stack.register('base', `${ZOO}base.safetensors`);
    const digits = await stack.register('digits', `${ZOO}digits.safetensors`);
    await stack.startWorker();
    const id = await stack.createMerge({ method: 'ties', base: base.id, models: [{ model: digits.id }] });
    const merge = await stack.untilFinal(id);
    expect(merge).toMatchObject({ state: 'succeeded', attempts: [{ device: 'cpu' }] });
  });

  it('leaves the gpu lane alone when its lanes do not have it, and tries no device then', async () => {
    // With this every device would fail.
    stack = await Stack.open(server.url, { AMALGAM_LANES: 'cpu,delivery', AMALGAM_DEVICE: 'cuda' });
    vi.stubEnv('NODE_OPTIONS', '--no-such-option');
    const { id } = await stack.startWorker();
    await stack.parts.queue.add('gpu', { id: 'waits', data: {} });
    await stack.parts.queue.add('cpu', { id: 'runs', data: {} });
    await vi.waitFor(async () => expect(await stack?.parts.queue.has('cpu', 'runs')).toBe(false), 10_000);
    expect(await stack.parts.queue.counts('gpu')).toMatchObject({ waiting: 1, active: 0 });
    await stack.parts.queue.remove('gpu', 'waits');
    expect(await workers(stack)).toEqual([{ id, lanes: ['cpu', 'delivery'], device: 'cpu' }]);
  });

  it('whose device does not work does not start, and says why', async () => {
    stack = await Stack.open(server.url, { AMALGAM_DEVICE: 'webgpu' });
    vi.stubEnv('NODE_OPTIONS', '--no-such-option');
    const start = stack.startWorker();
    await expect(start).rejects.toMatchObject({
      code: 'device_unavailable',
      detail: expect.stringMatching(/^webgpu: .*--no-such-option/),
    });
    expect(await workers(stack)).toEqual([]);
  });

  it('goes on with its other lanes when auto finds nothing to tune on', async () => {
    stack = await Stack.open(server.url, { AMALGAM_DEVICE: 'auto' });
    vi.stubEnv('NODE_OPTIONS', '--no-such-option');
    const { id } = await stack.startWorker();
    await vi.waitFor(async () => {
      expect(await workers(stack as Stack)).toEqual([{ id, lanes: ['cpu', 'delivery'], device: 'cpu' }]);
    });
  });

  it('does not start when auto finds nothing and the gpu lane is all it has', async () => {
    stack = await Stack.open(server.url, { AMALGAM_LANES: 'gpu', AMALGAM_DEVICE: 'auto' });
    vi.stubEnv('NODE_OPTIONS', '--no-such-option');
    await expect(stack.startWorker()).rejects.toMatchObject({ code: 'device_unavailable' });
  });
});
