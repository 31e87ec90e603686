import type { EndpointEventType, WebhookEndpoint } from '@amalgam/contracts';
import type { WebhookEndpoint as Columns } from '../generated/client.js';

/** An endpoint; its secrets are sealed. */
export type WebhookEndpointRow = Columns;

/** A secret that was replaced: sealed, and until when it signs beside the new one. */
export interface OldSecret {
  secret: string;
  /** ISO 8601. */
  until: string;
}

/** Those that sign yet, the newest first. */
export function livingSecrets({ oldSecrets }: Pick<Columns, 'oldSecrets'>, now: Date): OldSecret[] {
  return (oldSecrets as unknown as OldSecret[]).filter(({ until }) => Date.parse(until) > now.getTime());
}

/** The contract's WebhookEndpoint, for GET and for webhooks. No secret is ever in it. */
export function toWebhookEndpointResource(row: WebhookEndpointRow): WebhookEndpoint {
  const ends = livingSecrets(row, new Date()).map(({ until }) => until);
  return {
    object: 'webhook_endpoint',
    id: row.id,
    url: row.url,
    description: row.description,
    events: row.events as EndpointEventType[],
    enabled: row.enabled,
    disabled:
      row.disabledReason === null || row.disabledAt === null
        ? null
        : { reason: row.disabledReason, at: row.disabledAt.toISOString() },
    old_secrets_expire_at: ends.sort().at(-1) ?? null,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  };
}
