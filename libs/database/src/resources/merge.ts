import type { Attempt, Merge, PlainError, Recipe } from '@amalgam/contracts';
import { fromRowEventType } from '../event-types.js';
import type { Prisma } from '../generated/client.js';
import { toNumber } from '../json.js';
import { checkpointQuery, toFileResource } from './checkpoint.js';

/** Everything but plan and report, which are large and have calls of their own. */
export const mergeQuery = {
  include: { attempts: { orderBy: { number: 'asc' } }, result: checkpointQuery },
  omit: { plan: true, report: true },
} as const satisfies Prisma.MergeDefaultArgs;

/** A merge with its attempts and its result. */
export type MergeRow = Prisma.MergeGetPayload<typeof mergeQuery>;

/** The contract's Merge, for GET and for webhooks. The webhook's secret is never in it. */
export function toMergeResource(row: MergeRow): Merge {
  return {
    object: 'merge',
    id: row.id,
    name: row.name,
    state: row.state,
    method: row.method,
    recipe: row.recipe as unknown as Recipe,
    progress: { stage: row.stage, bytes_done: toNumber(row.bytesDone), bytes_total: toNumber(row.bytesTotal) },
    attempts: row.attempts.map(toAttemptResource),
    result:
      row.result === null
        ? null
        : {
            checkpoint_id: row.result.id,
            bytes: toNumber(row.result.bytes),
            files: row.result.files.map(toFileResource),
          },
    error: row.error as unknown as PlainError | null,
    webhook: row.webhookUrl === null ? null : { url: row.webhookUrl, events: row.webhookEvents.map(fromRowEventType) },
    metadata: row.metadata as Record<string, string>,
    cancel_requested_at: row.cancelRequestedAt?.toISOString() ?? null,
    created_at: row.createdAt.toISOString(),
    started_at: row.startedAt?.toISOString() ?? null,
    finished_at: row.finishedAt?.toISOString() ?? null,
  };
}

function toAttemptResource(row: MergeRow['attempts'][number]): Attempt {
  const error = row.error as unknown as PlainError | null;
  return {
    number: row.number,
    state: row.state,
    worker: row.workerId,
    started_at: row.startedAt.toISOString(),
    finished_at: row.finishedAt?.toISOString() ?? null,
    error: error === null ? null : { code: error.code, detail: error.detail },
  };
}
