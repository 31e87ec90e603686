import { isAmalgamError, List, MergeEvent, Type } from '@amalgam/contracts';
import { assertAllowed, projectOf } from '../plugins/auth.js';
import { streamEvents } from '../services/event-stream.js';
import { lastEventId, wantsStream } from '../services/stream-request.js';
import type { Api } from '../types.js';
import { answers, assertId, found, IdParams } from './schemas.js';

/** Of an event of a merge: what the database has room for. */
const MOST_SEQ = 2 ** 31 - 1;

export async function mergeEventRoutes(app: Api): Promise<void> {
  const { database } = app.parts;

  app.get(
    '/merges/:id/events',
    {
      exposeHeadRoute: false,
      schema: {
        operationId: 'listMergeEvents',
        tags: ['merges'],
        summary: 'Its events, as a list or as a stream',
        description:
          'With `Accept: text/event-stream` a stream of server-sent events: first those after `Last-Event-ID` (or `after`), ' +
          'then new ones, until the merge has ended. `id` is the event’s `seq`, `event` its type, `data` the event. ' +
          'A client that has everything of an ended merge gets 204.',
        params: IdParams,
        querystring: Type.Object(
          {
            after: Type.Optional(Type.Integer({ minimum: 0, maximum: MOST_SEQ, description: 'A `seq`; default 0' })),
            limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Of a list; default 100' })),
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: List(MergeEvent) }, 'invalid_request', 'not_found'),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { after = 0, limit = 100 } = request.query;
      const projectId = projectOf(request);
      assertId('merge', id);
      if (!wantsStream(request.headers)) {
        // One more than asked for tells whether there are more.
        const events = await database.events.listAfter(projectId, id, after, Math.min(limit + 1, 1000));
        const data = events.slice(0, limit);
        const more = events.length > limit || (limit === 1000 && events.length === 1000);
        return { data, has_more: more, next_cursor: more ? String(data.at(-1)?.seq ?? after) : null };
      }
      const merge = found(await database.merges.get(projectId, id), 'merge', id);
      const from = lastEventId(request.headers, MOST_SEQ) ?? after;
      const services = { database, hub: app.eventHub, timing: app.timing };
      try {
        await streamEvents(reply, services, {
          ...{ projectId, mergeId: id, state: merge.state, after: from },
          assertAllowed: () => assertAllowed(app, request),
        });
      } catch (error) {
        if (!reply.raw.headersSent) throw error;
        // The stream is cut; the client comes back with the last number that it saw, and is told why it may not.
        if (!isAmalgamError(error) || error.status >= 500) {
          request.log.warn({ err: error, merge: id }, 'an event stream broke');
        }
      }
      return reply;
    },
  );
}
