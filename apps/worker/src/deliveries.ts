import { isDroppable } from '@amalgam/contracts';
import type { DeliveryAttempt, OutgoingDelivery } from '@amalgam/database';
import type { JobHandler } from '@amalgam/queue';
import { type DeliveryOutcome, deliver, nextAttempt, STANDARD_SCHEDULE } from '@amalgam/webhooks';
import type { WorkerContext } from './context.js';

/** Deliveries at once: they wait for other people's servers and compute nothing. */
export const DELIVERIES_AT_ONCE = 16;

/** One receiver gets no more of them, so that others do not wait for one that never answers. */
const AT_ONCE_PER_HOST = 8;
/** When there are as many, the next ones come back so much later, give or take a half. */
const HOST_PAUSE_MS = 4_000;

/** News of progress that waited for longer than this is dropped, so that a slow receiver's make no queue before the rest. */
const STALE_PROGRESS_MS = 10_000;
/** And its receiver gets less time than the 15 s of others. */
const PROGRESS_TIMEOUT_MS = 5_000;

/**
 * Sends webhooks. A delivery that was sent and not noted is sent again with the same id: receivers drop repeats by it.
 */
export function deliveryHandler(
  { config, parts, metrics, log }: WorkerContext,
  schedule: readonly number[] = STANDARD_SCHEDULE,
): JobHandler {
  const { deliveries } = parts.database;
  const hosts = new Places(AT_ONCE_PER_HOST);
  return async (job, signal) => {
    const delivery = await deliveries.get(job.data['delivery_id'] ?? '');
    if (delivery === null || delivery.state !== 'pending') return;
    const why = unsendable(delivery);
    if (why !== null) {
      await deliveries.recordAttempt(delivery.id, { state: 'failed', error: why });
      return;
    }
    const { id, url, secrets, body, type } = delivery;
    const { host } = new URL(url);
    if (!hosts.take(host)) {
      await deliveries.postpone(id, new Date(Date.now() + HOST_PAUSE_MS * (0.5 + Math.random())));
      return;
    }
    const outcome = await deliver({
      ...{ url, secrets, id, body, policy: config.webhooks, signal },
      ...(isDroppable(type) ? { timeoutMs: PROGRESS_TIMEOUT_MS } : {}),
    }).finally(() => hosts.leave(host));
    const attempt = judge(delivery, outcome, schedule);
    const { disabled } = await deliveries.recordAttempt(id, attempt);
    const refused = outcome.error?.startsWith('webhook_not_allowed') ?? false;
    metrics.webhookDeliveriesTotal.inc({ outcome: outcome.ok ? 'succeeded' : refused ? 'refused' : 'failed' });
    const { status, error, durationMs } = outcome;
    const fields = { delivery: id, merge: delivery.mergeId, type, status, error, durationMs };
    if (outcome.ok) log.debug(fields, 'webhook delivered');
    else log.info({ ...fields, next: attempt.nextAttemptAt ?? null }, 'webhook not delivered');
    const { endpointId, mergeId } = delivery;
    const whose = endpointId === null ? { merge: mergeId } : { endpoint: endpointId };
    if (disabled) log.warn({ ...whose, reason: attempt.disable }, 'webhook disabled');
  };
}

/** Counts who is where, up to so many at each place. */
class Places {
  readonly #taken = new Map<string, number>();

  constructor(readonly most: number) {}

  /** False when the place is full. */
  take(place: string): boolean {
    const taken = this.#taken.get(place) ?? 0;
    if (taken >= this.most) return false;
    this.#taken.set(place, taken + 1);
    return true;
  }

  leave(place: string): void {
    const left = (this.#taken.get(place) ?? 1) - 1;
    if (left === 0) this.#taken.delete(place);
    else this.#taken.set(place, left);
  }
}

/** Why there is nothing to try; null when there is. */
function unsendable({ enabled, secrets, type, scheduledAt }: OutgoingDelivery): string | null {
  if (!enabled) return 'the endpoint is disabled';
  if (secrets.length === 0) return 'the webhook has no secret to sign with';
  if (isDroppable(type) && Date.now() - scheduledAt.getTime() > STALE_PROGRESS_MS) {
    return `dropped: it waited for more than ${STALE_PROGRESS_MS / 1000} s`;
  }
  return null;
}

function judge(delivery: OutgoingDelivery, outcome: DeliveryOutcome, schedule: readonly number[]): DeliveryAttempt {
  const { status, error, startedAt, durationMs, requestHeaders, responseHead } = outcome;
  const seen = {
    ...(status === null ? {} : { status }),
    ...(error === null ? {} : { error }),
    sent: { url: delivery.url, startedAt, durationMs, headers: requestHeaders, responseHead },
  };
  if (outcome.ok) return { ...seen, state: 'succeeded' };
  // Progress is worth nothing later, and whoever tests wants to know now.
  if (isDroppable(delivery.type) || delivery.type === 'webhook.test') return { ...seen, state: 'failed' };
  if (outcome.disable) return { ...seen, state: 'failed', disable: 'gone' };
  const next = nextAttempt(delivery.scheduleStep + 1, new Date(), outcome.retryAfterMs, Math.random, schedule);
  return next === null ? { ...seen, state: 'failed', disable: 'exhausted' } : { ...seen, nextAttemptAt: next };
}
