import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
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
    const all = (await readdir(MIGRATIONS_DIR)).sort();
    const first = await migrate({ url: database.url });
    expect(first.applied).toEqual(all);
    expect(await migrate({ url: database.url })).toEqual({ applied: [], unknown: [] });
    const sql = await readFile(join(MIGRATIONS_DIR, '20261123000000_init', 'migration.sql'));
    const history = await query('SELECT * FROM _prisma_migrations ORDER BY migration_name');
    expect(history.map((row) => row['migration_name'])).toEqual(all);
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
    const times = await query('SELECT count(*)::int AS times FROM _prisma_migrations GROUP BY migration_name');
    expect(times.every((row) => row['times'] === 1)).toBe(true);
  });

  it('turns checkpoints into assets, and keeps what merges read and made', async () => {
    for (const name of await readdir(dir)) if (name > '20261124') await rm(join(dir, name), { recursive: true });
    await migrate({ url: database.url, dir });
    await query(`INSERT INTO projects (id, name) VALUES ('prj_1', 'p')`);
    await query(`INSERT INTO checkpoints (id, project_id, name, state, source, tensors, parameters, dtypes)
                 VALUES ('ckpt_1', 'prj_1', 'base', 'ready', 'uri', 2, 6, '{"F32":6}')`);
    await query(`INSERT INTO checkpoint_files (checkpoint_id, path, position, bytes) VALUES ('ckpt_1', 'a', 0, 72)`);
    await query(`INSERT INTO merges (id, project_id, state, method, recipe, result_checkpoint_id)
                 VALUES ('mrg_1', 'prj_1', 'succeeded', 'linear', '{}', 'ckpt_1')`);
    await query(`INSERT INTO merge_inputs VALUES ('mrg_1', 0, 'ckpt_1', 'base')`);
    await query(`INSERT INTO attempts (id, merge_id, number, state, worker_id)
                 VALUES ('att_1', 'mrg_1', 1, 'succeeded', 'w')`);

    await migrate({ url: database.url });
    expect(
      await query(`SELECT a.kind::text, a.state::text, a.description, f.path, i.role::text, m.tuning, t.device
                   FROM assets a JOIN asset_files f ON f.asset_id = a.id JOIN merge_inputs i ON i.asset_id = a.id
                   JOIN merges m ON m.id = i.merge_id AND m.result_checkpoint_id = a.id
                   JOIN attempts t ON t.merge_id = m.id`),
    ).toEqual([
      { kind: 'checkpoint', state: 'ready', description: null, path: 'a', role: 'base', tuning: null, device: null },
    ]);
  });

  it('keeps deliveries of merges’ own webhooks, with their types and where their schedules stand', async () => {
    for (const name of await readdir(dir)) if (name > '20261127') await rm(join(dir, name), { recursive: true });
    await migrate({ url: database.url, dir });
    await query(`INSERT INTO projects (id, name) VALUES ('prj_1', 'p')`);
    await query(`INSERT INTO merges (id, project_id, state, method, recipe)
                 VALUES ('mrg_1', 'prj_1', 'queued', 'linear', '{}')`);
    await query(
      `INSERT INTO events (id, merge_id, seq, type, data) VALUES ('evt_1', 'mrg_1', 1, 'merge.queued', '{}')`,
    );
    await query(`INSERT INTO deliveries (id, project_id, merge_id, event_id, url, body, attempts, created_at)
                 VALUES ('dlv_1', 'prj_1', 'mrg_1', 'evt_1', 'https://hooks.test/', '{}', 3, '2026-11-01T00:00:00Z')`);

    await migrate({ url: database.url });
    expect(
      await query(`SELECT type, endpoint_id, schedule_step, scheduled_at = created_at AS same FROM deliveries`),
    ).toEqual([{ type: 'merge.queued', endpoint_id: null, schedule_step: 3, same: true }]);
  });

  it('places the events that there are by project and time, a merge’s own in their order, and goes on after them', async () => {
    for (const name of await readdir(dir)) if (name > '20261128') await rm(join(dir, name), { recursive: true });
    await migrate({ url: database.url, dir });
    await query(`INSERT INTO projects (id, name) VALUES ('prj_1', 'p'), ('prj_2', 'q'), ('prj_3', 'r')`);
    await query(`INSERT INTO merges (id, project_id, state, method, recipe) VALUES
                 ('mrg_1', 'prj_1', 'queued', 'linear', '{}'), ('mrg_2', 'prj_1', 'queued', 'linear', '{}'),
                 ('mrg_3', 'prj_2', 'queued', 'linear', '{}')`);
    const event = (merge: number, seq: number, second: number) =>
      `('evt_${merge}${seq}', 'mrg_${merge}', ${seq}, 'merge.queued', '{}', '2026-11-01T00:00:0${second}Z')`;
    await query(`INSERT INTO events (id, merge_id, seq, type, data, created_at)
                 VALUES ${[event(1, 1, 1), event(1, 2, 3), event(2, 1, 2), event(3, 1, 4)].join(', ')}`);

    await migrate({ url: database.url });
    expect(await query(`SELECT id, project_id, position::int FROM events ORDER BY project_id, position`)).toEqual([
      { id: 'evt_11', project_id: 'prj_1', position: 1 },
      { id: 'evt_21', project_id: 'prj_1', position: 2 },
      { id: 'evt_12', project_id: 'prj_1', position: 3 },
      { id: 'evt_31', project_id: 'prj_2', position: 1 },
    ]);
    await query(`INSERT INTO events (id, project_id, merge_id, seq, type, data)
                 VALUES ('evt_22', 'prj_1', 'mrg_2', 2, 'merge.started', '{}')`);
    const heads = ['prj_1', 'prj_2', 'prj_3'].map((id) => query(`SELECT place_events('${id}')::int AS head`));
    expect((await Promise.all(heads)).flat()).toEqual([{ head: 4 }, { head: 1 }, { head: 0 }]);
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
