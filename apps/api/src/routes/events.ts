import { ENDPOINT_EVENT_TYPES, ID_PATTERNS, isAmalgamError, List, ProjectEvent, Type } from '@amalgam/contracts';
import { assertAllowed, callerOf } from '../plugins/auth.js';
import { StreamPlaces, streamProject } from '../services/project-stream.js';
import { lastEventId, wantsStream } from '../services/stream-request.js';
import type { Api } from '../types.js';
import { answers, timeOf } from './schemas.js';

const Position = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'A `position`: events that come after it. Default: 0 for a list, now for a stream',
});

const EventQuery = Type.Object(
  {
    after: Type.Optional(Position),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Of a list; default 100' })),
    type: Type.Optional(
      Type.Array(Type.Enum([...ENDPOINT_EVENT_TYPES]), { description: 'May come several times: any of them' }),
    ),
    merge: Type.Optional(Type.String({ pattern: ID_PATTERNS.merge, description: 'Events of this merge' })),
    since: Type.Optional(
      Type.String({ format: 'date-time', description: 'Events that were written then or later, those that were, too' }),
    ),
    deliveries: Type.Optional(
      Type.Boolean({ description: 'Of a stream: also `deliveries.changed`, which is no event and has no id' }),
    ),
  },
  { additionalProperties: false },
);

/** The events of a project, of all its merges and endpoints. */
export async function eventRoutes(app: Api): Promise<void> {
  const { database } = app.parts;
  const places = new StreamPlaces();

  app.get(
    '/events',
    {
      exposeHeadRoute: false,
      schema: {
        operationId: 'listEvents',
        tags: ['events'],
        summary: 'Events of all merges and webhook endpoints, the oldest first, as a list or as a stream',
        description:
          'With `Accept: text/event-stream` a stream of server-sent events that has no end: what comes after `Last-Event-ID` or ' +
          '`after`, what was written since `since`, or else what comes from now on. `id` is the event’s `position`, `event` its ' +
          'type, `data` the event. Positions rise in the order in which events can be seen: whoever goes on after the ' +
          'last one misses none and gets none twice.',
        querystring: EventQuery,
        response: answers({ 200: List(ProjectEvent) }, 'invalid_request', 'rate_limited'),
      },
    },
    async (request, reply) => {
      const { after, limit = 100, type, merge, since, deliveries = false } = request.query;
      const { projectId, keyId } = callerOf(request);
      const filter = {
        ...(type === undefined ? {} : { types: type }),
        ...(merge === undefined ? {} : { mergeId: merge }),
        ...(since === undefined ? {} : { since: timeOf(since, '/since') }),
      };
      if (!wantsStream(request.headers)) {
        const { events, more, position } = await database.events.listOfProject(projectId, after, limit, filter);
        return { data: events, has_more: more, next_cursor: more ? String(position) : null };
      }
      const from = lastEventId(request.headers, Number.MAX_SAFE_INTEGER) ?? after ?? (since === undefined ? null : 0);
      const services = { database, hub: app.eventHub, timing: app.timing };
      const allowed = () => assertAllowed(app, request);
      const leave = places.take(keyId);
      try {
        await streamProject(reply, services, { projectId, after: from, filter, deliveries, assertAllowed: allowed });
      } catch (error) {
        if (!reply.raw.headersSent) throw error;
        // The stream is cut; the client comes back with the last position that it saw, and is told why it may not.
        if (!isAmalgamError(error) || error.status >= 500) request.log.warn({ err: error }, 'an event stream broke');
      } finally {
        leave();
      }
      return reply;
    },
  );
}
