import { ID_PATTERNS } from './ids.js';
import { type Static, Type } from './schema.js';
import { LANES, MERGE_STATES, type MergeState } from './states.js';

/**
 * What an API key may do: `read` asks, `write` changes, `webhooks:…` do so with webhook endpoints and deliveries only,
 * `*` does everything and manages keys.
 */
export const SCOPES = ['read', 'write', 'webhooks:read', 'webhooks:write', '*'] as const;
export type Scope = (typeof SCOPES)[number];

const Time = Type.String({ format: 'date-time', description: 'ISO 8601, UTC' });
const MaybeTime = Type.Union([Time, Type.Null()]);
const Count = Type.Integer({ minimum: 0 });

export const ApiKey = Type.Object(
  {
    object: Type.Literal('api_key'),
    id: Type.String({ pattern: ID_PATTERNS.apiKey }),
    name: Type.String(),
    scopes: Type.Array(Type.Enum([...SCOPES])),
    token: Type.Optional(Type.String({ description: 'The key itself: only in the answer to POST, and never again' })),
    created_at: Time,
    expires_at: MaybeTime,
    revoked_at: MaybeTime,
    last_used_at: MaybeTime,
  },
  { title: 'ApiKey' },
);
export type ApiKey = Static<typeof ApiKey>;

export const CreateApiKey = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 200 }),
    scopes: Type.Optional(
      Type.Array(Type.Enum([...SCOPES]), { minItems: 1, uniqueItems: true, description: 'Default: *, everything' }),
    ),
    expires_at: Type.Optional(Time),
  },
  { additionalProperties: false, title: 'CreateApiKey' },
);
export type CreateApiKey = Static<typeof CreateApiKey>;

/** Who a request speaks for: what its key may do, and until when its sign-in lasts. */
export const Session = Type.Object(
  {
    object: Type.Literal('session'),
    key_id: Type.String({ pattern: ID_PATTERNS.apiKey }),
    scopes: Type.Array(Type.Enum([...SCOPES])),
    expires_at: Type.Union([Time, Type.Null()], { description: 'Null for a request that sent its key itself' }),
  },
  { title: 'Session' },
);
export type Session = Static<typeof Session>;

export const CreateSession = Type.Object(
  { key: Type.String({ minLength: 1, maxLength: 512, description: 'An API key: amk_…' }) },
  { additionalProperties: false, title: 'CreateSession' },
);
export type CreateSession = Static<typeof CreateSession>;

/** How many merges of a project are in each state. */
export const MergeCounts = Type.Object(
  {
    object: Type.Literal('merge_counts'),
    ...(Object.fromEntries(MERGE_STATES.map((state) => [state, Count])) as Record<MergeState, typeof Count>),
  },
  { title: 'MergeCounts' },
);
export type MergeCounts = Static<typeof MergeCounts>;

export const LaneStatus = Type.Object({
  lane: Type.Enum([...LANES]),
  waiting: Count,
  delayed: Count,
  active: Count,
  failed: Count,
  workers: Type.Integer({ minimum: 0, description: 'Living workers that take its jobs' }),
  warning: Type.Optional(Type.String({ description: 'There when jobs wait and no living worker takes them' })),
});
export type LaneStatus = Static<typeof LaneStatus>;

export const WorkerStatus = Type.Object({
  id: Type.String(),
  lanes: Type.Array(Type.Enum([...LANES])),
  device: Type.String(),
  version: Type.String(),
  running: Count,
  started_at: Time,
  heartbeat_at: Time,
});
export type WorkerStatus = Static<typeof WorkerStatus>;

export const QueueStatus = Type.Object(
  {
    object: Type.Literal('queue'),
    lanes: Type.Array(LaneStatus),
    workers: Type.Array(WorkerStatus, { description: 'Those heard of lately' }),
  },
  { title: 'QueueStatus' },
);
export type QueueStatus = Static<typeof QueueStatus>;

export const Health = Type.Object(
  { status: Type.Literal('ok'), checks: Type.Optional(Type.Record(Type.String(), Type.Literal('ok'))) },
  { title: 'Health' },
);
export type Health = Static<typeof Health>;
