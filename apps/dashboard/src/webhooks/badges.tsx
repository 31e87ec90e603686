import type { DeliveryState, WebhookEndpoint } from '@amalgam/contracts';
import { BADGES } from './words.js';

export function DeliveryBadge({ state }: { state: DeliveryState }) {
  const { look, sign } = BADGES[state];
  return (
    <span className={`badge ${look}`}>
      <span aria-hidden="true">{sign}</span> {state}
    </span>
  );
}

export function EndpointBadge({ endpoint: { enabled, disabled } }: { endpoint: WebhookEndpoint }) {
  if (enabled) {
    return (
      <span className="badge succeeded">
        <span aria-hidden="true">●</span> enabled
      </span>
    );
  }
  const own = disabled?.reason === 'user';
  return (
    <span className={`badge ${own ? 'canceled' : 'failed'}`}>
      <span aria-hidden="true">{own ? '⊘' : '✕'}</span> disabled{own ? '' : `: ${disabled?.reason}`}
    </span>
  );
}
