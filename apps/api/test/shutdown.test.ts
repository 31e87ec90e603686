import { request as open } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Merge } from '@amalgam/contracts';
import { createLogger } from '@amalgam/telemetry';
import { describe, expect, it } from 'vitest';
import { type RunningApi, startApi } from '../src/index.js';
import { register, useWorld, weights } from './support/world.js';

describe('stopping under load', () => {
  const world = useWorld();

  /** Another api on the world's database, and everything that it logs as a warning or worse. */
  const start = async (): Promise<{ api: RunningApi; complaints: string[] }> => {
    const complaints: string[] = [];
    const log = createLogger({ name: 'api', level: 'warn', destination: { write: (line) => complaints.push(line) } });
    return { api: await startApi({ ...world.config, port: 0 }, { log }), complaints };
  };

  /** Keeps merges of this checkpoint waiting until it is told to go on. */
  const hold = async (checkpointId: string) => {
    let release = () => {};
    const held = new Promise<void>((taken) => {
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      world.parts.database.prisma
        .$transaction(async (tx) => {
          await tx.$executeRaw`SELECT 1 FROM assets WHERE id = ${checkpointId} FOR UPDATE`;
          taken();
          await released;
        })
        .catch(() => {});
    });
    await held;
    return () => release();
  };

  /** Posts a merge that will wait; `leave` is how its client goes away. */
  const post = async (url: string, key: string, name: string) => {
    const a = await register(world, `${key}-a`, weights(1));
    const b = await register(world, `${key}-b`, weights(2));
    const release = await hold(b.id);
    const body = JSON.stringify({ name, recipe: { method: 'linear', models: [{ model: a.id }, { model: b.id }] } });
    const headers = {
      authorization: `Bearer ${world.token}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    };
    const client = open(`${url}/v1/merges`, { method: 'POST', headers });
    const answer = new Promise<number | string>((resolve) => {
      client.on('response', (response) => resolve(response.resume().statusCode ?? 0));
      client.on('error', (error) => resolve(error.message));
    });
    client.end(body);
    await expect.poll(waiting).toBe(true);
    return { release, answer, leave: () => client.destroy() };
  };

  const waiting = async () => {
    const rows = await world.parts.database.prisma.$queryRaw<unknown[]>`
      SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
    return rows.length > 0;
  };
  const made = async (name: string) =>
    (await world.call<{ data: Merge[] }>('GET', `/v1/merges?name=${name}`)).body.data.length;

  it('answers what it has begun', async () => {
    const { api, complaints } = await start();
    const { release, answer } = await post(api.url, 'stays', 'stays');
    const closed = api.close();
    await sleep(200);
    release();
    expect(await answer).toBe(202);
    await closed;
    expect(complaints).toEqual([]);
    expect(await made('stays')).toBe(1);
  });

  it('finishes what a client has left before the database is closed under it', async () => {
    const { api, complaints } = await start();
    const { release, leave } = await post(api.url, 'leaves', 'leaves');
    leave();
    const closed = api.close();
    await sleep(200);
    release();
    await closed;
    expect(complaints).toEqual([]);
    expect(await made('leaves')).toBe(1);
    // Its key was completed too, so a repeat gets the merge that there is.
    const repeat = await world.parts.database.prisma.idempotencyKey.findFirst({ where: { key: 'leaves' } });
    expect(repeat).toMatchObject({ state: 'done', status: 202 });
  });

  it('forgets requests whose clients left before they were complete', async () => {
    const { port } = new URL(await world.listen());
    const socket = connect(Number(port), '127.0.0.1');
    const head = ['POST /v1/merges HTTP/1.1', 'host: x', `authorization: Bearer ${world.token}`];
    socket.write([...head, 'content-type: application/json', 'content-length: 100', '', '{"re'].join('\r\n'));
    await expect.poll(() => world.app.inFlight.drained(0)).toBe(false);
    socket.destroy();
    expect(await world.app.inFlight.drained(5000)).toBe(true);
  });
});
