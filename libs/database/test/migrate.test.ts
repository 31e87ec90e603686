import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { MIGRATIONS_DIR, migrate } from '../src/migrate.js';
import { range } from './fixtures.js';

// Keeps the server up from test to test.
let anchor: TestDatabase;
beforeAll(async () => {
  anchor = await startTestDatabase({ migrated: false });
});
afterAll(async () => {
  await anchor.stop();
});

describe('migrate', () => {
  let database: TestDatabase;
  let dir: string;

  beforeEach(async () => {
    database = await startTestDatabase({ migrated: false });
    dir = await mkdtemp(join(tmpdir(), 'amalgam-migrations-'));
    await cp(MIGRATIONS_DIR, dir, { recursive: true });
  });
  afterEach(async () => {
    await database.stop();
    await rm(dir, { recursive: true, force: true });
  });

  async function query<T extends pg.QueryResultRow>(sql: string): Promise<T[]> {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      return (await client.query<T>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  async function add(name: string, sql: string): Promise<void> {
    await mkdir(join(dir, name));
    await writeFile(join(dir, name, 'migration.sql'), sql);
  }

  it('applies once, and keeps the history in the layout of Prisma', async () => {
    const first = await migrate({ url: database.url });
    expect(first.applied).toEqual(['20261123000000_init']);
    expect(await migrate({ url: database.url })).toEqual({ applied: [], unknown: [] });
    const sql = await readFile(join(MIGRATIONS_DIR, '20261123000000_init', 'migration.sql'));
    const history = await query('SELECT * FROM _prisma_migrations');
    expect(history).toHaveLength(1);
    expect(history[0]).toMatchObject({
      migration_name: '20261123000000_init',
      checksum: createHash('sha256').update(sql).digest('hex'),
      applied_steps_count: 1,
      rolled_back_at: null,
      logs: null,
    });
    expect(history[0]?.['finished_at']).toBeInstanceOf(Date);
  });

  it('applies once when many begin at the same time', async () => {
    const results = await Promise.all(range(8).map(() => migrate({ url: database.url })));
    expect(results.filter(({ applied }) => applied.length > 0)).toHaveLength(1);
    expect(await query('SELECT 1 FROM _prisma_migrations')).toHaveLength(1);
  });

  it('refuses when an applied file was changed, and names it', async () => {
    await migrate({ url: database.url, dir });
    await writeFile(join(dir, '20261123000000_init', 'migration.sql'), 'SELECT 1;');
    await expect(migrate({ url: database.url, dir })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('20261123000000_init was changed after it was applied'),
    });
  });

  it('rolls a failing file back whole, keeps those before it, and goes on when it is mended', async () => {
    await add('20270101000000_good', 'CREATE TABLE good (id int);');
    await add('20270102000000_bad', 'CREATE TABLE bad (id int); SELECT * FROM nowhere;');
    await expect(migrate({ url: database.url, dir })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/20270102000000_bad failed.*nowhere/),
    });
    expect(await query(`SELECT to_regclass('good')::text AS good, to_regclass('bad')::text AS bad`)).toEqual([
      { good: 'good', bad: null },
    ]);
    await writeFile(join(dir, '20270102000000_bad', 'migration.sql'), 'CREATE TABLE bad (id int);');
    expect((await migrate({ url: database.url, dir })).applied).toEqual(['20270102000000_bad']);
  });

  it('reports what a newer version applied', async () => {
    await add('20270101000000_newer', 'CREATE TABLE newer (id int);');
    await migrate({ url: database.url, dir });
    expect(await migrate({ url: database.url })).toEqual({ applied: [], unknown: ['20270101000000_newer'] });
  });

  it('says that the server does not answer', async () => {
    await expect(migrate({ url: 'postgresql://nobody:secret@127.0.0.1:1/none' })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.not.stringContaining('secret'),
    });
  });
});
