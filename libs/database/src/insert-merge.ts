import { AmalgamError, DEFAULT_WEBHOOK_EVENTS, type EventType, laneOf } from '@amalgam/contracts';
import { CHANNELS, type Tx } from './context.js';
import { toRowEventType } from './event-types.js';
import { Prisma } from './generated/client.js';
import { newId } from './ids.js';
import { toJson, toJsonText } from './json.js';
import { lockedInputs, lockInputs } from './lock-inputs.js';
import type { WrittenEvent } from './record-event.js';
import type { NewMerge } from './repositories/merges.js';
import { outboxColumns } from './repositories/outbox.js';
import type { MergeRow } from './resources/merge.js';
import { dispatchOf } from './transitions.js';

/** A merge that is about to be written. */
export interface MergeToInsert extends NewMerge {
  id: string;
  projectId: string;
  /** Sealed. */
  webhookSecret: string | null;
}

interface Inserted {
  createdAt: Date;
  /** When the event was written. */
  eventAt: Date;
}

/**
 * Locks the inputs and writes the merge, its inputs, its first event and its outbox row; not the delivery of that event. One
 * statement, so a transaction by itself: whoever creates a merge waits for every round trip. Throws `not_found` or
 * the kind's `…_not_ready`.
 */
export async function insertMerge(tx: Tx, input: MergeToInsert): Promise<{ merge: MergeRow; event: WrittenEvent }> {
  const { id, projectId, recipe, webhook, webhookSecret } = input;
  const { name = null, lane = laneOf(recipe), priority = 0, bytesTotal = 0, metadata = {} } = input;
  const webhookUrl = webhook?.url ?? null;
  const events = webhook === undefined ? [] : (webhook.events ?? DEFAULT_WEBHOOK_EVENTS);
  const assets = input.inputs.map(({ assetId }) => assetId);
  const roles = input.inputs.map(({ role }) => role);
  const ids = [...new Set(assets)];
  const eventId = newId('event');
  const insert = async () =>
    tx.$queryRaw<Inserted[]>`
      WITH ready AS (
        ${lockedInputs(Prisma.sql`id`, projectId, ids, Prisma.sql`AND state = 'ready'`)}
      ), merge AS (
        INSERT INTO merges (id, project_id, name, state, lane, method, recipe, plan, bytes_total, priority,
                            webhook_url, webhook_events, webhook_secret, metadata, last_event_seq)
        SELECT ${id}, ${projectId}, ${name}, 'queued', ${lane}::lane, ${recipe.method}, ${JSON.stringify(recipe)}::json,
               ${toJsonText(input.plan)}::json, ${bytesTotal}::bigint, ${priority}::int,
               ${webhookUrl}, ${events}::text[]::event_type[], ${webhookSecret}, ${JSON.stringify(metadata)}::jsonb, 1
        WHERE (SELECT count(*) FROM ready) = ${ids.length}
        RETURNING id, created_at
      ), inputs AS (
        INSERT INTO merge_inputs (merge_id, position, asset_id, role)
        SELECT merge.id, input.position - 1, input.asset_id, input.role::input_role
        FROM merge, unnest(${assets}::text[], ${roles}::text[]) WITH ORDINALITY AS input (asset_id, role, position)
      ), outbox AS (
        INSERT INTO outbox (id, kind, subject_id, payload)
        SELECT ${outboxColumns(dispatchOf({ id, projectId, lane, priority }))} FROM merge
      ), event AS (
        INSERT INTO events (id, project_id, merge_id, seq, type, data)
        SELECT ${eventId}, ${projectId}, merge.id, 1, ${'merge.queued' satisfies EventType}::event_type, '{"reason":"created"}' FROM merge
        RETURNING created_at
      )
      SELECT merge.created_at AS "createdAt", event.created_at AS "eventAt", pg_notify(${CHANNELS.outbox}, '')::text AS woken,
             pg_notify(${CHANNELS.events}, ${projectId} || ' ' || merge.id)::text AS told
      FROM merge, event`;
  let [inserted] = await insert();
  if (inserted === undefined) {
    // Says which input is missing. When none is, one became ready just now.
    await lockInputs(tx, projectId, input.inputs);
    [inserted] = await insert();
  }
  if (inserted === undefined) throw new AmalgamError('internal', `${id} was not inserted`);
  const merge: MergeRow = {
    id,
    projectId,
    name,
    state: 'queued',
    stage: null,
    lane,
    method: recipe.method,
    recipe: toJson(recipe) as MergeRow['recipe'],
    bytesDone: 0n,
    bytesTotal: BigInt(bytesTotal),
    tuning: null,
    priority,
    error: null,
    webhookUrl,
    webhookDisabledReason: null,
    webhookDisabledAt: null,
    webhookEvents: events.map(toRowEventType),
    webhookSecret,
    metadata,
    cancelRequestedAt: null,
    createdAt: inserted.createdAt,
    startedAt: null,
    finishedAt: null,
    attempts: [],
    result: null,
  };
  return { merge, event: { id: eventId, type: 'merge.queued', createdAt: inserted.eventAt } };
}
