import { describe, expect, it, vi } from 'vitest';
import { CHANNELS, connect } from '../src/index.js';
import { makeMerge, STALE, useWorld } from './fixtures.js';

const world = useWorld();

async function cutListeners(): Promise<void> {
  await world.db.prisma.$queryRaw`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'amalgam-listen' AND datname = current_database()`;
}

describe('listen', () => {
  it('hears of events, outbox rows and requests to cancel, once they are committed', async () => {
    const heard: [string, string][] = [];
    for (const channel of Object.values(CHANNELS)) {
      await world.db.listen(channel, (payload) => heard.push([channel, payload]));
    }
    const { id } = await makeMerge(world);
    await world.db.attempts.claim(id, 'w', STALE);
    await world.db.control.requestCancel(world.projectId, id);
    await vi.waitFor(() => expect(heard).toContainEqual([CHANNELS.cancel, id]));
    expect(heard).toContainEqual([CHANNELS.events, `${world.projectId} ${id}`]);
    expect(heard).toContainEqual([CHANNELS.outbox, '']);
  });

  it('comes back after its connection was cut, and says "look at everything"', async () => {
    const errors: string[] = [];
    const db = await connect({ url: world.url, onError: (error) => errors.push(error.message) });
    const heard: string[] = [];
    await db.listen(CHANNELS.events, (payload) => heard.push(payload));
    await cutListeners();
    await vi.waitFor(() => expect(heard).toContain(''), { timeout: 5000 });
    expect(errors.length).toBeGreaterThan(0);
    const { id } = await makeMerge(world);
    await vi.waitFor(() => expect(heard).toContain(`${world.projectId} ${id}`));
    await db.close();
  });

  it('is quiet after it was closed', async () => {
    const heard: string[] = [];
    const closed = await world.db.listen(CHANNELS.events, (payload) => heard.push(payload));
    let others = 0;
    await world.db.listen(CHANNELS.events, () => others++);
    await closed.close();
    await makeMerge(world);
    await vi.waitFor(() => expect(others).toBe(1));
    expect(heard).toEqual([]);
  });

  it('passes the error of a handler on, and goes on', async () => {
    const errors: string[] = [];
    const db = await connect({ url: world.url, onError: (error) => errors.push(error.message) });
    await db.listen(CHANNELS.events, () => {
      throw new Error('handler');
    });
    await makeMerge(world);
    await makeMerge(world);
    await vi.waitFor(() => expect(errors).toEqual(['handler', 'handler']));
    await db.close();
  });
});

describe('connect', () => {
  it('says that the server does not answer', async () => {
    await expect(connect({ url: 'postgresql://u:secret@127.0.0.1:1/x' })).rejects.toMatchObject({
      code: 'unavailable',
      message: 'the database does not answer',
    });
  });

  it('takes new connections when the old ones were cut', async () => {
    const db = await connect({ url: world.url, max: 3 });
    await Promise.all([db.ping(), db.ping(), db.ping()]);
    await world.db.prisma.$queryRaw`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity 
      WHERE datname = current_database() AND pid <> pg_backend_pid()`;
    await vi.waitFor(() => db.ping());
    await db.close();
    await vi.waitFor(() => world.db.ping());
  });
});
