import {
  ASSET_STATES,
  type AssetKind,
  type AssetResources,
  Checkpoint,
  CreateCheckpoint,
  CreateDataset,
  CreateGraph,
  Dataset,
  type ErrorCode,
  Graph,
  List,
  type TSchema,
  type TUnsafe,
  Type,
} from '@amalgam/contracts';
import { type AssetRow, toAssetResource } from '@amalgam/database';
import { KIND_RULES, type Parts } from '@amalgam/runtime';
import { projectOf } from '../plugins/auth.js';
import { sendAssetFile } from '../services/asset-files.js';
import { completeAsset } from '../services/complete-asset.js';
import { createAsset } from '../services/create-asset.js';
import { resumeUpload } from '../services/sign-uploads.js';
import { dropParts } from '../services/upload-parts.js';
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

/** What the document says of a kind. */
interface KindDocument {
  resource: TSchema;
  create: typeof CreateCheckpoint;
  /** What its files can be refused for. */
  refusals: ErrorCode[];
}

const DOCUMENTS: Record<AssetKind, KindDocument> = {
  checkpoint: { resource: Checkpoint, create: CreateCheckpoint, refusals: ['invalid_checkpoint', 'unsafe_format'] },
  graph: { resource: Graph, create: CreateGraph, refusals: ['invalid_graph', 'unsupported_graph'] },
  dataset: { resource: Dataset, create: CreateDataset, refusals: ['invalid_dataset', 'unsafe_format'] },
};

/** The life of an asset, which is the same for all kinds: registered or uploaded, completed, listed, read, deleted. */
export function assetRoutes(kind: AssetKind): (app: Api) => Promise<void> {
  const { plural } = KIND_RULES[kind];
  const { create, refusals } = DOCUMENTS[kind];
  // The schemas' own types differ by kind; this is what the handlers return.
  const Resource = DOCUMENTS[kind].resource as TUnsafe<AssetResources[AssetKind]>;
  const noun = kind.charAt(0).toUpperCase() + kind.slice(1);
  const tags = [plural];

  return async (app) => {
    const { config, parts } = app;
    const repository = parts.database.assets(kind);

    const get = async (projectId: string, id: string) => {
      assertId(kind, id);
      return found(await repository.get(projectId, id), kind, id);
    };

    app.post(
      `/${plural}`,
      {
        schema: {
          operationId: `create${noun}`,
          tags,
          summary: 'Register what is stored, or begin an upload',
          description:
            'With `uri`: its headers are read now, and it is ready. With `files`: it is pending; PUT each file to its URL ' +
            'with exactly the stated number of bytes, or its parts to theirs, and then complete it.',
          body: create,
          response: answers({ 201: Resource }, 'invalid_request', 'uri_not_allowed', 'not_found', ...refusals),
        },
      },
      async (request, reply) => {
        const asset = await createAsset(app, kind, projectOf(request), request.body);
        return reply.code(201).header('location', `/v1/${plural}/${asset.id}`).send(asset);
      },
    );

    app.post(
      `/${plural}/:id/complete`,
      {
        schema: {
          operationId: `complete${noun}`,
          tags,
          summary: 'Finish an upload: parts become files; sizes, digests and headers are checked',
          params: IdParams,
          response: answers(
            { 200: Resource },
            'not_found',
            'upload_incomplete',
            'digest_mismatch',
            ...refusals,
            'checkpoint_changed',
          ),
        },
      },
      async (request, reply) => {
        // Hashing an upload that lies in S3 takes as long as reading it, and the client hears nothing meanwhile: with a
        // listener Node does not end the idle connection.
        reply.raw.on('timeout', () => {});
        const projectId = projectOf(request);
        return completeAsset(parts, kind, projectId, await get(projectId, request.params.id));
      },
    );

    app.post(
      `/${plural}/:id/uploads`,
      {
        schema: {
          operationId: `resume${noun}Upload`,
          tags,
          summary: 'Go on with an upload: new links for the files, and parts of them, that have not arrived',
          params: IdParams,
          response: answers({ 200: Resource }, 'not_found', 'object_exists'),
        },
      },
      async (request) => resumeUpload(parts, kind, await get(projectOf(request), request.params.id)),
    );

    app.get(
      `/${plural}`,
      {
        schema: {
          operationId: `list${noun}s`,
          tags,
          summary: `${noun}s, the newest first`,
          querystring: Type.Object(
            {
              ...Paging,
              state: Type.Optional(Type.Enum([...ASSET_STATES], { description: 'Default: pending and ready' })),
              name: NameFilter,
              metadata: MetadataFilter,
            },
            { additionalProperties: false },
          ),
          response: answers({ 200: List(Resource) }, 'invalid_request'),
        },
      },
      async (request) => {
        const { limit, after, ...filter } = request.query;
        const list = await repository.list(projectOf(request), { ...filter, ...page({ limit, after }) });
        return { ...list, data: list.data.map((row) => toAssetResource(kind, row)) };
      },
    );

    app.get(
      `/${plural}/:id`,
      {
        schema: {
          operationId: `get${noun}`,
          tags,
          summary: `One ${kind}`,
          params: IdParams,
          response: answers({ 200: Resource }, 'not_found'),
        },
      },
      async (request) => toAssetResource(kind, await get(projectOf(request), request.params.id)),
    );

    app.route({
      method: ['GET', 'HEAD'],
      url: `/${plural}/:id/files/*`,
      schema: {
        operationId: `get${noun}File`,
        tags,
        summary: 'One of its files: the bytes, or a redirect to them',
        params: FileParams,
        response: answers({}, 'not_found', `${kind}_not_ready`, 'checkpoint_changed'),
      },
      handler: async (request, reply) => {
        const asset = await get(projectOf(request), request.params.id);
        return sendAssetFile(request, reply, { parts, config }, asset, request.params['*']);
      },
    });

    app.delete(
      `/${plural}/:id`,
      {
        schema: {
          operationId: `delete${noun}`,
          tags,
          summary: 'Delete it, with its bytes unless it was registered by URI',
          params: IdParams,
          response: answers({ 204: nothing('Deleted') }, 'not_found', `${kind}_in_use`),
        },
      },
      async (request, reply) => {
        assertId(kind, request.params.id);
        const row = await repository.softDelete(projectOf(request), request.params.id);
        if (row.storePrefix !== null) {
          // It is deleted by now, whatever becomes of the bytes.
          await removeBytes(parts, row, row.storePrefix).catch((err: unknown) => {
            request.log.warn({ err, [kind]: row.id }, `the bytes of a deleted ${kind} could not be removed`);
          });
        }
        return reply.code(204).send();
      },
    );
  };
}

async function removeBytes(parts: Parts, row: AssetRow, prefix: string): Promise<void> {
  // First what is on its way: a part that arrives now must not become a file.
  if (row.expiresAt !== null) await dropParts(parts, row);
  await parts.store.deletePrefix(prefix);
}
