import { List, TensorHistogram, TensorInfo, Type } from '@amalgam/contracts';
import { projectOf } from '../plugins/auth.js';
import { TensorHistograms } from '../services/tensor-histograms.js';
import type { Api } from '../types.js';
import { answers, assertId, found, IdParams, Paging } from './schemas.js';

/** What only checkpoints have; the rest is in assets.ts. */
export async function checkpointRoutes(app: Api): Promise<void> {
  const { checkpoints } = app.parts.database;
  const histograms = new TensorHistograms(app);

  app.get(
    '/checkpoints/:id/tensors',
    {
      schema: {
        operationId: 'listTensors',
        tags: ['checkpoints'],
        summary: 'Its tensors, by name',
        params: IdParams,
        querystring: Type.Object(
          {
            after: Paging.after,
            limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description: 'Default 100' })),
            q: Type.Optional(Type.String({ minLength: 1, maxLength: 1024, description: 'A part of the name' })),
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: List(TensorInfo) }, 'invalid_request', 'not_found'),
      },
    },
    async (request) => {
      const { id } = request.params;
      const { after, limit = 100, q } = request.query;
      assertId('checkpoint', id);
      const { tensors } = found(await checkpoints.inventory(projectOf(request), id), 'checkpoint', id);
      const part = q?.toLowerCase();
      const left = tensors
        .filter(
          ({ name }) =>
            (after === undefined || name > after) && (part === undefined || name.toLowerCase().includes(part)),
        )
        .sort((a, b) => (a.name < b.name ? -1 : 1));
      const data = left.slice(0, limit);
      const more = left.length > limit;
      return { data, has_more: more, next_cursor: more ? (data.at(-1)?.name ?? null) : null };
    },
  );

  app.get(
    '/checkpoints/:id/tensors/:name/histogram',
    {
      schema: {
        operationId: 'getTensorHistogram',
        tags: ['checkpoints'],
        summary: 'How the values of a tensor are spread',
        description: 'Of a tensor above 64 MiB, as many bytes are read, in blocks spread evenly over it.',
        params: Type.Object({ id: Type.String(), name: Type.String() }),
        querystring: Type.Object(
          { bins: Type.Optional(Type.Integer({ minimum: 1, maximum: 512, description: 'Default 64' })) },
          { additionalProperties: false },
        ),
        response: answers(
          { 200: TensorHistogram },
          'invalid_request',
          'not_found',
          'checkpoint_not_ready',
          'checkpoint_changed',
          'uri_not_allowed',
          'unavailable',
        ),
      },
    },
    async (request) => {
      const { id, name } = request.params;
      assertId('checkpoint', id);
      const row = found(await checkpoints.get(projectOf(request), id), 'checkpoint', id);
      return histograms.get(row, name, request.query.bins ?? 64);
    },
  );
}
