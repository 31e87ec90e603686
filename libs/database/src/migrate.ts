import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AmalgamError } from '@amalgam/contracts';
import pg from 'pg';

/** prisma/migrations of this repository, as seen from src and from dist. */
export const MIGRATIONS_DIR = fileURLToPath(new URL('../../../prisma/migrations', import.meta.url));

/** The lock that Prisma's own `migrate deploy` takes, so that the two exclude each other. */
const LOCK = 72707369;

// Prisma's layout, so that its CLI reads the same history wherever it can run.
const HISTORY = `CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
  "id" VARCHAR(36) PRIMARY KEY NOT NULL,
  "checksum" VARCHAR(64) NOT NULL,
  "finished_at" TIMESTAMPTZ,
  "migration_name" VARCHAR(255) NOT NULL,
  "logs" TEXT,
  "rolled_back_at" TIMESTAMPTZ,
  "started_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
  "applied_steps_count" INTEGER NOT NULL DEFAULT 0
)`;

export interface MigrateResult {
  /** Names applied by this call. */
  applied: string[];
  /** Names in the database's history that this version of the program does not have: it is older than the database. */
  unknown: string[];
}

interface Migration {
  name: string;
  sql: string;
  checksum: string;
}

/**
 * Applies what is missing of prisma/migrations, in the order of the names, each file in a transaction of its own.
 * Safe to run from many processes at once: an advisory lock lets one work and the others find nothing to do.
 * Throws `unavailable` when the server does not answer, when an applied file was changed since, or when SQL fails.
 */
export async function migrate(options: { url: string; dir?: string }): Promise<MigrateResult> {
  const migrations = await readMigrations(options.dir ?? MIGRATIONS_DIR);
  const client = new pg.Client({ connectionString: options.url, application_name: 'amalgam-migrate' });
  client.on('error', () => {}); // the query in flight rejects too
  try {
    await client.connect();
  } catch (cause) {
    throw new AmalgamError('unavailable', `the database does not answer: ${reason(cause)}`, { cause });
  }
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
    return await apply(client, migrations);
  } finally {
    await client.end().catch(() => {}); // ends the session, and the lock with it
  }
}

async function apply(client: pg.Client, migrations: Migration[]): Promise<MigrateResult> {
  await client.query(HISTORY);
  const history = await client.query<{ migration_name: string; checksum: string; finished_at: Date | null }>(
    'SELECT migration_name, checksum, finished_at FROM "_prisma_migrations" WHERE rolled_back_at IS NULL',
  );
  const done = new Map(history.rows.map((row) => [row.migration_name, row]));
  for (const { name, checksum } of migrations) {
    const row = done.get(name);
    if (row === undefined) continue;
    if (row.finished_at === null) {
      throw new AmalgamError('unavailable', `migration ${name} was begun by another tool and did not finish`);
    }
    if (row.checksum !== checksum) {
      throw new AmalgamError(
        'unavailable',
        `migration ${name} was changed after it was applied (sha256 ${checksum}, applied ${row.checksum}): ` +
          'restore the file and put the change into a new migration',
      );
    }
  }
  const applied: string[] = [];
  for (const migration of migrations) {
    if (done.has(migration.name)) continue;
    await applyOne(client, migration);
    applied.push(migration.name);
  }
  const known = new Set(migrations.map(({ name }) => name));
  return { applied, unknown: [...done.keys()].filter((name) => !known.has(name)).sort() };
}

async function applyOne(client: pg.Client, { name, sql, checksum }: Migration): Promise<void> {
  const started = new Date();
  try {
    await client.query('BEGIN');
    await client.query(sql);
    await client.query(
      `INSERT INTO "_prisma_migrations" (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
       VALUES ($1, $2, $3, $4, clock_timestamp(), 1)`,
      [randomUUID(), checksum, name, started],
    );
    await client.query('COMMIT');
  } catch (cause) {
    await client.query('ROLLBACK').catch(() => {});
    throw new AmalgamError('unavailable', `migration ${name} failed and was rolled back: ${reason(cause)}`, { cause });
  }
}

async function readMigrations(dir: string): Promise<Migration[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((cause: unknown) => {
    throw new AmalgamError('unavailable', `the migrations are not at ${dir}`, { cause });
  });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => {
      const sql = await readFile(join(dir, name, 'migration.sql'), 'utf8');
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

/** The message of an error; a refused connection is an AggregateError whose own message is empty. */
function reason(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reason).join('; ');
  return error instanceof Error ? error.message : String(error);
}
