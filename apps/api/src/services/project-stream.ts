import { setTimeout as sleep } from 'node:timers/promises';
import { AmalgamError, type DeliveriesChanged } from '@amalgam/contracts';
import type { Database, ProjectEventFilter } from '@amalgam/database';
import type { FastifyReply } from 'fastify';
import type { Timing } from '../types.js';
import type { EventHub, Waker } from './event-hub.js';
import { SseWriter } from './sse-writer.js';

const PAGE = 200;
/** News that comes sooner after each other is read at once: many merges at work make many small ones. */
const LEAST_BETWEEN_MS = 50;
/** So many events that a filter leaves out are told as an id at once, fewer with the signs of life. */
const MANY_UNTOLD = 1000;
/** Open streams of one key; each costs a look at the database for every piece of news. */
export const MOST_STREAMS = 32;

export interface ProjectSubject {
  projectId: string;
  /** Position of the last event that the client has; null for a client that wants what comes from now on. */
  after: number | null;
  filter: ProjectEventFilter;
  /** Whether it wants to hear of changes of deliveries, too. */
  deliveries: boolean;
  /** Rejects when the client may no longer read: its key was revoked, its session has ended. */
  assertAllowed(): Promise<void>;
}

/**
 * Streams a project's events as server-sent events, from the database's rows: first those after `after`, then new ones, until the
 * client goes, may no longer read, or the service stops. It begins with an id alone, so that a client that loses the
 * connection before the first event knows where it was.
 */
export async function streamProject(
  reply: FastifyReply,
  parts: { database: Database; hub: EventHub; timing: Timing },
  { projectId, after, filter, deliveries, assertAllowed }: ProjectSubject,
): Promise<void> {
  const { database, hub, timing } = parts;
  const waker = await hub.subscribe(projectId);
  try {
    const last = await database.events.lastPosition(projectId);
    // A position that was never given is of another database: one that was restored, say.
    let position = Math.min(after ?? last, last);
    const writer = new SseWriter(reply, timing.heartbeatMs);
    writer.onClose(() => waker.close());
    waker.onStop(() => writer.stop());
    try {
      let told = { id: position, at: Date.now() };
      const tell = async (frame: { id: number; event?: string; data?: object }) => {
        await writer.send(frame);
        told = { id: frame.id, at: Date.now() };
      };
      await tell({ id: position });
      for (;;) {
        const page = await database.events.listOfProject(projectId, position, PAGE, filter);
        for (const event of page.events) await tell({ id: event.position, event: event.type, data: event });
        position = page.position;
        // So that a client that comes back does not have what its filter leaves out looked through again.
        const untold = position - told.id;
        const due = untold >= MANY_UNTOLD || (untold > 0 && Date.now() - told.at >= timing.heartbeatMs);
        if (due) await tell({ id: position });
        if (deliveries) await sendDeliveries(writer, await changedEndpoints(database, projectId, waker));
        if (!page.more) {
          await Promise.all([waker.wait(timing.pollMs), sleep(LEAST_BETWEEN_MS)]);
        }
        if (writer.closed || hub.closed) return;
        await assertAllowed();
      }
    } finally {
      writer.end();
    }
  } finally {
    waker.close();
  }
}

async function changedEndpoints(database: Database, projectId: string, waker: Waker): Promise<readonly string[]> {
  const endpoints = waker.takeEndpoints();
  if (endpoints !== 'all') return endpoints;
  return (await database.webhookEndpoints.list(projectId, { limit: 100 })).data.map(({ id }) => id);
}

async function sendDeliveries(writer: SseWriter, endpoints: readonly string[]): Promise<void> {
  for (const endpoint_id of endpoints) {
    const data: DeliveriesChanged = { object: 'deliveries_changed', endpoint_id };
    await writer.send({ event: 'deliveries.changed', data });
  }
}

/** Counts the open streams of each key. */
export class StreamPlaces {
  readonly #taken = new Map<string, number>();

  /** Takes one, until the call of what it returns. @throws AmalgamError `rate_limited` when the key has as many as it may */
  take(keyId: string): () => void {
    const taken = this.#taken.get(keyId) ?? 0;
    if (taken >= MOST_STREAMS) {
      throw new AmalgamError('rate_limited', `this key has ${MOST_STREAMS} event streams open; close one first`);
    }
    this.#taken.set(keyId, taken + 1);
    return () => {
      const left = (this.#taken.get(keyId) ?? 1) - 1;
      if (left === 0) this.#taken.delete(keyId);
      else this.#taken.set(keyId, left);
    };
  }
}
