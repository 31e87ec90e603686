import { once } from 'node:events';
import { request } from 'node:http';
import { createClient } from '@amalgam/client';
import type { List, Merge, MergeEvent, Problem } from '@amalgam/contracts';
import { beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../src/free-port.js';
import { buildApp } from '../../src/index.js';
import { claim, queueMerge, succeed, useWorld } from '../support/world.js';

describe('events', () => {
  const world = useWorld({ timing: { heartbeatMs: 100, pollMs: 30_000, bodyMs: 200 } });
  let url: string;
  beforeAll(async () => {
    url = await world.listen();
  });

  const stream = (id: string, headers: Record<string, string> = {}, query = '') =>
    fetch(`${url}/v1/merges/${id}/events${query}`, {
      headers: { authorization: `Bearer ${world.token}`, accept: 'text/event-stream', ...headers },
    });
  const frames = (text: string) =>
    text
      .split('\n\n')
      .filter((frame) => frame.startsWith('id:'))
      .map(
        (frame) => Object.fromEntries(frame.split('\n').map((line) => line.split(/: (.*)/s))) as Record<string, string>,
      );
  const progress = (attemptId: string, bytesDone: number, stage: 'merging' | 'publishing' = 'merging') =>
    world.parts.database.attempts.progress(attemptId, { stage, bytesDone, bytesTotal: 100 });

  it('lists them, after a number, page by page', async () => {
    const { id } = await queueMerge(world);
    await succeed(world, await claim(world, id));
    const all = await world.call<List<MergeEvent>>('GET', `/v1/merges/${id}/events`);
    expect(all.body.data.map(({ seq, type }) => [seq, type])).toEqual([
      [1, 'merge.queued'],
      [2, 'merge.started'],
      [3, 'merge.succeeded'],
    ]);
    expect(all.body).toMatchObject({ has_more: false, next_cursor: null });
    const page = await world.call<List<MergeEvent>>('GET', `/v1/merges/${id}/events?limit=1&after=1`);
    expect(page.body).toMatchObject({ data: [{ seq: 2 }], has_more: true, next_cursor: '2' });
    for (const query of ['after=-1', 'after=x', 'limit=0', 'limit=1001']) {
      expect((await world.call('GET', `/v1/merges/${id}/events?${query}`)).status).toBe(400);
    }
  });

  it('replays an ended merge and closes; with everything seen it says 204', async () => {
    const { id } = await queueMerge(world);
    await succeed(world, await claim(world, id));
    const response = await stream(id);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(response.headers.get('x-accel-buffering')).toBe('no');
    expect(response.headers.get('cache-control')).toContain('no-cache');
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    const text = await response.text();
    const seen = frames(text);
    expect(seen.map((frame) => [frame['id'], frame['event']])).toEqual([
      ['1', 'merge.queued'],
      ['2', 'merge.started'],
      ['3', 'merge.succeeded'],
    ]);
    const listed = await world.call<List<MergeEvent>>('GET', `/v1/merges/${id}/events`);
    expect(seen.map((frame) => JSON.parse(frame['data']!))).toEqual(listed.body.data);

    expect(frames(await (await stream(id, { 'last-event-id': '2' })).text()).map((frame) => frame['id'])).toEqual([
      '3',
    ]);
    expect(frames(await (await stream(id, {}, '?after=1')).text()).map((frame) => frame['id'])).toEqual(['2', '3']);
    expect((await stream(id, { 'last-event-id': '3' })).status).toBe(204);
  });

  it('streams what happens while it happens, long before the poll', async () => {
    const { id } = await queueMerge(world);
    const started = Date.now();
    const whole = stream(id).then((response) => response.text());
    await new Promise((resolve) => setTimeout(resolve, 350));
    const claimed = await claim(world, id);
    await progress(claimed.attemptId, 10);
    await progress(claimed.attemptId, 100, 'publishing');
    await succeed(world, claimed);
    const text = await whole;
    expect(frames(text).map((frame) => frame['event'])).toEqual([
      'merge.queued',
      'merge.started',
      'merge.progress',
      'merge.progress',
      'merge.succeeded',
    ]);
    expect(text).toContain(': heartbeat');
    expect(Date.now() - started).toBeLessThan(20_000);
  });

  it('ends also for those who ask for what comes after a number that is never reached', async () => {
    const { id } = await queueMerge(world);
    const response = await stream(id, {}, '?after=999');
    await succeed(world, await claim(world, id));
    expect(frames(await response.text())).toEqual([]);
  });

  it('goes on past the end of an attempt that was retried', async () => {
    const { id } = await queueMerge(world);
    const first = await claim(world, id);
    await world.parts.database.attempts.finish(first.attemptId, {
      state: 'failed',
      error: { code: 'internal', detail: 'x' },
    });
    await world.call('POST', `/v1/merges/${id}/retry`);
    const whole = stream(id).then((response) => response.text());
    await succeed(world, await claim(world, id));
    expect(frames(await whole).map((frame) => frame['event'])).toEqual([
      'merge.queued',
      'merge.started',
      'merge.failed',
      'merge.queued',
      'merge.started',
      'merge.succeeded',
    ]);
  });

  it('refuses a Last-Event-ID that is none, a merge that is not there, and other ids', async () => {
    const { id } = await queueMerge(world);
    // The last two are larger than any number that an event of a merge can have.
    for (const none of ['x', '-1', '2147483648', '999999999999999']) {
      const bad = await stream(id, { 'last-event-id': none });
      const { code } = (await bad.json()) as Problem;
      expect({ none, status: bad.status, code }).toEqual({ none, status: 400, code: 'invalid_request' });
    }
    const missing = await stream('mrg_01K0000000000000000000000A');
    expect(missing.status).toBe(404);
    expect(missing.headers.get('content-type')).toMatch('application/problem+json');
  });

  it('loses nothing and repeats nothing for clients that keep breaking off, under many writers at once', async () => {
    const merges = await Promise.all(Array.from({ length: 4 }, () => queueMerge(world)));
    const readers = merges.flatMap(({ id }) => [1, 2].map(() => readBreaking(url, world.token, id)));
    await Promise.all(
      merges.map(async ({ id }) => {
        const claimed = await claim(world, id);
        // A change of stage is always an event.
        for (let i = 0; i < 30; i++) await progress(claimed.attemptId, i, i % 2 === 0 ? 'merging' : 'publishing');
        await succeed(world, claimed);
      }),
    );
    for (const seqs of await Promise.all(readers)) {
      expect(seqs).toEqual(Array.from({ length: 33 }, (_, index) => index + 1));
    }
  });

  it('forgets a client that goes away', async () => {
    const { id } = await queueMerge(world);
    const before = await connections(world.app);
    const sent = request(`${url}/v1/merges/${id}/events`, {
      headers: { authorization: `Bearer ${world.token}`, accept: 'text/event-stream' },
      agent: false,
    }).end();
    const [response] = await once(sent, 'response');
    await once(response, 'data');
    expect(await connections(world.app)).toBe(before + 1);
    sent.destroy();
    await expect.poll(() => connections(world.app)).toBe(before);
  });

  it('ends its streams when it stops, and the client goes on elsewhere', async () => {
    const merge = await queueMerge(world);
    const config = { ...world.config, port: await freePort() };
    const open = async () => {
      const app = await buildApp({ config, parts: world.parts, log: world.log });
      await app.listen({ host: config.host, port: config.port });
      return app;
    };
    const first = await open();
    const client = createClient({ baseUrl: `http://${config.host}:${config.port}`, apiKey: world.token });
    const seen: number[] = [];
    const waiting = client.merges.waitFor(merge.id, { onEvent: ({ seq }) => seen.push(seq) });
    await expect.poll(() => seen.length).toBe(1);
    const began = Date.now();
    await first.close();
    expect(Date.now() - began).toBeLessThan(5_000);
    const second = await open();
    await succeed(world, await claim(world, merge.id));
    const ended: Merge = await waiting;
    expect(ended.state).toBe('succeeded');
    expect(seen).toEqual([1, 2, 3]);
    await second.close();
  });
});

/** Reads a stream to its end, breaking the connection after every few events. */
async function readBreaking(url: string, token: string, id: string): Promise<number[]> {
  const seqs: number[] = [];
  for (;;) {
    const controller = new AbortController();
    const response = await fetch(`${url}/v1/merges/${id}/events`, {
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'text/event-stream',
        'last-event-id': String(seqs.at(-1) ?? 0),
      },
      signal: controller.signal,
    });
    if (response.status === 204) return seqs;
    let text = '';
    const most = seqs.length + 5;
    const decoder = new TextDecoder();
    for await (const chunk of response.body!) {
      text += decoder.decode(chunk, { stream: true });
      const complete = text.slice(0, text.lastIndexOf('\n\n') + 2);
      text = text.slice(complete.length);
      for (const [, seq] of complete.matchAll(/^id: (\d+)$/gm)) if (seqs.length < most) seqs.push(Number(seq));
      if (seqs.length >= most) break;
    }
    controller.abort();
  }
}

function connections(app: { server: import('node:http').Server }): Promise<number> {
  return new Promise((resolve, reject) => {
    app.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
  });
}
