import { once } from 'node:events';
import { IncomingMessage, request } from 'node:http';
import { Socket } from 'node:net';
import { type Frame, readFrames } from '@amalgam/client';
import type { List, Problem, ProjectEvent } from '@amalgam/contracts';
import type { Claim } from '@amalgam/database';
import { beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../src/free-port.js';
import { type Api, buildApp } from '../../src/index.js';
import { claim, queueMerge, succeed, useWorld, type World } from '../support/world.js';

const position = async (world: World) => world.parts.database.events.lastPosition(world.projectId);

/** Changes of stage are always events. */
async function progress(world: World, { attemptId }: Claim, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const stage = i % 2 === 0 ? 'merging' : 'publishing';
    await world.parts.database.attempts.progress(attemptId, { stage, bytesDone: i, bytesTotal: times });
  }
}

interface OpenStream {
  status: number;
  headers: Headers;
  /** What came, with the ids of frames that have nothing but one. */
  frames: Frame[];
  ids: number[];
  events(): ProjectEvent[];
  /** Resolves when the service ended it. */
  ended: Promise<void>;
  close(): Promise<void>;
}

/** Opens a stream and reads it until it ends or is closed. */
async function open(
  base: string,
  token: string | null,
  query = '',
  headers: Record<string, string> = {},
): Promise<OpenStream> {
  const end = new AbortController();
  const response = await fetch(`${base}/v1/events${query}`, {
    headers: {
      accept: 'text/event-stream',
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    signal: end.signal,
  });
  const frames: Frame[] = [];
  const ids: number[] = [];
  const read = async () => {
    if (response.status !== 200 || response.body === null) return;
    for await (const frame of readFrames(response.body, (id) => ids.push(Number(id)))) frames.push(frame);
  };
  const ended = read().catch((error: unknown) => {
    if (!end.signal.aborted) throw error;
  });
  return {
    status: response.status,
    headers: response.headers,
    frames,
    ids,
    events: () => frames.filter(({ id }) => id !== undefined).map(({ data }) => JSON.parse(data) as ProjectEvent),
    ended,
    close: async () => {
      end.abort();
      await ended;
    },
  };
}

describe('GET /v1/events as a list', () => {
  const world = useWorld();

  it('has all merges’ events in one order, page by page, and nothing of another project', async () => {
    const before = await position(world);
    const { id } = await queueMerge(world);
    const other = await queueMerge(world);
    await succeed(world, await claim(world, id));
    const list = (query: string, token?: string) =>
      world.call<List<ProjectEvent>>('GET', `/v1/events?after=${before}${query}`, token === undefined ? {} : { token });
    const all = await list('');
    expect(all.body.data.map((event) => [event.merge_id, event.type])).toEqual([
      [id, 'merge.queued'],
      [other.id, 'merge.queued'],
      [id, 'merge.started'],
      [id, 'merge.succeeded'],
    ]);
    expect(all.body).toMatchObject({ has_more: false, next_cursor: null });
    const page = await list('&limit=2');
    expect(page.body).toMatchObject({ has_more: true, next_cursor: String(page.body.data[1]?.position) });
    const next = await world.call<List<ProjectEvent>>('GET', `/v1/events?limit=2&after=${page.body.next_cursor}`);
    expect([...page.body.data, ...next.body.data]).toEqual(all.body.data);
    expect(next.body).toMatchObject({ has_more: false, next_cursor: null });

    expect((await list(`&merge=${other.id}`)).body.data.map(({ type }) => type)).toEqual(['merge.queued']);
    expect((await list('&type=merge.started&type=merge.succeeded')).body.data).toHaveLength(2);
    const since = all.body.data[2]?.created_at;
    expect((await list(`&since=${since}`)).body.data.map(({ type }) => type)).toEqual([
      'merge.started',
      'merge.succeeded',
    ]);
    expect((await list('', world.strangerToken)).body.data).toEqual([]);
  });

  it('says what it does not understand', async () => {
    for (const query of [
      'after=-1',
      'after=x',
      'limit=0',
      'limit=1001',
      'type=merge.exploded',
      'merge=mrg_1',
      'since=yesterday',
      'since=0001-01-01T00:00:00Z',
      'other=1',
    ]) {
      const { status, body } = await world.call<Problem>('GET', `/v1/events?${query}`);
      expect([query, status, body.code]).toEqual([query, 400, 'invalid_request']);
    }
  });

  it('is for keys that may read everything, not for those of webhooks alone', async () => {
    const { token } = await world.parts.database.apiKeys.createKey(world.projectId, {
      name: 'hooks',
      scopes: ['webhooks:read'],
    });
    expect((await world.call('GET', '/v1/events', { token })).status).toBe(403);
  });
});

describe('GET /v1/events as a stream', () => {
  const world = useWorld({ timing: { heartbeatMs: 100, pollMs: 30_000, bodyMs: 200 } });
  let url: string;
  beforeAll(async () => {
    url = await world.listen();
  });

  it('begins with where it is, and tells what happens long before the poll', async () => {
    await queueMerge(world);
    const before = await position(world);
    const stream = await open(url, world.token);
    expect(stream.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(stream.headers.get('x-accel-buffering')).toBe('no');
    expect(stream.headers.get('cache-control')).toContain('no-cache');
    await expect.poll(() => stream.ids).toEqual([before]);
    const { id } = await queueMerge(world);
    await succeed(world, await claim(world, id));
    await expect.poll(() => stream.events().length, { timeout: 5_000 }).toBe(3);
    expect(stream.frames.map(({ event }) => event)).toEqual(['merge.queued', 'merge.started', 'merge.succeeded']);
    expect(stream.ids).toEqual([before, before + 1, before + 2, before + 3]);
    const listed = await world.call<List<ProjectEvent>>('GET', `/v1/events?after=${before}`);
    expect(stream.events()).toEqual(listed.body.data);
    await stream.close();
  });

  it('goes on after Last-Event-ID, `after`, or a time, and keeps to the filters', async () => {
    const before = await position(world);
    const { id } = await queueMerge(world);
    await queueMerge(world);
    await succeed(world, await claim(world, id));
    const types = async (query: string, headers: Record<string, string>, count: number) => {
      const stream = await open(url, world.token, query, headers);
      await expect.poll(() => stream.frames.length).toBe(count);
      await stream.close();
      return stream.frames.map(({ event }) => event);
    };
    const after = { 'last-event-id': String(before + 2) };
    expect(await types('', after, 2)).toEqual(['merge.started', 'merge.succeeded']);
    // A client that comes back knows better than the address it first asked.
    expect(await types(`?after=${before}`, after, 2)).toEqual(['merge.started', 'merge.succeeded']);
    expect(await types(`?after=${before}&merge=${id}&type=merge.queued`, {}, 1)).toEqual(['merge.queued']);
    const events = await world.call<List<ProjectEvent>>('GET', `/v1/events?after=${before}`);
    const since = events.body.data[2]?.created_at;
    expect(await types(`?since=${since}&type=merge.succeeded`, {}, 1)).toEqual(['merge.succeeded']);
  });

  it('tells now and then how far it is where filters leave events out, so that they are not looked through again', async () => {
    const before = await position(world);
    const stream = await open(url, world.token, '?type=merge.failed');
    await expect.poll(() => stream.ids).toEqual([before]);
    const { id } = await queueMerge(world);
    await new Promise((resolve) => setTimeout(resolve, 150)); // longer than from one sign of life to the next
    await progress(world, await claim(world, id), 2);
    await expect.poll(() => stream.ids.length).toBeGreaterThan(1);
    expect(stream.ids.at(-1)).toBeGreaterThan(before);
    expect(stream.ids.at(-1)).toBeLessThanOrEqual(await position(world));
    expect(stream.frames).toEqual([]);
    await stream.close();
  });

  it('tells at once of a thousand events that filters leave out', async () => {
    const { id } = await queueMerge(world);
    const before = await position(world);
    await world.parts.database.prisma.$executeRaw`
      INSERT INTO events (id, project_id, merge_id, seq, type, data)
      SELECT ${id} || n, ${world.projectId}, ${id}, 1 + n, 'merge.progress', '{}' FROM generate_series(1, 1000) n`;
    const stream = await open(url, world.token, `?type=merge.failed&after=${before}`);
    await expect.poll(() => stream.ids).toEqual([before, before + 1000]);
    await stream.close();
  });

  it('takes a position that was never given for the last one', async () => {
    const before = await position(world);
    const stream = await open(url, world.token, '', { 'last-event-id': '999999999' });
    await expect.poll(() => stream.ids).toEqual([before]);
    await queueMerge(world);
    await expect.poll(() => stream.frames.length).toBe(1);
    await stream.close();
  });

  it('sends signs of life, and refuses a Last-Event-ID that is none', async () => {
    const sent = request(`${url}/v1/events`, {
      headers: { authorization: `Bearer ${world.token}`, accept: 'text/event-stream' },
      agent: false,
    }).end();
    const [response] = await once(sent, 'response');
    let text = '';
    response.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    await expect.poll(() => text).toMatch(/^retry: \d+\n\nid: \d+\n\n(: heartbeat\n\n)+$/);
    sent.destroy();
    expect((await open(url, world.token, '', { 'last-event-id': 'x' })).status).toBe(400);
  });

  it('tells of changed deliveries those who asked, without an id', async () => {
    const stream = await open(url, world.token, '?deliveries=true');
    const without = await open(url, world.token);
    const { id } = await world.parts.database.webhookEndpoints.create(world.projectId, {
      url: 'https://93.184.216.34/',
      events: ['merge.queued'],
      secret: 'whsec_x',
    });
    await queueMerge(world);
    await expect.poll(() => stream.frames.length).toBe(2);
    expect(stream.frames.find(({ event }) => event === 'deliveries.changed')).toEqual({
      id: undefined,
      event: 'deliveries.changed',
      data: JSON.stringify({ object: 'deliveries_changed', endpoint_id: id }),
    });
    await expect.poll(() => without.frames.length).toBe(1);
    await Promise.all([stream.close(), without.close()]);
    await world.parts.database.webhookEndpoints.delete(world.projectId, id);
  });

  it('loses nothing and repeats nothing for clients that keep breaking off, while many write at once', async () => {
    const before = await position(world);
    const merges = await Promise.all(Array.from({ length: 4 }, () => queueMerge(world)));
    const count = merges.length * 23;
    const readers = Array.from({ length: 4 }, () => readBreaking(url, world.token, before, count));
    await Promise.all(
      merges.map(async ({ id }) => {
        const claimed = await claim(world, id);
        await progress(world, claimed, 20);
        await succeed(world, claimed);
      }),
    );
    const [first, ...others] = await Promise.all(readers);
    expect(first?.map((event) => event.position)).toEqual(Array.from({ length: count }, (_, i) => before + 1 + i));
    for (const seen of others) expect(seen).toEqual(first);
    for (const { id } of merges) {
      const seqs = first?.filter(({ merge_id }) => merge_id === id).map(({ seq }) => seq);
      expect(seqs).toEqual(Array.from({ length: 23 }, (_, i) => i + 1));
    }
  });

  it('keeps no more in memory for a client that does not read than for others, and loses nothing for it', async () => {
    const sent = request(`${url}/v1/events`, {
      headers: { authorization: `Bearer ${world.token}`, accept: 'text/event-stream' },
      agent: false,
    }).end();
    let response = new IncomingMessage(new Socket());
    const sockets = await connectionsOf(world.app, async () => {
      [response] = (await once(sent, 'response')) as [IncomingMessage];
      response.pause();
    });
    const events = 60;
    const bytes = await fill(world, events);
    await expect.poll(() => waiting(sockets)).toBeGreaterThan(0);
    // Of some 20 MB no more than one event waits in this process.
    expect(waiting(sockets)).toBeLessThan(2 * bytes);
    let text = '';
    response.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    response.resume();
    await expect.poll(() => text.split('event: merge.progress').length - 1, { timeout: 20_000 }).toBe(events);
    sent.destroy();
  });

  it('lets a key have so many streams and no more, until one is closed', async () => {
    const { token } = await world.parts.database.apiKeys.createKey(world.projectId, { name: 'many', scopes: ['read'] });
    const streams = await Promise.all(Array.from({ length: 32 }, () => open(url, token)));
    expect(streams.map(({ status }) => status)).toEqual(Array.from({ length: 32 }, () => 200));
    expect((await open(url, token)).status).toBe(429);
    const other = await open(url, world.token);
    expect(other.status).toBe(200);
    await streams[0]?.close();
    await expect
      .poll(async () => {
        const again = await open(url, token);
        await again.close();
        return again.status;
      })
      .toBe(200);
    await Promise.all([...streams, other].map((stream) => stream.close()));
  });

  it('gives the place of a client back that left before the answer began', async () => {
    const { token } = await world.parts.database.apiKeys.createKey(world.projectId, {
      name: 'hasty',
      scopes: ['read'],
    });
    await world.parts.database.prisma.$transaction(async (tx) => {
      // Whoever asks for the last position waits for this.
      await tx.$queryRaw`SELECT 1 FROM projects WHERE id = ${world.projectId} FOR UPDATE`;
      await tx.$executeRaw`UPDATE events SET position = NULL WHERE position = (SELECT max(position) FROM events)`;
      const sockets = await connectionsOf(world.app, async () => {
        const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' };
        const sent = Array.from({ length: 32 }, () => request(`${url}/v1/events`, { headers, agent: false }).end());
        for (const one of sent) one.on('error', () => {});
        await expect.poll(async () => (await open(url, token)).status).toBe(429);
        for (const one of sent) one.destroy();
      });
      await expect.poll(() => [...sockets].filter(({ destroyed }) => destroyed).length).toBe(32);
    });
    await expect
      .poll(async () => {
        const stream = await open(url, token);
        await stream.close();
        return stream.status;
      })
      .toBe(200);
  });

  it('listens over one connection, however many streams there are', async () => {
    const streams = await Promise.all(Array.from({ length: 5 }, () => open(url, world.token)));
    const [row] = await world.parts.database.prisma.$queryRaw<{ count: bigint }[]>`
      SELECT count(*) FROM pg_stat_activity WHERE application_name = 'amalgam-listen' AND datname = current_database()`;
    expect(row?.count).toBe(1n);
    await Promise.all(streams.map((stream) => stream.close()));
  });

  it('ends when the service stops, and goes on at the next one where it was', async () => {
    const config = { ...world.config, port: await freePort() };
    const start = async (): Promise<Api> => {
      const app = await buildApp({ config, parts: world.parts, log: world.log });
      await app.listen({ host: config.host, port: config.port });
      return app;
    };
    const base = `http://${config.host}:${config.port}`;
    const first = await start();
    const stream = await open(base, world.token);
    await expect.poll(() => stream.ids.length).toBe(1);
    const began = Date.now();
    const closing = first.close();
    await stream.ended;
    expect(Date.now() - began).toBeLessThan(2_000);
    const { id } = await queueMerge(world);
    await closing;
    const second = await start();
    const again = await open(base, world.token, '', { 'last-event-id': String(stream.ids.at(-1)) });
    await expect.poll(() => again.events().map(({ merge_id }) => merge_id)).toEqual([id]);
    await again.close();
    await second.close();
  });

  it('ends also when a client does not read', async () => {
    const config = { ...world.config, port: await freePort() };
    const app = await buildApp({ config, parts: world.parts, log: world.log });
    await app.listen({ host: config.host, port: config.port });
    const sent = request(`http://${config.host}:${config.port}/v1/events`, {
      headers: { authorization: `Bearer ${world.token}`, accept: 'text/event-stream' },
      agent: false,
    }).end();
    const sockets = await connectionsOf(app, async () => {
      const [response] = await once(sent, 'response');
      response.pause();
    });
    sent.on('error', () => {});
    await fill(world, 60);
    await expect.poll(() => waiting(sockets)).toBeGreaterThan(0);
    const began = Date.now();
    await app.close();
    expect(Date.now() - began).toBeLessThan(5_000);
    sent.destroy();
  });
});

describe('a stream whose reader may no longer read', () => {
  const world = useWorld({ timing: { heartbeatMs: 1_000, pollMs: 100, bodyMs: 200 } });
  let url: string;
  beforeAll(async () => {
    url = await world.listen();
  });

  it('ends when the key is revoked', async () => {
    const { key, token } = await world.parts.database.apiKeys.createKey(world.projectId, {
      name: 'short',
      scopes: ['read'],
    });
    const stream = await open(url, token);
    const { id } = await queueMerge(world);
    const ofMerge = await fetch(`${url}/v1/merges/${id}/events`, {
      headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
    });
    await expect.poll(() => stream.frames.length).toBe(1);
    await world.parts.database.apiKeys.revoke(world.projectId, key.id);
    await stream.ended;
    expect(await ofMerge.text()).toContain('merge.queued');
    await queueMerge(world);
    expect(stream.frames).toHaveLength(1);
    expect((await open(url, token)).status).toBe(401);
  });

  it('ends with the session, which ends with its key', async () => {
    const { token } = await world.parts.database.apiKeys.createKey(world.projectId, {
      ...{ name: 'short', scopes: ['read'] },
      expiresAt: new Date(Date.now() + 1_500),
    });
    const signIn = await world.call('POST', '/v1/session', { body: { key: token }, token: null });
    const cookie = String(signIn.headers['set-cookie']).split(';', 1)[0] ?? '';
    const stream = await open(url, null, '', { cookie });
    expect(stream.status).toBe(200);
    await stream.ended;
    expect((await open(url, null, '', { cookie })).status).toBe(401);
  });
});

/** The service's ends of the connections that are made meanwhile. */
async function connectionsOf({ server }: Api, make: () => Promise<void>): Promise<Set<Socket>> {
  const sockets = new Set<Socket>();
  const note = (socket: Socket) => sockets.add(socket);
  server.on('connection', note);
  await make();
  server.off('connection', note);
  return sockets;
}

/** Bytes that wait in this process for their clients. */
function waiting(sockets: Set<Socket>): number {
  return Math.max(...[...sockets].map(({ writableLength }) => writableLength));
}

/** Writes events that are far larger than most; returns about how many bytes each has. */
async function fill(world: World, count: number): Promise<number> {
  const { id } = await queueMerge(world);
  const { attemptId } = await claim(world, id);
  const losses = Array.from({ length: 20_000 }, (_, i) => i + 0.123456789);
  for (let i = 0; i < count; i++) {
    await world.parts.database.attempts.progress(attemptId, {
      ...{ stage: i % 2 === 0 ? 'merging' : 'publishing', bytesDone: i, bytesTotal: count },
      tuning: { step: i, steps: count, loss: 1, losses },
    });
  }
  return JSON.stringify(losses).length;
}

/** Reads until it has as many events, breaking the connection off after every few of them. */
async function readBreaking(base: string, token: string, after: number, count: number): Promise<ProjectEvent[]> {
  const seen: ProjectEvent[] = [];
  while (seen.length < count) {
    const end = new AbortController();
    const response = await fetch(`${base}/v1/events?after=${after}`, {
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'text/event-stream',
        ...(seen.length === 0 ? {} : { 'last-event-id': String(seen.at(-1)?.position) }),
      },
      signal: end.signal,
    });
    if (response.body === null) throw new Error('no body');
    const least = 1 + Math.floor(Math.random() * 6);
    let got = 0;
    for await (const { data } of readFrames(response.body)) {
      seen.push(JSON.parse(data) as ProjectEvent);
      if (++got >= least || seen.length === count) break;
    }
    end.abort();
  }
  return seen;
}
