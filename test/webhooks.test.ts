import { setTimeout as sleep } from 'node:timers/promises';
import type { EndpointEventType, Recipe, WebhookBody } from '@amalgam/contracts';
import { newSecret } from '@amalgam/webhooks';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { RunningWorker } from '../apps/worker/src/index.js';
import { type Received, type Receiver, startReceiver } from '../apps/worker/test/receiver.js';
import { Stack, ZOO } from '../apps/worker/test/stack.js';
import { WorkerProcess } from './faults/worker-process.js';
import { startTestDatabase, type TestDatabase } from './support/postgres.js';

// Endpoints end to end: real merges, real receivers, and the standard's own library as the judge of signatures.
const FINAL: EndpointEventType[] = ['merge.succeeded', 'merge.failed', 'merge.canceled'];
const SCHEDULE = [0, 300, 300, 300, 300, 300, 300, 300, 300, 300];

let server: TestDatabase;
let stack: Stack;
let recipe: Recipe;
beforeAll(async () => {
  server = await startTestDatabase();
  stack = await Stack.open(server.url);
  const models = [];
  for (const name of ['digits', 'blobs']) {
    models.push({ model: (await stack.register(name, `${ZOO}${name}.safetensors`)).id });
  }
  recipe = { method: 'ties', base: (await stack.register('base', `${ZOO}base.safetensors`)).id, models };
}, 120_000);
afterAll(async () => {
  await stack?.close();
  await server?.stop();
});

async function endpointAt(
  answer: Parameters<typeof startReceiver>[0],
  events: EndpointEventType[] = FINAL,
): Promise<Receiver & { id: string; secret: string }> {
  const receiver = await startReceiver(answer);
  const secret = newSecret();
  const { webhookEndpoints } = stack.parts.database;
  const { id } = await webhookEndpoints.create(stack.projectId, { url: receiver.url, events, secret });
  onTestFinished(async () => {
    await webhookEndpoints.delete(stack.projectId, id);
    await receiver.close();
  });
  return { ...receiver, id, secret };
}

const endpoint = async (id: string) => stack.parts.database.webhookEndpoints.get(stack.projectId, id);
const deliveries = async (id: string) =>
  (await stack.parts.database.deliveries.listByEndpoint(stack.projectId, id, { limit: 100 })).data;
const redeliver = (id: string, since: Date) =>
  stack.parts.database.deliveries.redeliverFailed(stack.projectId, id, since);
const merges = (count: number) => Promise.all(Array.from({ length: count }, () => stack.createMerge(recipe)));
const verify = (secret: string, { body, headers }: Received) =>
  new Webhook(secret).verify(body, headers as Record<string, string>) as WebhookBody;
/** The merges whose end a receiver took, by what it answered with 2xx. */
const told = (secret: string, taken: Received[]) =>
  [...new Set(taken.map((one) => verify(secret, one).data.id))].sort();

async function until(what: string, holds: () => Promise<boolean> | boolean, ms = 60_000): Promise<void> {
  for (const deadline = Date.now() + ms; !(await holds()); await sleep(50)) {
    if (Date.now() > deadline) throw new Error(`still waiting: ${what}`);
  }
}

describe('with a worker in this process', () => {
  let worker: RunningWorker;
  beforeAll(async () => {
    worker = await stack.startWorker({ webhookSchedule: SCHEDULE });
  });
  // The last test has a worker of its own.
  afterAll(() => worker?.close({ graceMs: 0 }));

  it('a receiver that fails for a while gets every final event, the same bytes under the same id', async () => {
    const taken: Received[] = [];
    // Fewer failures than a schedule has tries, however they fall on the deliveries.
    const hook = await endpointAt((one, index) => {
      if (index >= 6) taken.push(one);
      return { status: index >= 6 ? 200 : 503 };
    });
    const ids = await merges(4);
    for (const id of ids) await stack.untilFinal(id);
    await until('all of them', async () => {
      const all = await deliveries(hook.id);
      return all.length === ids.length && all.every(({ state }) => state === 'succeeded');
    });
    expect(told(hook.secret, taken)).toEqual([...ids].sort());
    for (const one of taken) {
      const same = hook.received.filter(({ headers }) => headers['webhook-id'] === one.headers['webhook-id']);
      expect(new Set(same.map(({ body }) => body)).size).toBe(1);
      expect(verify(hook.secret, one).data).toEqual(await stack.merge(verify(hook.secret, one).data.id));
    }
  });

  it('410 Gone disables at once; what happens later does not go there', async () => {
    const hook = await endpointAt(() => ({ status: 410 }));
    await stack.untilFinal((await merges(1))[0] ?? '');
    await until('disabled', async () => (await endpoint(hook.id))?.enabled === false);
    expect(await endpoint(hook.id)).toMatchObject({ disabledReason: 'gone' });
    await stack.untilFinal((await merges(1))[0] ?? '');
    expect(await deliveries(hook.id)).toHaveLength(1);
    expect(hook.received).toHaveLength(1);
  });

  it('a used-up schedule disables, others are told, and all that failed is sent again when it is asked for', async () => {
    const since = new Date();
    let well = false;
    const taken: Received[] = [];
    const watcher = await endpointAt(() => ({ status: 200 }), ['webhook.disabled']);
    const hook = await endpointAt((one) => {
      if (well) taken.push(one);
      return { status: well ? 200 : 500 };
    });
    const ids = await merges(2);
    for (const id of ids) await stack.untilFinal(id);
    await until('disabled', async () => (await endpoint(hook.id))?.disabledReason === 'exhausted');
    await watcher.until(1);
    const news = new Webhook(watcher.secret).verify(
      watcher.received[0]?.body ?? '',
      watcher.received[0]?.headers as Record<string, string>,
    );
    expect(news).toMatchObject({ type: 'webhook.disabled', data: { id: hook.id, disabled: { reason: 'exhausted' } } });
    // While it is disabled nothing is sent, and nothing is lost.
    const sent = hook.received.length;
    ids.push(...(await merges(1)));
    await stack.untilFinal(ids[2] ?? '');
    expect(hook.received).toHaveLength(sent);
    well = true;
    await stack.parts.database.webhookEndpoints.update(stack.projectId, hook.id, { enabled: true });
    expect(await redeliver(hook.id, since)).toBe(3);
    await until('all of them', () => taken.length >= 3);
    expect(told(hook.secret, taken)).toEqual([...ids].sort());
  });

  it('a rotated secret: both sign until the overlap is over, then only the new one', async () => {
    const hook = await endpointAt(() => ({ status: 200 }));
    const { webhookEndpoints } = stack.parts.database;
    const next = newSecret();
    await webhookEndpoints.rotateSecret(stack.projectId, hook.id, next, 60_000);
    await webhookEndpoints.test(stack.projectId, hook.id);
    await hook.until(1);
    const [both] = hook.received as [Received];
    expect(verify(hook.secret, both)).toEqual(verify(next, both));
    expect(verify(next, both)).toMatchObject({ type: 'webhook.test', data: { id: hook.id } });
    const last = newSecret();
    await webhookEndpoints.rotateSecret(stack.projectId, hook.id, last, 0);
    await webhookEndpoints.test(stack.projectId, hook.id);
    await hook.until(2);
    const [, one] = hook.received as [Received, Received];
    expect(() => verify(next, one)).toThrow();
    expect(verify(last, one)).toMatchObject({ type: 'webhook.test' });
  });

  it('every try is kept, with what was sent and what came back', async () => {
    const hook = await endpointAt((_, index) => ({ status: index === 0 ? 500 : 204 }));
    await stack.untilFinal((await merges(1))[0] ?? '');
    await until('taken', async () => (await deliveries(hook.id))[0]?.state === 'succeeded');
    const id = (await deliveries(hook.id))[0]?.id ?? '';
    const found = await stack.parts.database.deliveries.find(stack.projectId, id);
    const tries = found?.tries.toReversed() ?? [];
    expect(tries).toMatchObject([
      { number: 1, status: 500, error: 'HTTP 500', url: hook.url },
      { number: 2, status: 204, error: null },
    ]);
    tries.forEach((one, index) => {
      const { headers } = hook.received[index] as Received;
      const sent = one.requestHeaders as Record<string, string>;
      for (const [name, value] of Object.entries(sent)) expect([name, headers[name]]).toEqual([name, value]);
      expect(sent['webhook-id']).toBe(id);
    });
  });

  it('a receiver that never answers does not keep others waiting, however much there is for it', async () => {
    const silent = await endpointAt(() => ({ status: 200, waitMs: 60_000 }));
    const quick = await endpointAt(() => ({ status: 200 }));
    const { webhookEndpoints } = stack.parts.database;
    for (let i = 0; i < 20; i++) await webhookEndpoints.test(stack.projectId, silent.id);
    await silent.until(8);
    await webhookEndpoints.test(stack.projectId, quick.id);
    await quick.until(1);
    // The eight still wait for an answer, and the others for a place.
    expect((await deliveries(silent.id)).map(({ state, attempts }) => [state, attempts])).toEqual(
      Array.from({ length: 20 }, () => ['pending', 0]),
    );
    expect(silent.received).toHaveLength(8);
  });

  it('a slow receiver delays no merge, and its late progress is dropped before it delays other news', async () => {
    const slow = await endpointAt(() => ({ status: 200, waitMs: 20_000 }), ['merge.queued', 'merge.progress']);
    const ids = await merges(3);
    for (const id of ids) expect((await stack.untilFinal(id)).state).toBe('succeeded');
    expect((await deliveries(slow.id)).every(({ state }) => state !== 'succeeded')).toBe(true);
    const { deliveries: rows, prisma } = stack.parts.database;
    const progress = async () => (await deliveries(slow.id)).filter(({ type }) => type === 'merge.progress');
    await until('progress given up', async () => (await progress()).every(({ state }) => state === 'failed'));
    const id = (await progress())[0]?.id ?? '';
    // As if it had waited for a minute behind others.
    const scheduledAt = new Date(Date.now() - 60_000);
    await prisma.delivery.update({ where: { id }, data: { state: 'pending', finishedAt: null, scheduledAt } });
    const before = slow.received.filter(({ headers }) => headers['webhook-id'] === id).length;
    expect(await rows.redispatch(id)).toBe(true);
    await until('dropped', async () => {
      const row = await rows.find(stack.projectId, id);
      return row?.lastError?.startsWith('dropped') === true;
    });
    expect(slow.received.filter(({ headers }) => headers['webhook-id'] === id)).toHaveLength(before);
  });
});

it('a worker that is killed in the middle of its deliveries loses none', { timeout: 240_000 }, async () => {
  const worker = await WorkerProcess.start(stack.env);
  onTestFinished(() => worker.kill());
  // The first worker never gets an answer; those that come later do.
  let well = false;
  const taken: Received[] = [];
  const hook = await endpointAt((one) => {
    if (well) taken.push(one);
    return { status: 200, waitMs: well ? 0 : 60_000 };
  });
  const ids = await merges(5);
  for (const id of ids) await stack.untilFinal(id);
  await hook.until(3);
  await worker.kill();
  well = true;
  const next = await WorkerProcess.start(stack.env);
  onTestFinished(() => next.kill());
  await until('all of them', () => told(hook.secret, taken).length === ids.length, 180_000);
  expect(told(hook.secret, taken)).toEqual([...ids].sort());
});
