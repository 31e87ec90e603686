import type { Config, Parts } from '@amalgam/runtime';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { EventHub } from './services/event-hub.js';
import type { InFlight } from './services/in-flight.js';
import type { Sessions } from './services/session.js';
import type { WrittenRecipe } from './services/written-recipe.js';

/** The application: its schemas are TypeBox's, so bodies, queries and answers have their types. */
export type Api = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression<RawServerDefault>,
  RawReplyDefaultExpression<RawServerDefault>,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** Who asks. */
export interface Caller {
  projectId: string;
  keyId: string;
  scopes: readonly string[];
  /** When its sign-in ends; null for a request that sent its key itself. */
  sessionEnds: Date | null;
}

/** An Idempotency-Key that this request holds. */
export interface HeldKey {
  key: string;
  token: string;
  /** Completed by the handler itself, inside its transaction. */
  completed: boolean;
}

/** In milliseconds. */
export interface Timing {
  /** Between two signs of life of an event stream. */
  heartbeatMs: number;
  /** How often an event stream looks for events that no NOTIFY announced. */
  pollMs: number;
  /** How long a request's body may take to arrive; uploads may take as long as they like. */
  bodyMs: number;
}

declare module 'fastify' {
  interface FastifyInstance {
    config: Config;
    parts: Parts;
    eventHub: EventHub;
    inFlight: InFlight;
    sessions: Sessions;
    timing: Timing;
  }
  interface FastifyRequest {
    caller: Caller | null;
    idempotency: HeldKey | null;
    /** Of requests whose recipe is in another language than ours. */
    written: WrittenRecipe | null;
  }
}
