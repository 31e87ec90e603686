import { EVENT_TYPES, Merge, validate, WebhookBody } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { connect, type MergeRow, toDeliveryResource, toMergeResource } from '../src/index.js';
import { makeMerge, RESULT, range, STALE, useWorld } from './fixtures.js';

const world = useWorld();
const SECRET = `whsec_${'A'.repeat(32)}`;
const URL = 'https://hooks.test/x';

async function hooked(events?: (typeof EVENT_TYPES)[number][]): Promise<MergeRow> {
  return makeMerge(world, { webhook: { url: URL, secret: SECRET, ...(events === undefined ? {} : { events }) } });
}

async function deliveriesOf(mergeId: string) {
  const { data } = await world.db.deliveries.listByMerge(world.projectId, mergeId, { limit: 100 });
  const all = await Promise.all(data.toReversed().map(({ id }) => world.db.deliveries.get(id)));
  return all.flatMap((delivery) => (delivery === null ? [] : [delivery]));
}

async function drain(): Promise<string[]> {
  const ids: string[] = [];
  await world.db.outbox.drain(1000, async (rows) => void ids.push(...rows.map((row) => row.subjectId)));
  return ids;
}

describe('webhooks', () => {
  it('get the merge as it was at each event, and not its progress unless asked', async () => {
    const merge = await hooked();
    const claim = await world.db.attempts.claim(merge.id, 'w', STALE);
    const attemptId = claim?.attemptId ?? '';
    await world.db.attempts.progress(attemptId, { stage: 'merging', bytesDone: 1, bytesTotal: 2 });
    await world.db.attempts.finish(attemptId, { state: 'succeeded', checkpoint: RESULT, report: { big: true } });
    const all = await deliveriesOf(merge.id);
    const bodies = all.map(({ body }) => JSON.parse(body) as WebhookBody);
    expect(bodies.map(({ type, data }) => [type, data.state])).toEqual([
      ['merge.queued', 'queued'],
      ['merge.started', 'running'],
      ['merge.succeeded', 'succeeded'],
    ]);
    for (const body of bodies) expect(validate(WebhookBody, body)).toMatchObject({ ok: true });
    const now = await world.db.merges.get(world.projectId, merge.id);
    expect(bodies[2]?.data).toEqual(now === null ? null : toMergeResource(now));
    expect(validate(Merge, bodies[2]?.data)).toMatchObject({ ok: true });
    expect(all.map(({ url, secrets: [secret], type }) => [url, secret, type])).toEqual(
      bodies.map(({ type }) => [URL, SECRET, type]),
    );
    const events = await world.db.events.listAfter(world.projectId, merge.id);
    expect(bodies[2]?.timestamp).toBe(events.at(-1)?.created_at);
    expect(all[2]?.eventId).toBe(events.at(-1)?.id);
    expect((await drain()).filter((id) => id.startsWith('dlv_'))).toEqual(all.map(({ id }) => id));
  });

  it('get every type when they ask for every type', async () => {
    const merge = await hooked([...EVENT_TYPES]);
    const claim = await world.db.attempts.claim(merge.id, 'w', STALE);
    await world.db.attempts.progress(claim?.attemptId ?? '', { stage: 'merging', bytesDone: 1, bytesTotal: 2 });
    expect((await deliveriesOf(merge.id)).map(({ type }) => type)).toEqual([
      'merge.queued',
      'merge.started',
      'merge.progress',
    ]);
  });

  it('never show their secret: not in tables, bodies or resources', async () => {
    const merge = await hooked();
    const rows = await world.db.prisma.$queryRaw<{ text: string }[]>`
      SELECT merges::text AS text FROM merges UNION ALL SELECT deliveries::text FROM deliveries
      UNION ALL SELECT outbox::text FROM outbox UNION ALL SELECT events::text FROM events`;
    expect(rows.length).toBeGreaterThan(3);
    expect(rows.filter(({ text }) => text.includes(SECRET))).toEqual([]);
    expect(JSON.stringify(toMergeResource(merge))).not.toContain(SECRET);
    const { data } = await world.db.deliveries.listByMerge(world.projectId, merge.id);
    for (const row of data) {
      expect(row).not.toHaveProperty('secret');
      expect(row).not.toHaveProperty('body');
      expect(await world.db.deliveries.find(world.projectId, row.id)).not.toHaveProperty('secret');
    }
  });

  it('need a secret key', async () => {
    const bare = await connect({ url: world.url });
    await expect(
      (async () => {
        const checkpoint = (await world.db.checkpoints.list(world.projectId)).data[0]?.id ?? '';
        const recipe = { method: 'linear', models: [{ model: checkpoint }] };
        return bare.merges.create(world.projectId, { recipe, inputs: [], webhook: { url: URL, secret: SECRET } });
      })(),
    ).rejects.toMatchObject({ code: 'internal', message: expect.stringContaining('no secret key') });
    await bare.close();
  });
});

describe('a delivery', () => {
  const tried = {
    sent: { url: URL, startedAt: new Date(), durationMs: 3, headers: { 'webhook-id': 'x' }, responseHead: '' },
  };

  async function one(): Promise<string> {
    const merge = await hooked(['merge.queued']);
    await drain();
    return (await deliveriesOf(merge.id))[0]?.id ?? '';
  }
  const shown = async (id: string) => {
    const row = await world.db.deliveries.find(world.projectId, id);
    return row === null ? null : toDeliveryResource(row);
  };

  it('is tried again through the outbox when its time has come, with the same bytes', async () => {
    const id = await one();
    const body = (await world.db.deliveries.get(id))?.body;
    const soon = new Date(Date.now() + 3_600_000);
    const busy = await world.db.deliveries.recordAttempt(id, {
      ...tried,
      status: 503,
      error: 'busy',
      nextAttemptAt: soon,
    });
    expect(busy).toEqual({ noted: true, disabled: false });
    expect(await shown(id)).toMatchObject({
      state: 'pending',
      attempts: 1,
      last_status: 503,
      last_error: 'busy',
      next_attempt_at: soon.toISOString(),
    });
    expect(await drain()).toEqual([]);
    await world.db.prisma.$executeRaw`UPDATE outbox SET available_at = now() WHERE subject_id = ${id}`;
    expect(await drain()).toEqual([id]);
    expect((await world.db.deliveries.get(id))?.body).toBe(body);
    await world.db.deliveries.recordAttempt(id, { ...tried, status: 200, state: 'succeeded' });
    expect(await shown(id)).toMatchObject({ state: 'succeeded', attempts: 2, last_status: 200, next_attempt_at: null });
    const late = await world.db.deliveries.recordAttempt(id, { ...tried, status: 200, state: 'failed' });
    expect(late.noted).toBe(false);
    expect(await shown(id)).toMatchObject({ state: 'succeeded', attempts: 2 });
  });

  it('keeps no error text that is endless or that Postgres refuses', async () => {
    const id = await one();
    await world.db.deliveries.recordAttempt(id, { error: `\0${'x'.repeat(5000)}`, state: 'failed' });
    expect((await shown(id))?.last_error).toBe(`\ufffd${'x'.repeat(999)}`);
  });

  it('is found again when the queue lost it', async () => {
    const id = await one();
    expect(await world.db.deliveries.due(60_000)).not.toContain(id);
    await world.db.prisma.$executeRaw`
      UPDATE deliveries SET next_attempt_at = now() - interval '5 minutes' WHERE id = ${id}`;
    expect(await world.db.deliveries.due(60_000)).toContain(id);
    const made = await Promise.all(range(4).map(() => world.db.deliveries.redispatch(id)));
    expect(made.filter(Boolean)).toHaveLength(1);
    expect(await world.db.deliveries.due(60_000)).not.toContain(id);
  });

  it('is sent again when its user asks, in place of the retry that waits', async () => {
    const id = await one();
    await world.db.deliveries.recordAttempt(id, { ...tried, nextAttemptAt: new Date(Date.now() + 3_600_000) });
    expect(await world.db.deliveries.redeliver(world.projectId, id)).toMatchObject({ state: 'pending', attempts: 1 });
    expect(await drain()).toEqual([id]);
    expect(await world.db.prisma.outbox.count({ where: { subjectId: id, dispatchedAt: null } })).toBe(0);
    await world.db.deliveries.recordAttempt(id, { state: 'failed', status: 410 });
    await world.db.deliveries.redeliver(world.projectId, id);
    expect(await drain()).toEqual([id]);
  });

  it('disables a merge’s own webhook when it failed for good, until one is sent again', async () => {
    const { db, projectId } = world;
    const merge = await hooked();
    const claim = await db.attempts.claim(merge.id, 'w', STALE);
    const [queued, started] = await deliveriesOf(merge.id);
    const before = await db.events.lastPosition(projectId);
    const gone = await db.deliveries.recordAttempt(queued!.id, { state: 'failed', status: 410, disable: 'gone' });
    expect(gone).toEqual({ noted: true, disabled: true });
    const read = async () => toMergeResource((await db.merges.get(projectId, merge.id))!);
    expect((await read()).webhook?.disabled).toEqual({ reason: 'gone', at: expect.any(String) });
    expect(validate(Merge, await read())).toMatchObject({ ok: true });
    expect(await db.deliveries.get(started!.id)).toMatchObject({
      state: 'failed',
      lastError: 'the endpoint is disabled',
    });
    const { events } = await db.events.listOfProject(projectId, before);
    expect(
      events.map(({ type, merge_id, endpoint_id, seq, data }) => ({ type, merge_id, endpoint_id, seq, data })),
    ).toEqual([
      {
        type: 'webhook.disabled',
        merge_id: merge.id,
        endpoint_id: null,
        seq: null,
        data: { reason: 'gone', url: URL },
      },
    ]);
    // It is no event of the merge: its numbers and its stream go on without it.
    await db.attempts.finish(claim!.attemptId, { state: 'canceled' });
    expect((await db.events.listAfter(projectId, merge.id)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(await deliveriesOf(merge.id)).toHaveLength(2);

    await db.deliveries.redeliver(projectId, started!.id);
    expect((await read()).webhook).not.toHaveProperty('disabled');
    await db.control.retry(projectId, merge.id);
    expect((await deliveriesOf(merge.id)).map(({ type }) => type)).toEqual([
      'merge.queued',
      'merge.started',
      'merge.queued',
    ]);
  });

  it('keeps a merge’s own webhook that took another one while the schedule ran', async () => {
    const { db, projectId } = world;
    const merge = await hooked();
    await db.attempts.claim(merge.id, 'w', STALE);
    const [queued, started] = await deliveriesOf(merge.id);
    await db.deliveries.recordAttempt(started!.id, { state: 'succeeded', status: 200 });
    const used = await db.deliveries.recordAttempt(queued!.id, { state: 'failed', status: 500, disable: 'exhausted' });
    expect(used).toEqual({ noted: true, disabled: false });
    expect(toMergeResource((await db.merges.get(projectId, merge.id))!).webhook).not.toHaveProperty('disabled');
  });

  it('is nothing to another project', async () => {
    const id = await one();
    expect(await world.db.deliveries.find(world.strangerId, id)).toBeNull();
    await expect(world.db.deliveries.redeliver(world.strangerId, id)).rejects.toMatchObject({ code: 'not_found' });
    expect(await drain()).toEqual([]);
  });
});
