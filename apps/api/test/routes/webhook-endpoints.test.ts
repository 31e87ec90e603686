import {
  Delivery,
  DeliveryDetails,
  type List,
  type Problem,
  type Redelivered,
  validate,
  WEBHOOK_BODY_LIMIT,
  WebhookBody,
  WebhookEndpoint,
} from '@amalgam/contracts';
import { beforeEach, describe, expect, it } from 'vitest';
import { claim, queueMerge, register, succeed, useWorld, weights } from '../support/world.js';

const PATH = '/v1/webhook-endpoints';
const URL = 'http://127.0.0.1:9/hook';

describe('webhook endpoints', () => {
  const world = useWorld({ env: { AMALGAM_WEBHOOK_ALLOW_HTTP: '1', AMALGAM_WEBHOOK_ALLOW_PRIVATE: '127.0.0.1' } });
  beforeEach(async () => void (await world.parts.database.prisma.webhookEndpoint.deleteMany()));

  const create = async (body: Record<string, unknown> = {}) => {
    const made = await world.call<WebhookEndpoint>('POST', PATH, { body: { url: URL, ...body } });
    expect(made.status, made.text).toBe(201);
    return made.body;
  };
  const deliveries = async (id: string, query = '') =>
    (await world.call<List<Delivery>>('GET', `${PATH}/${id}/deliveries${query}`)).body.data;
  const details = async (id: string) => (await world.call<DeliveryDetails>('GET', `/v1/deliveries/${id}`)).body;
  const sent = () => ({
    url: URL,
    startedAt: new Date(),
    durationMs: 12,
    headers: { 'webhook-id': 'x' },
    responseHead: 'no',
  });
  const fail = (id: string, disable?: 'gone' | 'exhausted') =>
    world.parts.database.deliveries.recordAttempt(id, {
      ...{ sent: sent(), status: 500, error: 'HTTP 500', state: 'failed' },
      ...(disable === undefined ? {} : { disable }),
    });

  it('shows its secret on creation and on rotation, and never again', async () => {
    const made = await create({ description: 'pipeline' });
    expect(made.secret).toMatch(/^whsec_/);
    expect(made).toMatchObject({ url: URL, description: 'pipeline', enabled: true, disabled: null });
    expect(made.events).toEqual([
      ...['merge.queued', 'merge.started', 'merge.succeeded', 'merge.failed', 'merge.canceled', 'webhook.disabled'],
    ]);
    const one = await world.call<WebhookEndpoint>('GET', `${PATH}/${made.id}`);
    expect(validate(WebhookEndpoint, one.body)).toMatchObject({ ok: true });
    expect(one.body).toEqual({ ...made, secret: undefined });
    const rotated = await world.call<WebhookEndpoint>('POST', `${PATH}/${made.id}/rotate-secret`);
    expect(rotated.body.secret).toMatch(/^whsec_/);
    expect(rotated.body.secret).not.toBe(made.secret);
    const day = Date.parse(rotated.body.old_secrets_expire_at!) - Date.now();
    expect(day).toBeGreaterThan(86_390_000);
    expect(day).toBeLessThanOrEqual(86_400_000);
    const listed = await world.call<List<WebhookEndpoint>>('GET', PATH);
    expect(listed.body.data.map(({ id }) => id)).toEqual([made.id]);
    expect(listed.text).not.toContain('whsec_');
  });

  it('refuses URLs, events and secrets that are no good, and says where', async () => {
    const wrong: [Record<string, unknown>, string, string][] = [
      [{ url: 'http://10.0.0.1/' }, 'webhook_not_allowed', '/url'],
      [{ url: 'ftp://127.0.0.1/' }, 'webhook_not_allowed', '/url'],
      [{ events: ['merge.done'] }, 'invalid_request', '/events/0'],
      [{ events: ['webhook.test'] }, 'invalid_request', '/events/0'],
      [{ events: [] }, 'invalid_request', '/events'],
      [{ secret: `whsec_${'A'.repeat(33)}` }, 'invalid_request', '/secret'],
    ];
    for (const [body, code, pointer] of wrong) {
      const { body: problem } = await world.call<Problem>('POST', PATH, { body: { url: URL, ...body } });
      expect({ body, code: problem.code, at: problem.errors?.[0]?.pointer }).toEqual({ body, code, at: pointer });
    }
    const { id } = await create();
    const moved = await world.call<Problem>('PATCH', `${PATH}/${id}`, { body: { url: 'http://169.254.169.254/' } });
    expect(moved.body.code).toBe('webhook_not_allowed');
  });

  it('gets the events that it asks for, of every merge, with the object that GET returns', async () => {
    const all = await create();
    const some = await create({ events: ['merge.succeeded', 'merge.progress'] });
    const { id } = await queueMerge(world);
    await succeed(world, await claim(world, id));
    expect((await deliveries(all.id)).map(({ type }) => type)).toEqual([
      'merge.succeeded',
      'merge.started',
      'merge.queued',
    ]);
    const [last, ...none] = await deliveries(some.id);
    expect(none).toEqual([]);
    expect(validate(Delivery, last)).toMatchObject({ ok: true });
    const one = await details(last!.id);
    expect(validate(DeliveryDetails, one)).toMatchObject({ ok: true });
    const body = JSON.parse(one.body) as WebhookBody;
    expect(validate(WebhookBody, body)).toMatchObject({ ok: true });
    expect(body.data).toEqual((await world.call('GET', `/v1/merges/${id}`)).body);
    expect(await deliveries(all.id, '?type=merge.started&state=pending')).toHaveLength(1);
    expect(await deliveries(all.id, '?state=failed')).toEqual([]);
    expect(await deliveries(all.id, `?created_before=${last!.created_at}`)).toHaveLength(2);
    const page = await world.call<List<Delivery>>('GET', `${PATH}/${all.id}/deliveries?limit=1`);
    expect(await deliveries(all.id, `?after=${page.body.next_cursor}`)).toHaveLength(2);
  });

  it('keeps bodies under 20 kB, and says what it left out', async () => {
    const { id: endpoint } = await create();
    const metadata = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`key${i}`, '\u00e9'.repeat(512)]));
    const inputs = [await register(world, 'long-a', weights(1)), await register(world, 'long-b', weights(2))];
    const globs = Array.from({ length: 300 }, (_, i) => `layer.${i}.*.weight`);
    const recipe = { method: 'linear', models: inputs.map(({ id }) => ({ model: id })), merge: { exclude: globs } };
    const made = await world.call<{ id: string }>('POST', '/v1/merges', { body: { recipe, metadata } });
    expect(made.status, made.text).toBe(202);
    const [delivery] = await deliveries(endpoint);
    const { body } = await details(delivery!.id);
    expect(Buffer.byteLength(body)).toBeLessThan(WEBHOOK_BODY_LIMIT);
    const parsed = JSON.parse(body) as WebhookBody;
    expect(validate(WebhookBody, parsed)).toMatchObject({ ok: true });
    expect(parsed.truncated).toContain('/data/recipe');
    expect(parsed.data).toMatchObject({ id: made.body.id, metadata, recipe: { method: 'linear' } });
    expect(parsed.data.recipe).not.toHaveProperty('merge');
  });

  it('ends what waits when its owner disables it, and sends it once it is enabled', async () => {
    const { id } = await create({ events: ['merge.queued'] });
    await queueMerge(world);
    const off = await world.call<WebhookEndpoint>('PATCH', `${PATH}/${id}`, { body: { enabled: false } });
    expect(off.body).toMatchObject({ enabled: false, disabled: { reason: 'user' } });
    expect(await deliveries(id)).toMatchObject([
      { state: 'failed', last_error: 'the endpoint is disabled', attempts: 0 },
    ]);
    await queueMerge(world);
    expect(await deliveries(id)).toHaveLength(1);
    const since = new Date(0).toISOString();
    const refused = await world.call<Problem>('POST', `${PATH}/${id}/redeliver`, { body: { since } });
    expect([refused.status, refused.body.code]).toEqual([409, 'endpoint_disabled']);
    const on = await world.call<WebhookEndpoint>('PATCH', `${PATH}/${id}`, { body: { enabled: true, url: `${URL}2` } });
    expect(on.body).toMatchObject({ enabled: true, disabled: null });
    const again = await world.call<Redelivered>('POST', `${PATH}/${id}/redeliver`, { body: { since } });
    expect([again.status, again.body.deliveries]).toEqual([202, 1]);
    expect(await deliveries(id)).toMatchObject([{ state: 'pending', url: `${URL}2` }]);
  });

  it('that failed for the whole schedule is disabled, tells the others, and keeps what comes', async () => {
    const watcher = await create({ events: ['webhook.disabled'] });
    const { id } = await create({ events: ['merge.queued'] });
    await queueMerge(world);
    const [first] = await deliveries(id);
    expect(await fail(first!.id, 'exhausted')).toEqual({ noted: true, disabled: true });
    const gone = await world.call<WebhookEndpoint>('GET', `${PATH}/${id}`);
    expect(gone.body).toMatchObject({ enabled: false, disabled: { reason: 'exhausted' } });
    const [told] = await deliveries(watcher.id);
    expect(JSON.parse((await details(told!.id)).body)).toMatchObject({ type: 'webhook.disabled', data: gone.body });
    await queueMerge(world);
    const [kept] = await deliveries(id);
    expect(kept).toMatchObject({ type: 'merge.queued', state: 'failed', attempts: 0 });
    await world.call('PATCH', `${PATH}/${id}`, { body: { enabled: true } });
    const since = first!.created_at;
    const again = await world.call<Redelivered>('POST', `${PATH}/${id}/redeliver`, { body: { since } });
    expect(again.body.deliveries).toBe(2);
  });

  it('that takes others is not disabled for one that it never takes', async () => {
    const { id } = await create({ events: ['merge.queued', 'merge.started'] });
    const merge = await queueMerge(world);
    await claim(world, merge.id);
    const [started, queued] = await deliveries(id);
    const good = { sent: sent(), status: 200, state: 'succeeded' } as const;
    await world.parts.database.deliveries.recordAttempt(started!.id, good);
    expect(await fail(queued!.id, 'exhausted')).toEqual({ noted: true, disabled: false });
    expect((await world.call<WebhookEndpoint>('GET', `${PATH}/${id}`)).body.enabled).toBe(true);
  });

  it('shows the tries of a delivery, and sends it again under the same id from the schedule’s beginning', async () => {
    const { id } = await create({ events: ['merge.queued'] });
    await queueMerge(world);
    const [delivery] = await deliveries(id);
    await fail(delivery!.id);
    const before = await details(delivery!.id);
    expect(before.tries).toMatchObject([
      { number: 1, url: URL, duration_ms: 12, status: 500, error: 'HTTP 500', response_head: 'no' },
    ]);
    const again = await world.call<Delivery>('POST', `/v1/deliveries/${delivery!.id}/redeliver`);
    expect([again.status, again.body.id, again.body.state]).toEqual([202, delivery!.id, 'pending']);
    const row = await world.parts.database.deliveries.get(delivery!.id);
    expect(row).toMatchObject({ attempts: 1, scheduleStep: 0, body: before.body });
  });

  it('sends what waits for its next try with what has failed, and not what waits for its first', async () => {
    const { id } = await create({ events: ['merge.queued'] });
    for (let i = 0; i < 3; i++) await queueMerge(world);
    const [fresh, failed, waiting] = await deliveries(id);
    await fail(failed!.id);
    const later = new Date(Date.now() + 3_600_000);
    await world.parts.database.deliveries.recordAttempt(waiting!.id, {
      sent: sent(),
      status: 503,
      nextAttemptAt: later,
    });
    const since = new Date(0).toISOString();
    const again = await world.call<Redelivered>('POST', `${PATH}/${id}/redeliver`, { body: { since } });
    expect([again.status, again.body.deliveries]).toEqual([202, 2]);
    const rows = await Promise.all([fresh, failed, waiting].map((one) => world.parts.database.deliveries.get(one!.id)));
    expect(rows).toMatchObject([{ attempts: 0 }, ...Array(2).fill({ state: 'pending', attempts: 1, scheduleStep: 0 })]);
    expect(rows[2]!.nextAttemptAt!.getTime()).toBeLessThan(later.getTime());
    const none = await world.call<Redelivered>('POST', `${PATH}/${id}/redeliver`, { body: { since } });
    expect(none.body.deliveries).toBe(0);
  });

  it('is nothing to another project, and gone with its deliveries when it is deleted', async () => {
    const { id } = await create({ events: ['merge.queued'] });
    await queueMerge(world);
    const [delivery] = await deliveries(id);
    const token = world.strangerToken;
    const since = new Date(0).toISOString();
    const calls: [string, string, unknown?][] = [
      ['GET', `${PATH}/${id}`],
      ['PATCH', `${PATH}/${id}`, { enabled: false }],
      ['DELETE', `${PATH}/${id}`],
      ['POST', `${PATH}/${id}/rotate-secret`],
      ['POST', `${PATH}/${id}/test`],
      ['POST', `${PATH}/${id}/redeliver`, { since }],
      ['GET', `${PATH}/${id}/deliveries`],
      ['GET', `/v1/deliveries/${delivery!.id}`],
      ['POST', `/v1/deliveries/${delivery!.id}/redeliver`],
    ];
    for (const [method, url, body] of calls) {
      expect([method, url, (await world.call(method, url, { token, body })).status]).toEqual([method, url, 404]);
    }
    expect((await world.call('DELETE', `${PATH}/${id}`)).status).toBe(204);
    for (const [method, url, body] of calls) {
      expect([method, url, (await world.call(method, url, { body })).status]).toEqual([method, url, 404]);
    }
  });

  it('takes no times that no clock shows', async () => {
    const { id } = await create();
    for (const since of ['2026-12-31T23:59:60Z', '0000-01-01T00:00:00Z']) {
      const all: [string, string, unknown?][] = [
        ['POST', `${PATH}/${id}/redeliver`, { since }],
        ['GET', `${PATH}/${id}/deliveries?created_after=${since}`],
        ['GET', `/v1/merges?created_before=${since}`],
        ['POST', '/v1/keys', { name: 'late', expires_at: since }],
      ];
      for (const [method, url, body] of all) {
        expect([method, url, (await world.call(method, url, { body })).status]).toEqual([method, url, 400]);
      }
    }
  });

  it('is managed by keys for webhooks, which may do nothing else', async () => {
    const keyWith = async (...scopes: string[]) =>
      (await world.call<{ token: string }>('POST', '/v1/keys', { body: { name: scopes.join(), scopes } })).body.token;
    const writer = await keyWith('webhooks:write', 'webhooks:read');
    const made = await world.call<WebhookEndpoint>('POST', PATH, { body: { url: URL }, token: writer });
    expect(made.status).toBe(201);
    expect((await world.call('GET', '/v1/merges', { token: writer })).status).toBe(403);
    const reader = await keyWith('webhooks:read');
    expect((await world.call('GET', PATH, { token: reader })).status).toBe(200);
    expect((await world.call('DELETE', `${PATH}/${made.body.id}`, { token: reader })).status).toBe(403);
    const general = await keyWith('read');
    expect((await world.call('GET', PATH, { token: general })).status).toBe(200);
    expect((await world.call('POST', `${PATH}/${made.body.id}/test`, { token: general })).status).toBe(403);
  });
});
