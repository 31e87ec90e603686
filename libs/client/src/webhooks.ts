import type {
  CreateWebhookEndpoint,
  Delivery,
  DeliveryDetails,
  DeliveryState,
  DeliveryType,
  List,
  Redelivered,
  RedeliverFailed,
  RotateSecret,
  UpdateWebhookEndpoint,
  WebhookEndpoint,
} from '@amalgam/contracts';
import type { Query, RequestOptions, Transport } from './transport.js';

type Abortable = Pick<RequestOptions, 'signal'>;

export interface DeliveryQuery {
  state?: DeliveryState;
  type?: DeliveryType;
  created_after?: string;
  created_before?: string;
  /** Items of the page, at most 100; default 20. */
  limit?: number;
  after?: string;
}

const ENDPOINTS = '/v1/webhook-endpoints';

export function webhookCalls(transport: Transport) {
  const get = <T>(path: string, query: object = {}, more?: Abortable) =>
    transport.json<T>('GET', path, { ...more, query: query as Query });
  const send = <T>(method: 'POST' | 'PATCH', path: string, body?: unknown, more?: Abortable) =>
    transport.json<T>(method, path, { ...more, ...(body === undefined ? {} : { body }) });
  return {
    webhookEndpoints: {
      /** The answer holds the secret; only this one and that of `rotateSecret` do. */
      create: (body: CreateWebhookEndpoint, more?: Abortable) => send<WebhookEndpoint>('POST', ENDPOINTS, body, more),
      get: (id: string, more?: Abortable) => get<WebhookEndpoint>(`${ENDPOINTS}/${id}`, {}, more),
      /** All of them: a project has at most fifty. */
      list: async (more?: Abortable) => (await get<List<WebhookEndpoint>>(ENDPOINTS, { limit: 100 }, more)).data,
      update: (id: string, body: UpdateWebhookEndpoint, more?: Abortable) =>
        send<WebhookEndpoint>('PATCH', `${ENDPOINTS}/${id}`, body, more),
      delete: async (id: string, more?: Abortable) => {
        await transport.send('DELETE', `${ENDPOINTS}/${id}`, more);
      },
      rotateSecret: (id: string, body: RotateSecret = {}, more?: Abortable) =>
        send<WebhookEndpoint>('POST', `${ENDPOINTS}/${id}/rotate-secret`, body, more),
      test: (id: string, more?: Abortable) => send<Delivery>('POST', `${ENDPOINTS}/${id}/test`, undefined, more),
      /** One page, the newest first; `next_cursor` is the next one's `after`. */
      deliveries: (id: string, query?: DeliveryQuery, more?: Abortable) =>
        get<List<Delivery>>(`${ENDPOINTS}/${id}/deliveries`, query, more),
      redeliver: (id: string, body: RedeliverFailed, more?: Abortable) =>
        send<Redelivered>('POST', `${ENDPOINTS}/${id}/redeliver`, body, more),
    },
    deliveries: {
      get: (id: string, more?: Abortable) => get<DeliveryDetails>(`/v1/deliveries/${id}`, {}, more),
      redeliver: (id: string, more?: Abortable) =>
        send<Delivery>('POST', `/v1/deliveries/${id}/redeliver`, undefined, more),
    },
  };
}
