import type { DeliveryAttempt, OutgoingDelivery } from '@amalgam/database';
import type { JobHandler } from '@amalgam/queue';
import { type DeliveryOutcome, deliver, nextAttempt, STANDARD_SCHEDULE } from '@amalgam/webhooks';
import type { WorkerContext } from './context.js';

/** Deliveries at once: they wait for other people's servers and compute nothing. */
export const DELIVERIES_AT_ONCE = 8;

/**
 * Sends webhooks. A delivery that was sent and not noted is sent again with the same id: receivers drop repeats by it.
 */
export function deliveryHandler(
  { config, parts, metrics, log }: WorkerContext,
  schedule: readonly number[] = STANDARD_SCHEDULE,
): JobHandler {
  return async (job, signal) => {
    const delivery = await parts.database.deliveries.get(job.data['delivery_id'] ?? '');
    if (delivery === null || delivery.state !== 'pending') return;
    const outcome = await send(delivery, signal);
    const attempt = judge(delivery, outcome);
    await parts.database.deliveries.recordAttempt(delivery.id, attempt);
    const refused = outcome.error?.startsWith('webhook_not_allowed') ?? false;
    metrics.webhookDeliveriesTotal.inc({ outcome: outcome.ok ? 'succeeded' : refused ? 'refused' : 'failed' });
    const { status, error, durationMs } = outcome;
    const fields = { delivery: delivery.id, merge: delivery.mergeId, type: delivery.type, status, error, durationMs };
    if (outcome.ok) log.debug(fields, 'webhook delivered');
    else log.info({ ...fields, next: attempt.nextAttemptAt ?? null }, 'webhook not delivered');
  };

  async function send(delivery: OutgoingDelivery, signal: AbortSignal): Promise<DeliveryOutcome> {
    const { id, url, secret, body } = delivery;
    if (secret === null) return { ...UNSENT, error: 'the webhook has no secret to sign with' };
    return deliver({ url, secrets: secret, id, body, policy: config.webhooks, signal });
  }

  function judge(delivery: OutgoingDelivery, outcome: DeliveryOutcome): DeliveryAttempt {
    const seen = {
      ...(outcome.status === null ? {} : { status: outcome.status }),
      ...(outcome.error === null ? {} : { error: outcome.error }),
    };
    if (outcome.ok) return { ...seen, state: 'succeeded' };
    // Progress is worth nothing later; 410 Gone means never again.
    const last = outcome.disable || delivery.secret === null || delivery.type === 'merge.progress';
    const next = last
      ? null
      : nextAttempt(delivery.attempts + 1, new Date(), outcome.retryAfterMs, Math.random, schedule);
    return next === null ? { ...seen, state: 'failed' } : { ...seen, nextAttemptAt: next };
  }
}

const UNSENT: DeliveryOutcome = {
  ok: false,
  status: null,
  error: null,
  retryAfterMs: null,
  responseHead: '',
  durationMs: 0,
  disable: false,
};
