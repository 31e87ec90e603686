import type { QueueStatus } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { useWorld } from '../support/world.js';

describe('health', () => {
  const world = useWorld();

  it('answers without a key, also HEAD', async () => {
    expect(await world.call('GET', '/healthz', { token: null })).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect((await world.call('HEAD', '/healthz', { token: null })).status).toBe(200);
  });

  it('is ready when database, queue and store answer', async () => {
    const { status, body } = await world.call('GET', '/readyz', { token: null });
    expect({ status, body }).toEqual({
      status: 200,
      body: { status: 'ok', checks: { database: 'ok', queue: 'ok', store: 'ok' } },
    });
  });

  it('says which part fails, in words of ours', async () => {
    const { ping } = world.parts.store;
    world.parts.store.ping = () => Promise.reject(new Error('connect ECONNREFUSED 10.1.2.3:9000'));
    try {
      const { status, body, text, headers } = await world.call('GET', '/readyz', { token: null });
      expect(status).toBe(503);
      expect(body).toMatchObject({
        code: 'unavailable',
        errors: [{ pointer: '/store', detail: 'store: does not answer' }],
      });
      expect(text).not.toContain('10.1.2.3');
      expect(headers['retry-after']).toBe('1');
    } finally {
      world.parts.store.ping = ping;
    }
  });

  it('measures requests by route pattern, and the queue', async () => {
    await world.call('GET', '/v1/merges/mrg_nothing');
    const { text, headers } = await world.call('GET', '/metrics', { token: null });
    expect(headers['content-type']).toMatch(/^text\/plain/);
    expect(text).toContain('amalgam_http_requests_total{route="/v1/merges/:id",method="GET",status="404"} 1');
    expect(text).toContain('amalgam_queue_jobs{lane="cpu",state="waiting"} 0');
    expect(text).toContain('amalgam_workers 0');
  });

  it('tells lanes and workers', async () => {
    await world.parts.database.workers.heartbeat({
      id: 'w1',
      hostname: 'h',
      pid: 1,
      lanes: ['cpu'],
      device: 'cpu',
      version: '1',
      running: [],
    });
    const { body } = await world.call('GET', '/v1/queue');
    expect(body).toMatchObject({ object: 'queue', workers: [{ id: 'w1', lanes: ['cpu'], running: 0 }] });
  });

  it('warns of jobs that no living worker takes', async () => {
    const lanes = async () => (await world.call<QueueStatus>('GET', '/v1/queue')).body.lanes;
    await world.parts.queue.add('gpu', { id: 'tuning', data: {} });
    const [cpu, gpu] = await lanes();
    expect(cpu).toEqual({ lane: 'cpu', waiting: 0, delayed: 0, active: 0, failed: 0, workers: 1 });
    expect(gpu).toMatchObject({ lane: 'gpu', waiting: 1, workers: 0 });
    expect(gpu?.warning).toBe('1 job waits, and no living worker takes them: start one with gpu in AMALGAM_LANES');
    await world.parts.queue.remove('gpu', 'tuning');
    expect((await lanes())[1]).not.toHaveProperty('warning');
  });
});
