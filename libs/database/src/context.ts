import type { Vault } from './crypto.js';
import type { Prisma, PrismaClient } from './generated/client.js';

/** What every repository works with. */
export interface Context {
  prisma: PrismaClient;
  vault: Vault;
}

/** Inside a transaction. */
export type Tx = Prisma.TransactionClient;

/** NOTIFY channels. They only wake: what they announce is read from the tables, and polls find it too. */
export const CHANNELS = {
  /** A project has a new event; the payload is the project's id, and after a space the merge's if it is of one. */
  events: 'amalgam_events',
  /** Deliveries to an endpoint were made, tried or ended; the payload is the project's id, a space, the endpoint's id. */
  deliveries: 'amalgam_deliveries',
  /** The outbox has a new row; the payload is empty. */
  outbox: 'amalgam_outbox',
  /** Somebody asked to cancel a running merge; the payload is the merge's id. */
  cancel: 'amalgam_cancel',
} as const;

export type Channel = (typeof CHANNELS)[keyof typeof CHANNELS];

/** Sends a NOTIFY when the transaction commits. */
export async function notify(tx: Tx, channel: Channel, payload = ''): Promise<void> {
  await tx.$executeRaw`SELECT pg_notify(${channel}, ${payload})`;
}

/** Says, when the transaction commits, that deliveries to these endpoints have changed. */
export async function notifyDeliveries(tx: Tx, projectId: string, endpointIds: readonly string[]): Promise<void> {
  await tx.$executeRaw`
    SELECT pg_notify(${CHANNELS.deliveries}, ${projectId} || ' ' || e.id) FROM unnest(${endpointIds}::text[]) AS e (id)`;
}
