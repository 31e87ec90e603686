import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@amalgam/client';
import type { ProjectEvent } from '@amalgam/contracts';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../src/free-port.js';
import { claim, queueMerge, succeed, useWorld } from './support/world.js';

describe('the client’s stream of a project', () => {
  const world = useWorld({ timing: { heartbeatMs: 1_000, pollMs: 30_000, bodyMs: 200 } });
  let line: Line;
  let url: string;
  beforeAll(async () => {
    url = await world.listen();
  });
  afterEach(() => line?.close());

  const clientOf = (baseUrl: string, apiKey = world.token) => createClient({ baseUrl, apiKey });
  const position = () => world.parts.database.events.lastPosition(world.projectId);

  it('tells what happens from now on, and what has happened page by page', async () => {
    await queueMerge(world);
    const before = await position();
    const end = new AbortController();
    const seen: ProjectEvent[] = [];
    const opened = new Promise<void>((resolve) => {
      const reading = async () => {
        const onConnection = () => resolve();
        for await (const event of clientOf(url).events({ signal: end.signal, onConnection })) {
          seen.push(event);
          if (event.type === 'merge.succeeded') break;
        }
      };
      void reading();
    });
    await opened;
    const { id } = await queueMerge(world);
    await succeed(world, await claim(world, id));
    await expect.poll(() => seen.map(({ type }) => type)).toEqual(['merge.queued', 'merge.started', 'merge.succeeded']);
    const past: ProjectEvent[] = [];
    for await (const event of clientOf(url).pastEvents({ after: before, merge: id })) past.push(event);
    expect(past).toEqual(seen);
    const types = ['merge.started'] as const;
    for await (const event of clientOf(url).pastEvents({ after: before, types })) {
      expect(event).toEqual(seen[1]);
    }
    end.abort();
  });

  it('sees every event once and in order over a line that is cut again and again', async () => {
    line = await makeLine(url);
    const before = await position();
    const states: string[] = [];
    const seen: ProjectEvent[] = [];
    const merges = await Promise.all(Array.from({ length: 3 }, () => queueMerge(world)));
    const count = merges.length * 3 + 30;
    const reading = (async () => {
      const stream = clientOf(line.url).events({ after: before, onConnection: (state) => states.push(state) });
      for await (const event of stream) {
        seen.push(event);
        if (seen.length === count) return;
      }
    })();
    const cutting = setInterval(() => line.cut(), 150);
    for (const { id } of merges) {
      const claimed = await claim(world, id);
      for (let i = 0; i < 10; i++) {
        const stage = i % 2 === 0 ? 'merging' : 'publishing';
        await world.parts.database.attempts.progress(claimed.attemptId, { stage, bytesDone: i, bytesTotal: 10 });
        await sleep(20);
      }
      await succeed(world, claimed);
    }
    clearInterval(cutting);
    await reading;
    expect(seen.map((event) => event.position)).toEqual(Array.from({ length: count }, (_, i) => before + 1 + i));
    expect(states.filter((state) => state === 'lost').length).toBeGreaterThan(1);
    expect(states).toEqual(states.map((_, i) => (i % 2 === 0 ? 'open' : 'lost')));
    expect(states.at(-1)).toBe('open');
  });

  it('tells of changed deliveries those who ask', async () => {
    const end = new AbortController();
    const told: string[] = [];
    const { id } = await world.parts.database.webhookEndpoints.create(world.projectId, {
      ...{ url: 'https://93.184.216.34/', events: ['merge.queued'], secret: 'whsec_x' },
    });
    const stream = clientOf(url).events({ signal: end.signal, onDeliveries: (endpoint) => told.push(endpoint) });
    const first = stream.next();
    await expect
      .poll(async () => {
        if (told.length === 0) await world.parts.database.webhookEndpoints.test(world.projectId, id);
        return told[0];
      })
      .toBe(id);
    end.abort();
    await expect(first).rejects.toThrow();
  });

  it('ends with what the service refuses, and with the caller’s signal', async () => {
    const wrong = clientOf(url, 'amk_wrong').events();
    await expect(wrong.next()).rejects.toMatchObject({ code: 'unauthorized' });
    const { key, token } = await world.parts.database.apiKeys.createKey(world.projectId, {
      ...{ name: 'short', scopes: ['read'] },
    });
    const revoked = clientOf(url, token).events();
    const next = revoked.next();
    next.catch(() => {});
    await sleep(100);
    await world.parts.database.apiKeys.revoke(world.projectId, key.id);
    await queueMerge(world);
    // One that was written before the service looked at the key again may still come.
    await expect(next.then(() => revoked.next())).rejects.toMatchObject({ code: 'key_revoked' });
    const end = new AbortController();
    const waiting = clientOf(url).events({ signal: end.signal }).next();
    setTimeout(() => end.abort(new Error('enough')), 100);
    await expect(waiting).rejects.toThrow('enough');
  });
});

/** A line to the service that can be cut. */
interface Line {
  url: string;
  cut(): void;
  close(): Promise<void>;
}

async function makeLine(to: string): Promise<Line> {
  const { hostname, port } = new URL(to);
  const ends = new Set<Socket>();
  const server: Server = createServer((near) => {
    const far = connect(Number(port), hostname);
    for (const end of [near, far]) {
      ends.add(end);
      end.on('error', () => {});
      end.on('close', () => {
        ends.delete(end);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  const here = await freePort();
  await new Promise<void>((resolve) => server.listen(here, '127.0.0.1', resolve));
  const cut = () => {
    for (const end of ends) end.destroy();
  };
  return {
    url: `http://127.0.0.1:${here}`,
    cut,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      cut();
      await closed;
    },
  };
}
