import {
  AmalgamError,
  CreateMerge,
  List,
  MERGE_STATES,
  Merge,
  MergeCounts,
  Plan,
  PlanMerge,
  Type,
} from '@amalgam/contracts';
import { toMergeResource } from '@amalgam/database';
import type { FastifyRequest } from 'fastify';
import { projectOf } from '../plugins/auth.js';
import { createMerge, mergeLocation } from '../services/create-merge.js';
import { planRecipe } from '../services/plan-recipe.js';
import { parseYamlBody, readRecipeBody } from '../services/written-recipe.js';
import type { Api } from '../types.js';
import { answers, assertId, found, IdParams, MetadataFilter, NameFilter, Paging, page, timeOf } from './schemas.js';

const tags = ['merges'];
const RECIPE_ERRORS = [
  'invalid_request',
  'invalid_recipe',
  'unknown_method',
  'not_found',
  'checkpoint_not_ready',
  'graph_not_ready',
  'dataset_not_ready',
  'duplicate_model',
  'invalid_checkpoint',
  'tensor_missing',
  'shape_mismatch',
  'dtype_unsupported',
  'invalid_graph',
  'unsupported_graph',
  'invalid_dataset',
  'memory_limit',
] as const;

const YAML = ['application/yaml', 'text/yaml'] as const;
/** Bodies with a recipe. */
const LANGUAGES = ['application/json', ...YAML];
const LANGUAGES_TOLD =
  'The recipe may also be a document of mergekit (it has `merge_method`), and so may the body itself, in JSON or YAML.';

const Time = Type.Optional(Type.String({ format: 'date-time' }));

export async function mergeRoutes(app: Api): Promise<void> {
  const { merges, control } = app.parts.database;
  app.addContentTypeParser([...YAML], { parseAs: 'string' }, async (request: FastifyRequest, body: string) => {
    if (request.routeOptions.schema?.consumes?.includes(YAML[0]) !== true) {
      throw new AmalgamError('unsupported_media_type', 'the body must be application/json');
    }
    return parseYamlBody(body);
  });

  app.post(
    '/merges',
    {
      schema: {
        operationId: 'createMerge',
        tags,
        summary: 'Queue a merge',
        description: `Everything that is wrong is found now, from headers alone. ${LANGUAGES_TOLD}`,
        consumes: LANGUAGES,
        body: CreateMerge,
        response: answers({ 202: Merge }, ...RECIPE_ERRORS, 'webhook_not_allowed'),
      },
      preValidation: readRecipe,
    },
    async (request, reply) => {
      const merge = await createMerge(app, projectOf(request), request.body, request);
      return reply.code(202).header('location', mergeLocation(merge.id)).send(merge);
    },
  );

  app.post(
    '/merges/plan',
    {
      schema: {
        operationId: 'planMerge',
        tags,
        summary: 'Check a recipe and say what the merge would do; nothing is created',
        description: LANGUAGES_TOLD,
        consumes: LANGUAGES,
        body: PlanMerge,
        response: answers({ 200: Plan }, ...RECIPE_ERRORS),
      },
      config: { scope: 'read' },
      preValidation: readRecipe,
    },
    async (request) => (await planRecipe(app, projectOf(request), request.body.recipe, request.written)).resource,
  );

  app.get(
    '/merges',
    {
      schema: {
        operationId: 'listMerges',
        tags,
        summary: 'Merges, the newest first',
        querystring: Type.Object(
          {
            ...Paging,
            state: Type.Optional(
              Type.Array(Type.Enum([...MERGE_STATES]), { description: 'May come several times: any of them' }),
            ),
            method: Type.Optional(Type.String({ maxLength: 64 })),
            name: NameFilter,
            metadata: MetadataFilter,
            input: Type.Optional(
              Type.Array(Type.String({ minLength: 1, maxLength: 64 }), {
                maxItems: 64,
                description: 'A checkpoint, graph or dataset that it takes; may come several times: all of them',
              }),
            ),
            created_after: Time,
            created_before: Time,
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: List(Merge) }, 'invalid_request'),
      },
    },
    async (request) => {
      const { limit, after, created_after, created_before, ...filter } = request.query;
      const list = await merges.list(projectOf(request), {
        ...filter,
        ...(created_after === undefined ? {} : { createdAfter: timeOf(created_after, '/created_after') }),
        ...(created_before === undefined ? {} : { createdBefore: timeOf(created_before, '/created_before') }),
        ...page({ limit, after }),
      });
      return { ...list, data: list.data.map(toMergeResource) };
    },
  );

  app.get(
    '/merges/counts',
    {
      schema: {
        operationId: 'countMerges',
        tags,
        summary: 'How many merges there are, by state',
        response: answers({ 200: MergeCounts }),
      },
    },
    async (request) => ({ object: 'merge_counts' as const, ...(await merges.counts(projectOf(request))) }),
  );

  app.get(
    '/merges/:id',
    {
      schema: {
        operationId: 'getMerge',
        tags,
        summary: 'One merge',
        params: IdParams,
        response: answers({ 200: Merge }, 'not_found'),
      },
    },
    async (request) => {
      const { id } = request.params;
      assertId('merge', id);
      return toMergeResource(found(await merges.get(projectOf(request), id), 'merge', id));
    },
  );

  app.post(
    '/merges/:id/cancel',
    {
      schema: {
        operationId: 'cancelMerge',
        tags,
        summary: 'Cancel it: at once when it waits, soon when it runs. Canceling twice is harmless',
        params: IdParams,
        response: answers({ 200: Merge }, 'not_found', 'merge_finished'),
      },
    },
    async (request) => {
      assertId('merge', request.params.id);
      return toMergeResource(await control.requestCancel(projectOf(request), request.params.id));
    },
  );

  app.post(
    '/merges/:id/retry',
    {
      schema: {
        operationId: 'retryMerge',
        tags,
        summary: 'Queue a failed or canceled merge again; finished shards are reused',
        params: IdParams,
        response: answers(
          { 202: Merge },
          'not_found',
          'merge_not_finished',
          'merge_finished',
          'checkpoint_not_ready',
          'graph_not_ready',
          'dataset_not_ready',
        ),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      assertId('merge', id);
      const merge = toMergeResource(await control.retry(projectOf(request), id));
      return reply.code(202).header('location', mergeLocation(id)).send(merge);
    },
  );
}

/** Before a body is checked, its recipe is in our language. */
async function readRecipe(request: FastifyRequest): Promise<void> {
  const { body, written } = readRecipeBody(request.body);
  request.body = body;
  request.written = written;
}
