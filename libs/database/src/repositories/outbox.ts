import type { Lane } from '@amalgam/contracts';
import { CHANNELS, type Context, type Tx } from '../context.js';
import { Prisma } from '../generated/client.js';
import { newId } from '../ids.js';

/** What a queue job needs to know; the rest is read from the tables when it runs. */
export interface MergePayload {
  merge_id: string;
  project_id: string;
  lane: Lane;
  priority: number;
}

export interface DeliveryPayload {
  delivery_id: string;
}

/** What is to be done, once the transaction has committed. */
export type Subject =
  | { kind: 'merge'; subjectId: string; payload: MergePayload }
  | { kind: 'delivery'; subjectId: string; payload: DeliveryPayload };

/** A row that waits for the dispatcher. `id` is new for each dispatch, so it serves as the queue's job id. */
export type OutboxRow = Subject & { id: string; availableAt: Date };

/** Id, kind, subject_id and payload of a new row, for a SELECT. */
export function outboxColumns({ kind, subjectId, payload }: Subject): Prisma.Sql {
  return Prisma.sql`${newId('outbox')}, ${kind}::outbox_kind, ${subjectId}, ${JSON.stringify(payload)}::json`;
}

/** Puts a row into the outbox; it is dispatched once the transaction has committed and `availableAt` has come. */
export async function enqueue(tx: Tx, subject: Subject, availableAt?: Date): Promise<void> {
  await tx.$executeRaw`
    WITH row AS (
      INSERT INTO outbox (id, kind, subject_id, payload, available_at)
      SELECT ${outboxColumns(subject)}, COALESCE(${availableAt ?? null}::timestamptz, CURRENT_TIMESTAMP)
      RETURNING 1
    ) SELECT pg_notify(${CHANNELS.outbox}, '') FROM row`;
}

export class OutboxRepository {
  constructor(private readonly context: Context) {}

  /**
   * Hands up to `limit` due rows to `dispatch` and marks them when it resolves; when it rejects they stay, and the
   * error is passed on. Several dispatchers never get the same row at once. A crash between the two means that a row
   * is handed out again: dispatching must be idempotent by `row.id`. Returns how many were dispatched.
   */
  async drain(limit: number, dispatch: (rows: OutboxRow[]) => Promise<void>): Promise<number> {
    return this.context.prisma.$transaction(
      async (tx) => {
        const rows = await tx.$queryRaw<OutboxRow[]>`
          SELECT id, kind::text AS kind, subject_id AS "subjectId", payload, available_at AS "availableAt"
          FROM outbox WHERE dispatched_at IS NULL AND available_at <= clock_timestamp()
          ORDER BY available_at, id LIMIT ${limit} FOR UPDATE SKIP LOCKED`;
        if (rows.length === 0) return 0;
        await dispatch(rows);
        await tx.$executeRaw`
          UPDATE outbox SET dispatched_at = clock_timestamp() WHERE id = ANY(${rows.map(({ id }) => id)}::text[])`;
        return rows.length;
      },
      { timeout: 60_000 },
    );
  }

  /** How many rows are due and how old the oldest is, for metrics and readiness. */
  async backlog(): Promise<{ due: number; oldestMs: number }> {
    const rows = await this.context.prisma.$queryRaw<{ due: number; oldestMs: number }[]>`
      SELECT count(*)::int AS due,
             COALESCE(extract(epoch FROM clock_timestamp() - min(available_at)) * 1000, 0)::float8 AS "oldestMs"
      FROM outbox WHERE dispatched_at IS NULL AND available_at <= clock_timestamp()`;
    return rows[0] ?? { due: 0, oldestMs: 0 };
  }

  /** Deletes rows that were dispatched longer ago than this; returns how many. */
  async purge(olderThanMs: number): Promise<number> {
    return this.context.prisma.$executeRaw`
      DELETE FROM outbox WHERE dispatched_at < clock_timestamp() - ${olderThanMs}::float8 * interval '1 millisecond'`;
  }
}
