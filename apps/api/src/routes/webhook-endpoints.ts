import {
  CreateWebhookEndpoint,
  DEFAULT_ENDPOINT_EVENTS,
  DELIVERY_STATES,
  DELIVERY_TYPES,
  Delivery,
  List,
  Redelivered,
  RedeliverFailed,
  RotateSecret,
  SECRET_OVERLAP_SECONDS,
  Type,
  UpdateWebhookEndpoint,
  WebhookEndpoint,
} from '@amalgam/contracts';
import { toDeliveryResource, toWebhookEndpointResource } from '@amalgam/database';
import { projectOf } from '../plugins/auth.js';
import { assertUrl, secretOf } from '../services/webhook-input.js';
import type { Api } from '../types.js';
import { answers, assertId, found, IdParams, nothing, Paging, page, timeOf } from './schemas.js';

const tags = ['webhooks'];
const reading = { scope: 'webhooks:read' } as const;
const writing = { scope: 'webhooks:write' } as const;
const Time = Type.Optional(Type.String({ format: 'date-time' }));

export async function webhookEndpointRoutes(app: Api): Promise<void> {
  const { webhookEndpoints: endpoints } = app.parts.database;

  app.post(
    '/webhook-endpoints',
    {
      config: writing,
      schema: {
        operationId: 'createWebhookEndpoint',
        tags,
        summary: 'Have the events of all merges sent to a URL; the secret is shown in this answer and never again',
        body: CreateWebhookEndpoint,
        response: answers({ 201: WebhookEndpoint }, 'invalid_request', 'webhook_not_allowed'),
      },
    },
    async (request, reply) => {
      const { events = DEFAULT_ENDPOINT_EVENTS, ...body } = request.body;
      await assertUrl(app.config, body.url, '/url');
      const secret = secretOf(body.secret, '/secret');
      const row = await endpoints.create(projectOf(request), { ...body, events, secret });
      return reply
        .code(201)
        .header('location', `/v1/webhook-endpoints/${row.id}`)
        .header('cache-control', 'no-store')
        .send({ ...toWebhookEndpointResource(row), secret });
    },
  );

  app.get(
    '/webhook-endpoints',
    {
      config: reading,
      schema: {
        operationId: 'listWebhookEndpoints',
        tags,
        summary: 'Endpoints, the newest first',
        querystring: Type.Object(Paging, { additionalProperties: false }),
        response: answers({ 200: List(WebhookEndpoint) }, 'invalid_request'),
      },
    },
    async (request) => {
      const list = await endpoints.list(projectOf(request), page(request.query));
      return { ...list, data: list.data.map(toWebhookEndpointResource) };
    },
  );

  app.get(
    '/webhook-endpoints/:id',
    {
      config: reading,
      schema: {
        operationId: 'getWebhookEndpoint',
        tags,
        summary: 'One endpoint; when it is disabled, why and since when',
        params: IdParams,
        response: answers({ 200: WebhookEndpoint }, 'not_found'),
      },
    },
    async (request) => {
      const { id } = request.params;
      assertId('webhookEndpoint', id);
      return toWebhookEndpointResource(found(await endpoints.get(projectOf(request), id), 'webhookEndpoint', id));
    },
  );

  app.patch(
    '/webhook-endpoints/:id',
    {
      config: writing,
      schema: {
        operationId: 'updateWebhookEndpoint',
        tags,
        summary: 'Change what is named; deliveries that wait for their next try go to the new URL',
        description:
          'One that is disabled gets nothing: what waits for its next try ends as failed, and is sent by `redeliver` once it ' +
          'is enabled again.',
        params: IdParams,
        body: UpdateWebhookEndpoint,
        response: answers({ 200: WebhookEndpoint }, 'invalid_request', 'not_found', 'webhook_not_allowed'),
      },
    },
    async (request) => {
      const { id } = request.params;
      assertId('webhookEndpoint', id);
      const { url } = request.body;
      if (url !== undefined) await assertUrl(app.config, url, '/url');
      return toWebhookEndpointResource(await endpoints.update(projectOf(request), id, request.body));
    },
  );

  app.delete(
    '/webhook-endpoints/:id',
    {
      config: writing,
      schema: {
        operationId: 'deleteWebhookEndpoint',
        tags,
        summary: 'Delete it with its deliveries; nothing more is sent to it',
        params: IdParams,
        response: answers({ 204: nothing('Deleted') }, 'not_found'),
      },
    },
    async (request, reply) => {
      assertId('webhookEndpoint', request.params.id);
      await endpoints.delete(projectOf(request), request.params.id);
      return reply.code(204).send();
    },
  );

  app.post(
    '/webhook-endpoints/:id/rotate-secret',
    {
      config: writing,
      schema: {
        operationId: 'rotateWebhookSecret',
        tags,
        summary: 'Replace its secret; both sign for a while, so that a receiver has time to change over',
        params: IdParams,
        body: RotateSecret,
        response: answers({ 200: WebhookEndpoint }, 'invalid_request', 'not_found'),
      },
      // A new secret and a day are what most want: no body is as good as {}.
      preValidation: async (request) => {
        request.body ??= {};
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      assertId('webhookEndpoint', id);
      const { overlap_seconds = SECRET_OVERLAP_SECONDS } = request.body;
      const secret = secretOf(request.body.secret, '/secret');
      const row = await endpoints.rotateSecret(projectOf(request), id, secret, overlap_seconds * 1000);
      return reply.header('cache-control', 'no-store').send({ ...toWebhookEndpointResource(row), secret });
    },
  );

  app.post(
    '/webhook-endpoints/:id/test',
    {
      config: writing,
      schema: {
        operationId: 'testWebhookEndpoint',
        tags,
        summary: 'Send a webhook.test event, once, also to one that is disabled; the delivery tells what came of it',
        params: IdParams,
        response: answers({ 202: Delivery }, 'not_found'),
      },
    },
    async (request, reply) => {
      assertId('webhookEndpoint', request.params.id);
      const delivery = await endpoints.test(projectOf(request), request.params.id);
      return reply.code(202).header('location', `/v1/deliveries/${delivery.id}`).send(toDeliveryResource(delivery));
    },
  );

  await app.register(endpointDeliveryRoutes);
}

async function endpointDeliveryRoutes(app: Api): Promise<void> {
  const { deliveries } = app.parts.database;

  app.get(
    '/webhook-endpoints/:id/deliveries',
    {
      config: reading,
      schema: {
        operationId: 'listEndpointDeliveries',
        tags,
        summary: 'What was sent to it, the newest first',
        params: IdParams,
        querystring: Type.Object(
          {
            ...Paging,
            state: Type.Optional(Type.Enum([...DELIVERY_STATES])),
            type: Type.Optional(Type.Enum([...DELIVERY_TYPES])),
            created_after: Time,
            created_before: Time,
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: List(Delivery) }, 'invalid_request', 'not_found'),
      },
    },
    async (request) => {
      const { id } = request.params;
      assertId('webhookEndpoint', id);
      const { limit, after, created_after, created_before, state, type } = request.query;
      const list = await deliveries.listByEndpoint(projectOf(request), id, {
        ...page({ limit, after }),
        ...(state === undefined ? {} : { state }),
        ...(type === undefined ? {} : { type }),
        ...(created_after === undefined ? {} : { createdAfter: timeOf(created_after, '/created_after') }),
        ...(created_before === undefined ? {} : { createdBefore: timeOf(created_before, '/created_before') }),
      });
      return { ...list, data: list.data.map(toDeliveryResource) };
    },
  );

  app.post(
    '/webhook-endpoints/:id/redeliver',
    {
      config: writing,
      schema: {
        operationId: 'redeliverFailed',
        tags,
        summary: 'Send everything again that has failed since then',
        description:
          'Also what waits for its next try, which comes at once. Without a `type` all but merge.progress and webhook.test; ' +
          'each with its own webhook-id.',
        params: IdParams,
        body: RedeliverFailed,
        response: answers({ 202: Redelivered }, 'invalid_request', 'not_found', 'endpoint_disabled'),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      assertId('webhookEndpoint', id);
      const { since, type } = request.body;
      const count = await deliveries.redeliverFailed(projectOf(request), id, timeOf(since, '/since'), type);
      return reply.code(202).send({ object: 'redelivery' as const, deliveries: count });
    },
  );
}
