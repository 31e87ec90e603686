import type { Context, Tx } from './context.js';
import { Prisma } from './generated/client.js';

const RETRIES = 3;

/** Runs `work` in a transaction (read committed), again when Postgres chose it as the victim of a deadlock. */
export async function inTransaction<T>(context: Context, work: (tx: Tx) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await context.prisma.$transaction(work);
    } catch (error) {
      if (tries >= RETRIES || !isConflict(error)) throw error;
    }
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof Prisma.PrismaClientKnownRequestError && error.code === 'P2034';
}

/** The database's clock, now and not when the transaction began. */
export async function databaseNow(tx: Tx): Promise<Date> {
  const rows = await tx.$queryRaw<{ now: Date }[]>`SELECT clock_timestamp() AS now`;
  return rows[0]?.now ?? new Date();
}
