import { DELIVERY_TYPES, ENDPOINT_EVENT_TYPES, EVENT_TYPES } from './events.js';
import { ID_PATTERNS } from './ids.js';
import { Merge } from './resources.js';
import { type Static, type TSchema, Type } from './schema.js';
import { DELIVERY_STATES, DISABLED_REASONS } from './states.js';

const closed = { additionalProperties: false } as const;
const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Time = Type.String({ format: 'date-time', description: 'ISO 8601, UTC' });

/** Bodies of webhooks are smaller than this, in bytes. */
export const WEBHOOK_BODY_LIMIT = 20_000;

/** How long a replaced secret signs beside the new one, in seconds, unless the rotation says otherwise: a day. */
export const SECRET_OVERLAP_SECONDS = 86_400;

const Url = Type.String({ minLength: 1, maxLength: 2048, description: 'https, to a public address' });
const Description = Type.String({ maxLength: 500 });
const Events = Type.Array(Type.Enum([...ENDPOINT_EVENT_TYPES]), {
  minItems: 1,
  uniqueItems: true,
  description: 'Types of events that it gets. Default: all but merge.progress',
});
const Secret = Type.String({
  pattern: '^whsec_[A-Za-z0-9+/]{32,86}={0,2}$',
  description: 'Standard Webhooks secret; made for you when left out',
});

export const WebhookEndpoint = Type.Object(
  {
    object: Type.Literal('webhook_endpoint'),
    id: Type.String({ pattern: ID_PATTERNS.webhookEndpoint }),
    url: Type.String(),
    description: Nullable(Type.String()),
    events: Type.Array(Type.Enum([...ENDPOINT_EVENT_TYPES])),
    enabled: Type.Boolean(),
    disabled: Nullable(
      Type.Object({
        reason: Type.Enum([...DISABLED_REASONS], {
          description:
            'user: its owner said so; gone: it answered 410; exhausted: it took nothing while the whole retry schedule ran',
        }),
        at: Time,
      }),
    ),
    secret: Type.Optional(
      Type.String({ description: 'Only in the answers to POST and to rotate-secret, and never again' }),
    ),
    old_secrets_expire_at: Nullable(
      Type.String({
        format: 'date-time',
        description: 'Until then replaced secrets sign too, the last of them; null when there are none',
      }),
    ),
    created_at: Time,
    updated_at: Time,
  },
  { title: 'WebhookEndpoint' },
);
export type WebhookEndpoint = Static<typeof WebhookEndpoint>;

export const CreateWebhookEndpoint = Type.Object(
  {
    url: Url,
    description: Type.Optional(Description),
    events: Type.Optional(Events),
    enabled: Type.Optional(Type.Boolean()),
    secret: Type.Optional(Secret),
  },
  { ...closed, title: 'CreateWebhookEndpoint' },
);
export type CreateWebhookEndpoint = Static<typeof CreateWebhookEndpoint>;

export const UpdateWebhookEndpoint = Type.Object(
  {
    url: Type.Optional(Url),
    description: Type.Optional(Nullable(Description)),
    events: Type.Optional(Events),
    enabled: Type.Optional(Type.Boolean({ description: 'true also takes back that it was disabled by itself' })),
  },
  { ...closed, minProperties: 1, title: 'UpdateWebhookEndpoint' },
);
export type UpdateWebhookEndpoint = Static<typeof UpdateWebhookEndpoint>;

export const RotateSecret = Type.Object(
  {
    secret: Type.Optional(Secret),
    overlap_seconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 7 * 86_400,
        description: 'How long the old secret signs beside the new one; default: a day, 86400',
      }),
    ),
  },
  { ...closed, title: 'RotateSecret' },
);
export type RotateSecret = Static<typeof RotateSecret>;

export const RedeliverFailed = Type.Object(
  {
    since: Type.String({ format: 'date-time', description: 'Failed deliveries of events from then on' }),
    type: Type.Optional(Type.Enum([...DELIVERY_TYPES])),
  },
  { ...closed, title: 'RedeliverFailed' },
);
export type RedeliverFailed = Static<typeof RedeliverFailed>;

export const Redelivered = Type.Object(
  {
    object: Type.Literal('redelivery'),
    deliveries: Type.Integer({ minimum: 0, description: 'How many are sent again' }),
  },
  { title: 'Redelivered' },
);
export type Redelivered = Static<typeof Redelivered>;

/** The body that a webhook receives (Standard Webhooks 1.0): `data` is the object that GET returns. */
export const WebhookBody = Type.Object(
  {
    type: Type.Enum([...EVENT_TYPES]),
    timestamp: Time,
    data: Merge,
    truncated: Type.Optional(
      Type.Array(Type.String(), {
        description: 'JSON pointers to what was emptied or shortened to keep the body under 20 kB; GET has all of it',
      }),
    ),
  },
  { title: 'WebhookBody' },
);
export type WebhookBody = Static<typeof WebhookBody>;

/** The body of webhook.test and webhook.disabled. */
export const EndpointWebhookBody = Type.Object(
  { type: Type.Enum(['webhook.test', 'webhook.disabled']), timestamp: Time, data: WebhookEndpoint },
  { title: 'EndpointWebhookBody' },
);
export type EndpointWebhookBody = Static<typeof EndpointWebhookBody>;

const delivery = {
  object: Type.Literal('delivery'),
  id: Type.String({ pattern: ID_PATTERNS.delivery, description: 'The `webhook-id` of every try' }),
  type: Type.Enum([...DELIVERY_TYPES]),
  endpoint_id: Nullable(Type.String({ description: 'Null for the webhook that a merge brought along' })),
  event_id: Nullable(Type.String({ description: 'Null for a test' })),
  merge_id: Nullable(Type.String()),
  url: Type.String(),
  state: Type.Enum([...DELIVERY_STATES]),
  attempts: Type.Integer({ minimum: 0 }),
  last_status: Nullable(Type.Integer()),
  last_error: Nullable(Type.String()),
  next_attempt_at: Nullable(Time),
  created_at: Time,
  finished_at: Nullable(Time),
};

export const Delivery = Type.Object(delivery, { title: 'Delivery' });
export type Delivery = Static<typeof Delivery>;

/** One try of a delivery. */
export const DeliveryTry = Type.Object(
  {
    number: Type.Integer({ minimum: 1 }),
    url: Type.String(),
    started_at: Time,
    duration_ms: Type.Integer({ minimum: 0 }),
    request_headers: Type.Record(Type.String(), Type.String(), {
      description: 'Empty when nothing was sent: the address was not allowed',
    }),
    status: Nullable(Type.Integer({ description: 'Null when there was no answer' })),
    response_head: Type.String({ description: 'The first kilobyte of the answer' }),
    error: Nullable(Type.String()),
  },
  { title: 'DeliveryTry' },
);
export type DeliveryTry = Static<typeof DeliveryTry>;

export const DeliveryDetails = Type.Object(
  {
    ...delivery,
    body: Type.String({ description: 'The JSON text that is signed and sent, the same in every try' }),
    tries: Type.Array(DeliveryTry, { description: 'The last fifty, the oldest first' }),
  },
  { title: 'DeliveryDetails' },
);
export type DeliveryDetails = Static<typeof DeliveryDetails>;
