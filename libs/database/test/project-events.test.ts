import { setTimeout as sleep } from 'node:timers/promises';
import type { ProjectEvent } from '@amalgam/contracts';
import { describe, expect, it, vi } from 'vitest';
import type { Tx } from '../src/context.js';
import { CHANNELS, connect, type ProjectEventFilter } from '../src/index.js';
import { recordEvent } from '../src/record-event.js';
import { makeMerge, STALE, useWorld } from './fixtures.js';

const world = useWorld();

/** Everything from a position on, in pages. */
async function readAll(after: number, limit = 1000): Promise<ProjectEvent[]> {
  const seen: ProjectEvent[] = [];
  for (;;) {
    const page = await world.db.events.listOfProject(world.projectId, after, limit);
    seen.push(...page.events);
    after = page.position;
    if (!page.more) return seen;
  }
}

const last = () => world.db.events.lastPosition(world.projectId);

/** A transaction that has written an event of a new merge, and commits when it is told to. */
async function openWriter(): Promise<{ mergeId: string; commit(): Promise<void> }> {
  const { id } = await makeMerge(world);
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  let done: Promise<void> | undefined;
  await new Promise<void>((written, failed) => {
    done = world.db.prisma.$transaction(async (tx: Tx) => {
      await recordEvent(tx, id, 'merge.progress', {});
      written();
      await gate;
    });
    done.catch(failed);
  });
  return {
    mergeId: id,
    commit: async () => {
      release();
      await done;
    },
  };
}

describe('events of a project', () => {
  it('are those of all its merges in the order of their positions, and no other project’s', async () => {
    const before = await last();
    const one = await makeMerge(world);
    const two = await makeMerge(world);
    await world.db.attempts.claim(one.id, 'w', STALE);
    const events = await readAll(before);
    expect(events.map(({ merge_id, seq, type }) => [merge_id, seq, type])).toEqual([
      [one.id, 1, 'merge.queued'],
      [two.id, 1, 'merge.queued'],
      [one.id, 2, 'merge.started'],
    ]);
    expect(events.map(({ position }) => position)).toEqual([before + 1, before + 2, before + 3]);
    expect(await world.db.events.listOfProject(world.strangerId)).toEqual({ events: [], position: 0, more: false });
  });

  it('can be narrowed by type, merge and time, and the position says how far that went', async () => {
    const before = await last();
    const { id } = await makeMerge(world);
    await world.db.attempts.claim(id, 'w', STALE);
    const other = await makeMerge(world);
    const narrowed = async (filter: object, limit = 10) => {
      const { events, ...rest } = await world.db.events.listOfProject(world.projectId, before, limit, filter);
      return { ...rest, types: events.map(({ type }) => type) };
    };
    const end = before + 3;
    expect(await narrowed({ types: ['merge.started'] })).toEqual({
      types: ['merge.started'],
      position: end,
      more: false,
    });
    expect(await narrowed({ mergeId: other.id })).toEqual({ types: ['merge.queued'], position: end, more: false });
    expect(await narrowed({ types: ['merge.queued'] }, 1)).toEqual({
      types: ['merge.queued'],
      position: before + 1,
      more: true,
    });
    const [, started] = await readAll(before);
    const since = new Date(started!.created_at);
    expect((await narrowed({ since })).types).toEqual(['merge.started', 'merge.queued']);
    expect(await narrowed({ types: ['merge.failed'] })).toEqual({ types: [], position: end, more: false });
  });

  it('keep a merge’s order when the clock was set back between them', async () => {
    const before = await last();
    const { id } = await makeMerge(world);
    await world.db.attempts.claim(id, 'w', STALE);
    await world.db.prisma
      .$executeRaw`UPDATE events SET created_at = created_at - interval '1 hour' WHERE merge_id = ${id} AND seq = 2`;
    expect((await readAll(before)).map(({ seq }) => seq)).toEqual([1, 2]);
  });

  it('tell of endpoints that were disabled', async () => {
    const { projectId, db } = world;
    const before = await last();
    const url = 'https://93.184.216.34/';
    const hook = await db.webhookEndpoints.create(projectId, { url, events: ['merge.queued'], secret: 'whsec_x' });
    const { id } = await makeMerge(world);
    const deliveries = await db.deliveries.listByMerge(projectId, id);
    await db.deliveries.recordAttempt(deliveries.data[0]!.id, { state: 'failed', status: 410, disable: 'gone' });
    const [event] = (await db.events.listOfProject(projectId, before, 10, { types: ['webhook.disabled'] })).events;
    expect(event).toMatchObject({
      type: 'webhook.disabled',
      endpoint_id: hook.id,
      merge_id: null,
      seq: null,
      data: { reason: 'gone', url },
    });
    await db.webhookEndpoints.delete(projectId, hook.id);
  });
});

describe('positions', () => {
  it('are given in the order of commits: what was written first and committed last comes last', async () => {
    const slow = await openWriter();
    const before = await last();
    const fast = await makeMerge(world);
    const first = await world.db.events.listOfProject(world.projectId, before);
    expect(first.events.map(({ merge_id }) => merge_id)).toEqual([fast.id]);
    await slow.commit();
    const second = await world.db.events.listOfProject(world.projectId, first.position);
    expect(second.events.map(({ merge_id, type }) => [merge_id, type])).toEqual([[slow.mergeId, 'merge.progress']]);
    expect(Date.parse(second.events[0]!.created_at)).toBeLessThanOrEqual(Date.parse(first.events[0]!.created_at));
  });

  it('keep no writer waiting while another one’s transaction is open', async () => {
    const slow = await openWriter();
    const began = performance.now();
    await readAll(await last());
    await makeMerge(world);
    expect(performance.now() - began).toBeLessThan(2_000);
    await slow.commit();
  });

  it('make every reader see every event once, in one order, while many write and commit as it comes', async () => {
    const before = await last();
    const merges = await Promise.all(Array.from({ length: 5 }, () => makeMerge(world)));
    const another = await connect({ url: world.url });
    let writing = true;
    const write = async (mergeId: string) => {
      for (let i = 0; i < 20; i++) {
        await world.db.prisma.$transaction(async (tx: Tx) => {
          await recordEvent(tx, mergeId, 'merge.progress', {});
          // The number within the merge is taken, and the transaction takes its time.
          await sleep(Math.random() * 15);
        });
      }
    };
    const read = async (db: typeof another) => {
      const seen: ProjectEvent[] = [];
      for (let after = before, ending = false; ; ) {
        const page = await db.events.listOfProject(world.projectId, after, 7);
        seen.push(...page.events);
        after = page.position;
        if (ending && !page.more) return seen;
        // One look more after the last commit.
        ending = !writing && !page.more;
        await sleep(Math.random() * 5);
      }
    };
    const readers = [read(world.db), read(another), read(another), read(world.db)];
    await Promise.all(merges.map(({ id }) => write(id)));
    writing = false;
    const all = await Promise.all(readers);
    const [first] = all;
    expect(first).toHaveLength(5 * 21);
    expect(new Set(first!.map(({ id }) => id)).size).toBe(5 * 21);
    for (const seen of all) expect(seen.map(({ id }) => id)).toEqual(first!.map(({ id }) => id));
    for (const { id } of merges) {
      const seqs = first!.filter(({ merge_id }) => merge_id === id).map(({ seq }) => seq);
      expect(seqs).toEqual(Array.from({ length: 21 }, (_, i) => i + 1));
    }
    await another.close();
  });

  it('are given without readers, too', async () => {
    const { id } = await makeMerge(world);
    await world.db.events.placeAll();
    expect(await world.db.prisma.event.count({ where: { mergeId: id, position: null } })).toBe(0);
  });

  it('are as many as there are events when several readers come at once', async () => {
    const before = await last();
    for (let i = 0; i < 5; i++) await makeMerge(world);
    const ends = await Promise.all(Array.from({ length: 8 }, last));
    expect(new Set(ends)).toEqual(new Set([before + 5]));
  });
});

describe('the search for few among many events', () => {
  it('reads those of one merge or of rare types alone, also with a plan that was made before the values were known', async () => {
    const { id } = await makeMerge(world);
    await world.db.prisma.$executeRaw`
      INSERT INTO events (id, project_id, merge_id, seq, type, data)
      SELECT ${id} || n, ${world.projectId}, ${id}, 1 + n, 'merge.progress', '{}' FROM generate_series(1, 5000) n`;
    const end = await last();
    await world.db.prisma.$executeRaw`ANALYZE events`;
    const one = await connect({ url: world.url, max: 1 });
    /** The plan of the statement that this search has prepared. */
    const planOf = async (filter: ProjectEventFilter, value: string) => {
      await one.events.listOfProject(world.projectId, 0, 100, filter);
      const [statement] = await one.prisma.$queryRaw<{ name: string }[]>`
        SELECT name FROM pg_prepared_statements
        WHERE statement LIKE '%FROM events WHERE%' AND statement NOT LIKE '%pg_prepared%' ORDER BY prepare_time DESC LIMIT 1`;
      await one.prisma.$executeRaw`SET plan_cache_mode = force_generic_plan`;
      const values = `'${world.projectId}', 0, ${end}, '${value}', 101`;
      const lines = await one.prisma.$queryRawUnsafe<object[]>(`EXPLAIN EXECUTE ${statement?.name}(${values})`);
      return JSON.stringify(lines);
    };
    const rare = await planOf({ types: ['merge.failed', 'webhook.disabled'] }, '{merge.failed,webhook.disabled}');
    expect(rare).toContain('events_but_progress');
    const ofMerge = await planOf({ mergeId: id }, id);
    expect(ofMerge).toContain('events_merge_id_seq_key');
    expect(ofMerge).not.toContain('events_project_id_position_key');
    await one.close();
  });
});

describe('changes of deliveries', () => {
  it('are announced with the project and the endpoint', async () => {
    const { projectId, db } = world;
    const hook = await db.webhookEndpoints.create(projectId, {
      url: 'https://93.184.216.34/',
      events: ['merge.queued'],
      secret: 'whsec_x',
    });
    const heard: string[] = [];
    const listening = await db.listen(CHANNELS.deliveries, (payload) => heard.push(payload));
    const news = async (change: () => Promise<unknown>) => {
      heard.length = 0;
      await change();
      await vi.waitFor(() => expect(heard).toEqual([`${projectId} ${hook.id}`]));
    };
    let mergeId = '';
    await news(async () => {
      mergeId = (await makeMerge(world)).id;
    });
    const [{ id = '' } = {}] = (await db.deliveries.listByMerge(projectId, mergeId)).data;
    await news(() => db.deliveries.postpone(id, new Date(Date.now() + 60_000)));
    await news(() => db.deliveries.recordAttempt(id, { state: 'failed', status: 500 }));
    await news(() => db.deliveries.redeliver(projectId, id));
    await news(() => db.webhookEndpoints.test(projectId, hook.id));
    await news(() => db.webhookEndpoints.update(projectId, hook.id, { enabled: false }));
    await listening.close();
  });
});
