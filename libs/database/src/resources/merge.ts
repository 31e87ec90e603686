import type { Attempt, Merge, PlainError, Recipe, TuningProgress } from '@amalgam/contracts';
import { fromRowMergeEventType } from '../event-types.js';
import type { Attempt as AttemptColumns, Merge as MergeColumns } from '../generated/client.js';
import { toNumber } from '../json.js';
import { toFileResource } from './assets.js';

/** What is shown of an attempt. */
export type AttemptRow = Pick<
  AttemptColumns,
  'number' | 'state' | 'workerId' | 'device' | 'startedAt' | 'finishedAt' | 'error'
>;

/** What is shown of a merge's result, which may have been deleted since. */
export interface ResultRow {
  id: string;
  bytes: bigint;
  files: { path: string; bytes: bigint; sha256: string | null }[];
}

/** A merge with its attempts and its result (read-merges.ts); plan and report are large and have calls of their own. */
export type MergeRow = Pick<
  MergeColumns,
  | 'id'
  | 'projectId'
  | 'name'
  | 'state'
  | 'stage'
  | 'lane'
  | 'method'
  | 'recipe'
  | 'bytesDone'
  | 'bytesTotal'
  | 'tuning'
  | 'priority'
  | 'error'
  | 'webhookUrl'
  | 'webhookEvents'
  | 'webhookSecret'
  | 'webhookDisabledReason'
  | 'webhookDisabledAt'
  | 'metadata'
  | 'cancelRequestedAt'
  | 'createdAt'
  | 'startedAt'
  | 'finishedAt'
> & { attempts: AttemptRow[]; result: ResultRow | null };

/** The contract's Merge, for GET and for webhooks. The webhook's secret is never in it. */
export function toMergeResource(row: MergeRow): Merge {
  return {
    object: 'merge',
    id: row.id,
    name: row.name,
    state: row.state,
    method: row.method,
    recipe: row.recipe as unknown as Recipe,
    progress: {
      stage: row.stage,
      bytes_done: toNumber(row.bytesDone),
      bytes_total: toNumber(row.bytesTotal),
      ...(row.tuning === null ? {} : { tuning: row.tuning as unknown as TuningProgress }),
    },
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
    webhook: toWebhook(row),
    metadata: row.metadata as Record<string, string>,
    cancel_requested_at: row.cancelRequestedAt?.toISOString() ?? null,
    created_at: row.createdAt.toISOString(),
    started_at: row.startedAt?.toISOString() ?? null,
    finished_at: row.finishedAt?.toISOString() ?? null,
  };
}

function toWebhook(row: MergeRow): Merge['webhook'] {
  if (row.webhookUrl === null) return null;
  const { webhookDisabledReason: reason, webhookDisabledAt: at } = row;
  // Nobody disables it by hand.
  const disabled =
    reason === null || reason === 'user' || at === null ? {} : { disabled: { reason, at: at.toISOString() } };
  return { url: row.webhookUrl, events: row.webhookEvents.map(fromRowMergeEventType), ...disabled };
}

function toAttemptResource(row: MergeRow['attempts'][number]): Attempt {
  const error = row.error as unknown as PlainError | null;
  return {
    number: row.number,
    state: row.state,
    worker: row.workerId,
    device: row.device,
    started_at: row.startedAt.toISOString(),
    finished_at: row.finishedAt?.toISOString() ?? null,
    error: error === null ? null : { code: error.code, detail: error.detail },
  };
}
