import type { DeliveryState, DisabledReason, Session } from '@amalgam/contracts';

/** Whether the session's key may change endpoints and send again. */
export function mayWriteWebhooks({ scopes }: Session): boolean {
  return (['*', 'write', 'webhooks:write'] as const).some((scope) => scopes.includes(scope));
}

/** The words of a disabled endpoint's reason. */
export const WHY_DISABLED: Record<DisabledReason, string> = {
  user: 'It was disabled here or through the API. Nothing is sent to it.',
  gone: 'It answered 410 Gone: it wants no more.',
  exhausted: 'It took nothing while a whole retry schedule ran. What happens meanwhile is kept as failed deliveries.',
};

/** The badge that says the same of a merge. */
export const BADGES: Record<DeliveryState, { look: string; sign: string }> = {
  pending: { look: 'queued', sign: '○' },
  succeeded: { look: 'succeeded', sign: '●' },
  failed: { look: 'failed', sign: '✕' },
};
