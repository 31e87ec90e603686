import type { Checkpoint, List, Merge, Problem } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { register, store, useWorld } from '../support/world.js';

describe('Idempotency-Key', () => {
  const world = useWorld({ env: { AMALGAM_WEBHOOK_ALLOW_HTTP: '1', AMALGAM_WEBHOOK_ALLOW_PRIVATE: '127.0.0.1' } });
  const post = <T>(url: string, body: unknown, key: string, token = world.token) =>
    world.call<T>('POST', url, { body, token, headers: { 'idempotency-key': key } });
  const count = async () => (await world.call<List<Merge>>('GET', '/v1/merges?limit=100')).body.data.length;
  const recipe = async (name: string) => ({
    method: 'linear',
    models: [{ model: (await register(world, `${name}-a`)).id }, { model: (await register(world, `${name}-b`)).id }],
  });

  it('replays a merge with its status, headers and webhook secret, and makes no second one', async () => {
    const body = { recipe: await recipe('replay'), webhook: { url: 'http://127.0.0.1:9/hook' } };
    const first = await post<Merge>('/v1/merges', body, 'k1');
    expect(first.status).toBe(202);
    expect(first.headers['idempotent-replayed']).toBeUndefined();
    const again = await post<Merge>('/v1/merges', body, 'k1');
    expect(again.status).toBe(202);
    expect(again.headers['idempotent-replayed']).toBe('true');
    expect(again.headers['location']).toBe(first.headers['location']);
    expect(again.body).toEqual(first.body);
    expect(again.body.webhook?.secret).toMatch(/^whsec_/);
    expect(await count()).toBe(1);
  });

  it('refuses the key for another body or another call', async () => {
    const body = { recipe: await recipe('reuse') };
    expect((await post('/v1/merges', body, 'k2')).status).toBe(202);
    const other = await post<Problem>('/v1/merges', { ...body, name: 'other' }, 'k2');
    expect(other).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } });
    const elsewhere = await post<Problem>('/v1/merges/plan', body, 'k2');
    expect(elsewhere.body.code).toBe('idempotency_key_reused');
  });

  it('makes one merge of many requests at once', async () => {
    const body = { recipe: await recipe('race') };
    const before = await count();
    const answers = await Promise.all(Array.from({ length: 8 }, () => post<Merge & Problem>('/v1/merges', body, 'k3')));
    const good = answers.filter(({ status }) => status === 202);
    expect(new Set(good.map((answer) => answer.body.id)).size).toBe(1);
    for (const answer of answers) {
      if (answer.status !== 202) expect(answer.body.code).toBe('idempotency_in_progress');
    }
    expect(await count()).toBe(before + 1);
  });

  it('frees the key of a request that failed', async () => {
    const good = { recipe: await recipe('free') };
    const bad = { recipe: { ...good.recipe, method: 'linaer' } };
    expect((await post<Problem>('/v1/merges', bad, 'k4')).body.code).toBe('unknown_method');
    expect((await post('/v1/merges', { nonsense: 1 }, 'k4')).status).toBe(400);
    expect((await post('/v1/merges', good, 'k4')).status).toBe(202);
  });

  it('covers every other POST, and keeps projects apart', async () => {
    const uri = await store(world, 'covered');
    const first = await post<Checkpoint>('/v1/checkpoints', { uri }, 'k5');
    const again = await post<Checkpoint>('/v1/checkpoints', { uri }, 'k5');
    expect(again.body.id).toBe(first.body.id);
    expect(again.headers['location']).toBe(`/v1/checkpoints/${first.body.id}`);
    const stranger = await post<Checkpoint>('/v1/checkpoints', { uri }, 'k5', world.strangerToken);
    expect(stranger.status).toBe(201);
    expect(stranger.body.id).not.toBe(first.body.id);
    const complete = () => post(`/v1/checkpoints/${first.body.id}/complete`, undefined, 'k6');
    expect((await complete()).status).toBe(200);
    expect((await complete()).headers['idempotent-replayed']).toBe('true');
  });

  it('refuses keys that are too long or not printable', async () => {
    for (const key of ['x'.repeat(256), 'tab\there', 'é']) {
      const { status, body } = await post<Problem>('/v1/merges/plan', {}, key);
      expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_request' });
    }
  });
});
