import { AmalgamError, type EndpointEventType, type List } from '@amalgam/contracts';
import { type Context, notifyDeliveries } from '../context.js';
import { endpointBody, insertDelivery } from '../create-deliveries.js';
import { endPending, lockEndpoint } from '../endpoint-state.js';
import { newId } from '../ids.js';
import { assertStorable, toJson } from '../json.js';
import { type PageRequest, parsePage, toPage } from '../paging.js';
import type { DeliveryRow } from '../resources/delivery.js';
import { livingSecrets, type OldSecret, type WebhookEndpointRow } from '../resources/webhook-endpoint.js';
import { databaseNow, inTransaction } from '../transaction.js';
import { withoutBody } from './deliveries.js';

/** Every event of a merge is written for each of them while its row is locked. */
const MOST_ENDPOINTS = 50;
/** Replaced secrets that sign at once; older ones stop earlier than they were to. */
const MOST_OLD_SECRETS = 4;

export interface NewWebhookEndpoint {
  url: string;
  description?: string | null;
  events: EndpointEventType[];
  enabled?: boolean;
  secret: string;
}

export interface WebhookEndpointChange {
  url?: string;
  description?: string | null;
  events?: EndpointEventType[];
  enabled?: boolean;
}

export class WebhookEndpointRepository {
  constructor(private readonly context: Context) {}

  /** Throws `invalid_request` when the project has as many as it may. */
  async create(projectId: string, input: NewWebhookEndpoint): Promise<WebhookEndpointRow> {
    assertStorable({ url: input.url, description: input.description });
    const id = newId('webhookEndpoint');
    const { enabled = true } = input;
    return inTransaction(this.context, async (tx) => {
      // So that two at once do not both become the last one.
      await tx.$queryRaw`SELECT 1 FROM projects WHERE id = ${projectId} FOR NO KEY UPDATE`;
      if ((await tx.webhookEndpoint.count({ where: { projectId } })) >= MOST_ENDPOINTS) {
        const detail = `a project has at most ${MOST_ENDPOINTS} webhook endpoints`;
        throw new AmalgamError('invalid_request', `${detail}; delete one first`);
      }
      return tx.webhookEndpoint.create({
        data: {
          id,
          projectId,
          url: input.url,
          description: input.description ?? null,
          events: input.events,
          secret: this.context.vault.seal(input.secret, id),
          ...(enabled ? {} : { enabled, disabledReason: 'user', disabledAt: await databaseNow(tx) }),
        },
      });
    });
  }

  /** Null when the project has no such endpoint. */
  async get(projectId: string, id: string): Promise<WebhookEndpointRow | null> {
    return this.context.prisma.webhookEndpoint.findUnique({ where: { id, projectId } });
  }

  /** Newest first. */
  async list(projectId: string, page: PageRequest = {}): Promise<List<WebhookEndpointRow>> {
    const { limit, after } = parsePage('webhookEndpoint', page);
    const rows = await this.context.prisma.webhookEndpoint.findMany({
      where: { projectId, ...(after === undefined ? {} : { id: { lt: after } }) },
      orderBy: { id: 'desc' },
      take: limit + 1,
    });
    return toPage(rows, limit, (row) => row);
  }

  /** Whether the project has any; for whoever can save a transaction when it has none. */
  async exist(projectId: string): Promise<boolean> {
    return (
      (await this.context.prisma.webhookEndpoint.findFirst({ where: { projectId }, select: { id: true } })) !== null
    );
  }

  /** What waits for its next try goes to the new URL, and nowhere when it is disabled. Throws `not_found`. */
  async update(projectId: string, id: string, change: WebhookEndpointChange): Promise<WebhookEndpointRow> {
    assertStorable({ url: change.url, description: change.description });
    return inTransaction(this.context, async (tx) => {
      const before = await lockEndpoint(tx, projectId, id);
      const now = await databaseNow(tx);
      const { enabled, ...rest } = change;
      if (rest.url !== undefined) {
        await tx.delivery.updateMany({ where: { endpointId: id, state: 'pending' }, data: { url: rest.url } });
      }
      if (enabled === false && before.enabled) await endPending(tx, id);
      const state =
        enabled === undefined || enabled === before.enabled
          ? {}
          : { enabled, disabledReason: enabled ? null : ('user' as const), disabledAt: enabled ? null : now };
      await notifyDeliveries(tx, projectId, [id]);
      return tx.webhookEndpoint.update({ where: { id }, data: { ...rest, ...state, updatedAt: now } });
    });
  }

  /** With its deliveries. Throws `not_found`. */
  async delete(projectId: string, id: string): Promise<void> {
    await inTransaction(this.context, async (tx) => {
      await lockEndpoint(tx, projectId, id);
      await endPending(tx, id);
      await tx.webhookEndpoint.delete({ where: { id }, select: { id: true } });
    });
  }

  /** The old secret signs beside the new one for `overlapMs` more. Throws `not_found`. */
  async rotateSecret(projectId: string, id: string, secret: string, overlapMs: number): Promise<WebhookEndpointRow> {
    return inTransaction(this.context, async (tx) => {
      const endpoint = await lockEndpoint(tx, projectId, id);
      const now = await databaseNow(tx);
      const replaced: OldSecret = {
        secret: endpoint.secret,
        until: new Date(now.getTime() + overlapMs).toISOString(),
      };
      const old = [replaced, ...livingSecrets(endpoint, now)].slice(0, MOST_OLD_SECRETS);
      return tx.webhookEndpoint.update({
        where: { id },
        data: {
          secret: this.context.vault.seal(secret, id),
          oldSecrets: toJson(overlapMs === 0 ? old.slice(1) : old),
          updatedAt: now,
        },
      });
    });
  }

  /** A delivery of webhook.test, tried once, also when the endpoint is disabled. Throws `not_found`. */
  async test(projectId: string, id: string): Promise<DeliveryRow> {
    return inTransaction(this.context, async (tx) => {
      const endpoint = await lockEndpoint(tx, projectId, id);
      const now = await databaseNow(tx);
      const type = 'webhook.test';
      const body = JSON.stringify(endpointBody(type, endpoint, now));
      const { url } = endpoint;
      const made = await insertDelivery(tx, { projectId, endpointId: id, type, url, body, createdAt: now });
      await notifyDeliveries(tx, projectId, [id]);
      return tx.delivery.findUniqueOrThrow({ where: { id: made }, ...withoutBody });
    });
  }
}
