import { rm, writeFile } from 'node:fs/promises';
import type { Database } from '@amalgam/database';

/** Any number; processes that start together take turns at it. */
const LOCK = 4_150_316;

/**
 * The project that everything belongs to, and its first key when no key has ever been made. Returns the key's text then:
 * it is nowhere else, so show it.
 */
export async function ensureFirstKey(database: Database): Promise<string | null> {
  const project = await database.projects.ensureDefaultProject();
  return database.prisma.$transaction(
    async (tx) => {
      await tx.$executeRaw`SELECT pg_advisory_xact_lock(${LOCK}::bigint)`;
      if ((await tx.apiKey.count()) > 0) return null;
      const { token } = await database.apiKeys.createKey(project.id, { name: 'first', scopes: ['*'] });
      return token;
    },
    { timeout: 30_000 },
  );
}

/** Puts the key into a file that only its owner can read. */
export async function writeKeyFile(path: string, token: string): Promise<void> {
  // An existing file would keep its mode.
  await rm(path, { force: true });
  await writeFile(path, `${token}\n`, { mode: 0o600, flag: 'wx' });
}
