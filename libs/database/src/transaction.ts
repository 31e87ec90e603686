import type { Context, Tx } from './context.js';
import { Prisma } from './generated/client.js';

const RETRIES = 3;

/** Runs `work` in a transaction (read committed), again when Postgres chose it as the victim of a deadlock. */
export async function inTransaction<T>(context: Context, work: (tx: Tx) => Promise<T>): Promise<T> {
  return retryConflicts(() => context.prisma.$transaction(work));
}

/** The same for what is a transaction by itself: a single statement. */
export async function retryConflicts<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (tries >= RETRIES || !isConflict(error)) throw error;
    }
  }
}

/** Prisma has a code of its own for this, but not when the statement was plain SQL. */
function isConflict(error: unknown): boolean {
  if (!(error instanceof Prisma.PrismaClientKnownRequestError)) return false;
  const driver = error.meta?.['driverAdapterError'] as { cause?: { kind?: unknown } } | undefined;
  return error.code === 'P2034' || driver?.cause?.kind === 'TransactionWriteConflict';
}

/** The database's clock, now and not when the transaction began. */
export async function databaseNow(tx: Tx): Promise<Date> {
  const rows = await tx.$queryRaw<{ now: Date }[]>`SELECT clock_timestamp() AS now`;
  return rows[0]?.now ?? new Date();
}
