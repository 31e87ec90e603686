import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openQueue } from '../src/index.js';
import { unique, until } from './helpers.js';
import { startPostgres, type TestPostgres } from './postgres.js';
import { queueContract } from './queue.contract.js';

queueContract('PostgreSQL', async () => {
  const server = await startPostgres();
  return { config: { kind: 'postgres', url: server.url }, restart: server.restart, stop: server.stop };
});

describe('queue on PostgreSQL', () => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(async () => {
    await server?.stop();
  });

  it('takes a URL with options of its own and keeps its connections few', async () => {
    const queue = await openQueue({ kind: 'postgres', url: `${server.url}?options=-c%20statement_timeout%3D20000` });
    let done = 0;
    const consumers = await Promise.all(
      (['cpu', 'gpu', 'delivery'] as const).map((lane) =>
        queue.consume(lane, async () => void done++, { concurrency: 16 }),
      ),
    );
    await Promise.all(Array.from({ length: 100 }, () => queue.add('cpu', { id: unique(), data: {} })));
    await until(() => done === 100);

    const client = new pg.Client(server.url);
    await client.connect();
    const { rows } = await client.query<{ count: number }>(
      "SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    );
    await client.end();
    // Four for the producers, four for each consumer.
    expect(rows[0]?.count).toBeLessThanOrEqual(16);
    await Promise.all(consumers.map((consumer) => consumer.close()));
    await queue.close();
  });

  it('refuses a server that is not there without telling the password', async () => {
    const failure = await openQueue({ kind: 'postgres', url: 'postgres://user:hunter2@127.0.0.1:1/none' }).catch(
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ code: 'unavailable' });
    expect(String(failure)).not.toContain('hunter2');
  });
});
