import { Delivery, DeliveryDetails } from '@amalgam/contracts';
import { toDeliveryDetails, toDeliveryResource } from '@amalgam/database';
import { projectOf } from '../plugins/auth.js';
import type { Api } from '../types.js';
import { answers, assertId, found, IdParams } from './schemas.js';

const tags = ['webhooks'];

/** Deliveries of webhooks, whether to an endpoint or to a merge's own URL. */
export async function deliveryRoutes(app: Api): Promise<void> {
  const { deliveries } = app.parts.database;

  app.get(
    '/deliveries/:id',
    {
      config: { scope: 'webhooks:read' },
      schema: {
        operationId: 'getDelivery',
        tags,
        summary: 'One delivery, with its body and its tries',
        params: IdParams,
        response: answers({ 200: DeliveryDetails }, 'not_found'),
      },
    },
    async (request) => {
      const { id } = request.params;
      assertId('delivery', id);
      return toDeliveryDetails(found(await deliveries.find(projectOf(request), id), 'delivery', id));
    },
  );

  app.post(
    '/deliveries/:id/redeliver',
    {
      config: { scope: 'webhooks:write' },
      schema: {
        operationId: 'redeliver',
        tags,
        summary: 'Send it again, whatever came of it: the same bytes under the same webhook-id',
        description: 'At once, and if that fails by the schedule from its beginning.',
        params: IdParams,
        response: answers({ 202: Delivery }, 'not_found', 'endpoint_disabled'),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      assertId('delivery', id);
      const delivery = await deliveries.redeliver(projectOf(request), id);
      return reply.code(202).header('location', `/v1/deliveries/${id}`).send(toDeliveryResource(delivery));
    },
  );
}
