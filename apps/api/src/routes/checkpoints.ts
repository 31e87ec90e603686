import { ASSET_STATES, Checkpoint, CreateCheckpoint, List, TensorInfo } from '@amalgam/contracts';
import { toCheckpointResource } from '@amalgam/database';
import Type from 'typebox';
import { projectOf } from '../plugins/auth.js';
import { sendCheckpointFile } from '../services/checkpoint-files.js';
import { completeCheckpoint } from '../services/complete-checkpoint.js';
import { createCheckpoint } from '../services/create-checkpoint.js';
import type { Api } from '../types.js';
import {
  answers,
  assertId,
  FileParams,
  found,
  IdParams,
  MetadataFilter,
  NameFilter,
  nothing,
  Paging,
  page,
} from './schemas.js';

const tags = ['checkpoints'];

export async function checkpointRoutes(app: Api): Promise<void> {
  const { config, parts } = app;
  const { checkpoints } = parts.database;

  const get = async (projectId: string, id: string) => {
    assertId('checkpoint', id);
    return found(await checkpoints.get(projectId, id), 'checkpoint', id);
  };

  app.post(
    '/checkpoints',
    {
      schema: {
        operationId: 'createCheckpoint',
        tags,
        summary: 'Register what is stored, or begin an upload',
        description:
          'With `uri`: its headers are read now, and it is ready. With `files`: it is pending; PUT each file to its URL ' +
          'with exactly the stated number of bytes, and then complete it.',
        body: CreateCheckpoint,
        response: answers(
          { 201: Checkpoint },
          'invalid_request',
          'uri_not_allowed',
          'not_found',
          'invalid_checkpoint',
          'unsafe_format',
        ),
      },
    },
    async (request, reply) => {
      const checkpoint = await createCheckpoint(app, projectOf(request), request.body);
      return reply.code(201).header('location', `/v1/checkpoints/${checkpoint.id}`).send(checkpoint);
    },
  );

  app.post(
    '/checkpoints/:id/complete',
    {
      schema: {
        operationId: 'completeCheckpoint',
        tags,
        summary: 'Finish an upload: sizes, digests and headers are checked',
        params: IdParams,
        response: answers(
          { 200: Checkpoint },
          'not_found',
          'upload_incomplete',
          'digest_mismatch',
          'invalid_checkpoint',
          'unsafe_format',
          'checkpoint_changed',
        ),
      },
    },
    async (request, reply) => {
      // Hashing an upload that lies in S3 takes as long as reading it, and the client hears nothing meanwhile: with a
      // listener Node does not end the idle connection.
      reply.raw.on('timeout', () => {});
      const projectId = projectOf(request);
      return completeCheckpoint(parts, projectId, await get(projectId, request.params.id));
    },
  );

  app.get(
    '/checkpoints',
    {
      schema: {
        operationId: 'listCheckpoints',
        tags,
        summary: 'Checkpoints, the newest first',
        querystring: Type.Object(
          {
            ...Paging,
            state: Type.Optional(Type.Enum([...ASSET_STATES], { description: 'Default: pending and ready' })),
            name: NameFilter,
            metadata: MetadataFilter,
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: List(Checkpoint) }, 'invalid_request'),
      },
    },
    async (request) => {
      const { limit, after, ...filter } = request.query;
      const list = await checkpoints.list(projectOf(request), { ...filter, ...page({ limit, after }) });
      return { ...list, data: list.data.map(toCheckpointResource) };
    },
  );

  app.get(
    '/checkpoints/:id',
    {
      schema: {
        operationId: 'getCheckpoint',
        tags,
        summary: 'One checkpoint',
        params: IdParams,
        response: answers({ 200: Checkpoint }, 'not_found'),
      },
    },
    async (request) => toCheckpointResource(await get(projectOf(request), request.params.id)),
  );

  app.get(
    '/checkpoints/:id/tensors',
    {
      schema: {
        operationId: 'listTensors',
        tags,
        summary: 'Its tensors, by name',
        params: IdParams,
        querystring: Type.Object(
          {
            after: Paging.after,
            limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Default 100' })),
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
      const all = found(await checkpoints.inventory(projectOf(request), id), 'checkpoint', id);
      const part = q?.toLowerCase();
      const left = all
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

  app.route({
    method: ['GET', 'HEAD'],
    url: '/checkpoints/:id/files/*',
    schema: {
      operationId: 'getCheckpointFile',
      tags,
      summary: 'One of its files: the bytes, or a redirect to them',
      params: FileParams,
      response: answers({}, 'not_found', 'checkpoint_not_ready', 'checkpoint_changed'),
    },
    handler: async (request, reply) => {
      const checkpoint = await get(projectOf(request), request.params.id);
      return sendCheckpointFile(request, reply, { parts, config }, checkpoint, request.params['*']);
    },
  });

  app.delete(
    '/checkpoints/:id',
    {
      schema: {
        operationId: 'deleteCheckpoint',
        tags,
        summary: 'Delete it, with its bytes unless it was registered by URI',
        params: IdParams,
        response: answers({ 204: nothing('Deleted') }, 'not_found', 'checkpoint_in_use'),
      },
    },
    async (request, reply) => {
      assertId('checkpoint', request.params.id);
      const row = await checkpoints.softDelete(projectOf(request), request.params.id);
      if (row.storePrefix !== null) {
        // It is deleted by now, whatever becomes of the bytes.
        await parts.store.deletePrefix(row.storePrefix).catch((err: unknown) => {
          request.log.warn({ err, checkpoint: row.id }, 'the bytes of a deleted checkpoint could not be removed');
        });
      }
      return reply.code(204).send();
    },
  );
}
