import type { EventType } from '@amalgam/contracts';
import type { Tx } from '../context.js';
import { toRowEventType } from '../event-types.js';
import { Prisma } from '../generated/client.js';
import type { AttemptRow, MergeRow } from './merge.js';

type Row = Omit<MergeRow, 'webhookEvents' | 'attempts' | 'result'> & {
  /** The contract's names, as the database holds them. */
  webhookEvents: EventType[];
  /** Null when there are none. */
  attempts: (Omit<AttemptRow, 'startedAt' | 'finishedAt'> & { startedAt: string; finishedAt: string | null })[] | null;
  result: {
    id: string;
    bytes: string;
    files: { path: string; bytes: string; sha256: string | null }[] | null;
  } | null;
};

/**
 * The merges `m` that meet `where`, with their attempts and results. One statement: `include` sends one for each relation,
 * and a round trip costs more than everything else that a GET does. 64-bit numbers travel as texts, since JSON has doubles.
 */
export async function readMerges(tx: Tx, where: Prisma.Sql, orderAndLimit = Prisma.empty): Promise<MergeRow[]> {
  const rows = await tx.$queryRaw<Row[]>`
    SELECT m.id, m.project_id AS "projectId", m.name, m.state::text AS state, m.stage::text AS stage,
      m.lane::text AS lane, m.method, m.recipe, m.bytes_done AS "bytesDone", m.bytes_total AS "bytesTotal", m.tuning, m.priority,
      m.error, m.webhook_url AS "webhookUrl", m.webhook_events::text[] AS "webhookEvents",
      m.webhook_secret AS "webhookSecret", m.webhook_disabled_reason::text AS "webhookDisabledReason",
      m.webhook_disabled_at AS "webhookDisabledAt", m.metadata, m.cancel_requested_at AS "cancelRequestedAt",
      m.created_at AS "createdAt", m.started_at AS "startedAt", m.finished_at AS "finishedAt",
      (SELECT json_agg(json_build_object('number', a.number, 'state', a.state, 'workerId', a.worker_id, 'device', a.device,
          'startedAt', a.started_at, 'finishedAt', a.finished_at, 'error', a.error) ORDER BY a.number)
        FROM attempts a WHERE a.merge_id = m.id) AS attempts,
      (SELECT json_build_object('id', c.id, 'bytes', c.bytes::text, 'files', (
          SELECT json_agg(json_build_object('path', f.path, 'bytes', f.bytes::text, 'sha256', f.sha256) ORDER BY f.position)
          FROM asset_files f WHERE f.asset_id = c.id))
        FROM assets c WHERE c.id = m.result_checkpoint_id) AS result
    FROM merges m WHERE ${where} ${orderAndLimit}`;
  return rows.map(toMergeRow);
}

/** One merge, of this project when one is given; null when there is none. */
export async function readMerge(tx: Tx, id: string, projectId?: string): Promise<MergeRow | null> {
  const mine = projectId === undefined ? Prisma.empty : Prisma.sql`AND m.project_id = ${projectId}`;
  return (await readMerges(tx, Prisma.sql`m.id = ${id} ${mine}`))[0] ?? null;
}

function toMergeRow(row: Row): MergeRow {
  return {
    ...row,
    webhookEvents: row.webhookEvents.map(toRowEventType),
    attempts: (row.attempts ?? []).map((attempt) => ({
      ...attempt,
      startedAt: new Date(attempt.startedAt),
      finishedAt: attempt.finishedAt === null ? null : new Date(attempt.finishedAt),
    })),
    result:
      row.result === null
        ? null
        : {
            id: row.result.id,
            bytes: BigInt(row.result.bytes),
            files: (row.result.files ?? []).map((file) => ({ ...file, bytes: BigInt(file.bytes) })),
          },
  };
}
