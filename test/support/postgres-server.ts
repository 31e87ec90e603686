import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
// Not the package: tests need no build of the database library, and only these two of its modules.
import { startEmbeddedPostgres } from '../../libs/database/src/embedded.js';
import { migrate } from '../../libs/database/src/migrate.js';

/** Where tests make their databases: a server, and a database there that is migrated and empty. */
export interface TestServer {
  url: string;
  template: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    /** A socket that tells whoever connects of the server, as JSON: TestServer, or `{ error }`. */
    postgresSocket: string;
  }
}

/**
 * One server for all test files of a run, since to make one costs more than most files' tests: the one that DATABASE_URL names,
 * else an embedded one. It starts when the first test asks for it.
 */
export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), 'amalgam-test-postgres-'));
  await chmod(dir, 0o755); // as root the server runs as another user, who must be able to enter
  let started: ReturnType<typeof start> | undefined;
  const broker = createServer((socket) => {
    started ??= start(dir);
    started.then(
      ({ server }) => socket.end(JSON.stringify(server)),
      (error: unknown) => socket.end(JSON.stringify({ error: String(error) })),
    );
  });
  const path = join(dir, 'socket');
  await new Promise<void>((resolve, reject) => {
    broker.once('error', reject);
    broker.listen(path, resolve);
  });
  provide('postgresSocket', path);
  return async () => {
    broker.close();
    await started?.then(({ stop }) => stop());
    await rm(dir, { recursive: true, force: true });
  };
}

async function start(dir: string): Promise<{ server: TestServer; stop(): Promise<void> }> {
  const { url, stop } = await findServer(dir);
  const template = `template_${randomBytes(8).toString('hex')}`;
  await execute(url, `CREATE DATABASE ${template}`);
  await migrate({ url: toDatabase(url, template) });
  return {
    server: { url, template },
    stop: async () => {
      await execute(url, `DROP DATABASE ${template} WITH (FORCE)`);
      await stop();
    },
  };
}

async function findServer(dir: string): Promise<{ url: string; stop(): Promise<void> }> {
  const url = process.env['DATABASE_URL'];
  if (url !== undefined && url !== '') return { url, stop: async () => {} };
  // Nothing outlives the tests, so nothing has to reach the disk.
  const settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', shared_buffers: '64MB' };
  return startEmbeddedPostgres({ dir: join(dir, 'server'), settings });
}

/** The URL of another database on the same server. */
export function toDatabase(server: string, name: string): string {
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

export async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
