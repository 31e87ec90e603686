import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
// Not the package: tests need no build of the database library, and only these two of its modules.
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../libs/database/src/embedded.js';
import { migrate } from '../../libs/database/src/migrate.js';

export interface TestDatabase {
  url: string;
  stop(): Promise<void>;
}

interface Server {
  url: string;
  stop(): Promise<void>;
}

let server: Promise<Server> | undefined;
let users = 0;

/**
 * A fresh database of its own. On the server that DATABASE_URL names, else on an embedded one which is shared by the
 * databases of this test process and stops with the last of them. Migrated, unless `migrated: false`.
 */
export async function startTestDatabase(options: { migrated?: boolean } = {}): Promise<TestDatabase> {
  users++;
  server ??= startServer();
  const current = await server;
  const name = `test_${randomBytes(8).toString('hex')}`;
  await execute(current.url, `CREATE DATABASE ${name}`);
  const url = new URL(current.url);
  url.pathname = `/${name}`;
  if (options.migrated !== false) await migrate({ url: url.href });
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    await execute(current.url, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    if (--users === 0) {
      server = undefined;
      await current.stop();
    }
  };
  return {
    url: url.href,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

async function startServer(): Promise<Server> {
  const url = process.env['DATABASE_URL'];
  if (url !== undefined && url !== '') return { url, stop: async () => {} };
  const dir = await mkdtemp(join(tmpdir(), 'amalgam-test-postgres-'));
  await chmod(dir, 0o755); // as root the server runs as another user, who must be able to enter
  // Nothing outlives the test, so nothing has to reach the disk.
  const settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', shared_buffers: '32MB' };
  const embedded: EmbeddedPostgres = await startEmbeddedPostgres({ dir, settings });
  return {
    url: embedded.url,
    stop: async () => {
      await embedded.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
