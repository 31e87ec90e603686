import type { EventType, Recipe } from '@amalgam/contracts';
import { newSecret } from '@amalgam/webhooks';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { type Receiver, startReceiver } from './receiver.js';
import { Stack, ZOO } from './stack.js';

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
  await stack.startWorker({ webhookSchedule: [0, 100, 200] });
});
afterAll(async () => {
  await stack?.close();
  await server?.stop();
});

async function receiver(answer: Parameters<typeof startReceiver>[0]): Promise<Receiver> {
  const started = await startReceiver(answer);
  onTestFinished(() => started.close());
  return started;
}

async function mergeWith(url: string, events?: EventType[]): Promise<{ id: string; secret: string }> {
  const secret = newSecret();
  const webhook = { url, secret, ...(events === undefined ? {} : { events }) };
  return { id: await stack.createMerge(recipe, { webhook }), secret };
}

async function deliveries(id: string) {
  const { data } = await stack.parts.database.deliveries.listByMerge(stack.projectId, id, { limit: 100 });
  return data;
}

async function untilOver(id: string, count: number) {
  for (;;) {
    const all = await deliveries(id);
    if (all.length === count && all.every(({ state }) => state !== 'pending')) return all;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

it('webhooks come signed, with the object that GET returns', async () => {
  const { url, received, until } = await receiver(() => ({ status: 204 }));
  const { id, secret } = await mergeWith(url);
  await until(3);
  const merge = await stack.untilFinal(id);
  const bodies = received.map(({ headers, body }) => {
    const verified = new Webhook(secret).verify(body, headers as Record<string, string>);
    return verified as { type: string; timestamp: string; data: unknown };
  });
  // Deliveries go out side by side, so their order is not the events'.
  expect(bodies.map(({ type }) => type).sort()).toEqual(['merge.queued', 'merge.started', 'merge.succeeded']);
  expect(bodies.find(({ type }) => type === 'merge.succeeded')?.data).toEqual(merge);
  for (const delivery of await untilOver(id, 3)) {
    expect(delivery).toMatchObject({ state: 'succeeded', attempts: 1, lastStatus: 204, lastError: null });
  }
});

it('a receiver that fails first gets the same bytes later, under the same id', async () => {
  const { url, received, until } = await receiver((_, index) => ({ status: index === 0 ? 503 : 200 }));
  const { id } = await mergeWith(url, ['merge.succeeded']);
  await until(2);
  expect(received[1]?.body).toBe(received[0]?.body);
  expect(received[1]?.headers['webhook-id']).toBe(received[0]?.headers['webhook-id']);
  expect(await untilOver(id, 1)).toMatchObject([{ state: 'succeeded', attempts: 2, lastStatus: 200 }]);
});

it('a Retry-After is honoured', async () => {
  const { url, received, until } = await receiver((_, index) =>
    index === 0 ? { status: 429, headers: { 'retry-after': '2' } } : { status: 200 },
  );
  const { id } = await mergeWith(url, ['merge.succeeded']);
  await until(2);
  expect(received[1]!.at - received[0]!.at).toBeGreaterThanOrEqual(1_900);
  expect(await untilOver(id, 1)).toMatchObject([{ state: 'succeeded', attempts: 2 }]);
});

it('a schedule that is used up, and 410 Gone, end the delivery', async () => {
  const failing = await receiver(() => ({ status: 500 }));
  const gone = await receiver(() => ({ status: 410 }));
  const used = await mergeWith(failing.url, ['merge.succeeded']);
  const refused = await mergeWith(gone.url, ['merge.succeeded']);
  expect(await untilOver(used.id, 1)).toMatchObject([{ state: 'failed', attempts: 3, lastError: 'HTTP 500' }]);
  expect(await untilOver(refused.id, 1)).toMatchObject([{ state: 'failed', attempts: 1, lastStatus: 410 }]);
  expect(failing.received).toHaveLength(3);
  expect(gone.received).toHaveLength(1);
});

it('progress is not sent again', async () => {
  const { url, received } = await receiver(() => ({ status: 500 }));
  const { id } = await mergeWith(url, ['merge.progress']);
  await stack.untilFinal(id);
  const progress = (await stack.events(id)).filter(({ type }) => type === 'merge.progress').length;
  for (const delivery of await untilOver(id, progress)) {
    expect(delivery).toMatchObject({ state: 'failed', attempts: 1 });
  }
  expect(received).toHaveLength(progress);
});

it('slow receivers do not hold up merges', async () => {
  // Longer than a delivery waits: nothing is delivered while the merges run, whatever their speed.
  const { url } = await receiver(() => ({ status: 200, waitMs: 30_000 }));
  const ids = await Promise.all([1, 2, 3, 4].map(async () => (await mergeWith(url)).id));
  for (const id of ids) expect((await stack.untilFinal(id)).state).toBe('succeeded');
  const sent = await Promise.all(ids.map((id) => deliveries(id)));
  expect(sent.flat().every(({ state }) => state === 'pending')).toBe(true);
});

it('an address that is not allowed is not called', async () => {
  const { id } = await mergeWith('http://127.0.0.2:9/hook', ['merge.succeeded']);
  const [delivery] = await untilOver(id, 1);
  expect(delivery).toMatchObject({ state: 'failed', lastStatus: null });
  expect(delivery?.lastError).toContain('webhook_not_allowed');
});
