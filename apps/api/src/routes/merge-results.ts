import { AmalgamError, AssetFile, Delivery, List, Report, Type } from '@amalgam/contracts';
import { toCheckpointResource, toDeliveryResource } from '@amalgam/database';
import { projectOf } from '../plugins/auth.js';
import { sendAssetFile } from '../services/asset-files.js';
import type { Api } from '../types.js';
import { answers, assertId, FileParams, found, IdParams, Paging, page } from './schemas.js';

const tags = ['merges'];

/** What a merge leaves behind. */
export async function mergeResultRoutes(app: Api): Promise<void> {
  const { parts, config } = app;
  const { merges, checkpoints, deliveries } = parts.database;

  const result = async (projectId: string, id: string) => {
    assertId('merge', id);
    const merge = found(await merges.get(projectId, id), 'merge', id);
    const checkpoint = merge.result === null ? null : await checkpoints.get(projectId, merge.result.id);
    if (checkpoint !== null) return checkpoint;
    const why = merge.result === null ? `has none: it is ${merge.state}` : 'was deleted';
    throw new AmalgamError('not_found', `the result of ${id} ${why}`);
  };

  app.get(
    '/merges/:id/report',
    {
      schema: {
        operationId: 'getReport',
        tags,
        summary: 'The report, once it has succeeded',
        params: IdParams,
        response: answers({ 200: Report }, 'not_found'),
      },
    },
    async (request) => {
      const { id } = request.params;
      assertId('merge', id);
      const { report, state } = found(await merges.details(projectOf(request), id), 'merge', id);
      if (report === null) throw new AmalgamError('not_found', `${id} has no report: it is ${state}`);
      return report as Report;
    },
  );

  app.get(
    '/merges/:id/files',
    {
      schema: {
        operationId: 'listResultFiles',
        tags,
        summary: 'The result’s files',
        params: IdParams,
        response: answers({ 200: List(AssetFile) }, 'not_found'),
      },
    },
    async (request) => {
      const { files } = toCheckpointResource(await result(projectOf(request), request.params.id));
      return { data: files, has_more: false, next_cursor: null };
    },
  );

  app.route({
    method: ['GET', 'HEAD'],
    url: '/merges/:id/files/*',
    schema: {
      operationId: 'getResultFile',
      tags,
      summary: 'One of the result’s files: the bytes, or a redirect to them',
      params: FileParams,
      response: answers({}, 'not_found', 'checkpoint_changed'),
    },
    handler: async (request, reply) => {
      const checkpoint = await result(projectOf(request), request.params.id);
      return sendAssetFile(request, reply, { parts, config }, checkpoint, request.params['*']);
    },
  });

  app.get(
    '/merges/:id/deliveries',
    {
      schema: {
        operationId: 'listDeliveries',
        tags,
        summary: 'Deliveries of its events to its webhook, the newest first',
        params: IdParams,
        querystring: Type.Object(Paging, { additionalProperties: false }),
        response: answers({ 200: List(Delivery) }, 'invalid_request', 'not_found'),
      },
    },
    async (request) => {
      assertId('merge', request.params.id);
      const list = await deliveries.listByMerge(projectOf(request), request.params.id, page(request.query));
      return { ...list, data: list.data.map(toDeliveryResource) };
    },
  );
}
