import { isFinal, isFinalEvent, type MergeState } from '@amalgam/contracts';
import type { Database } from '@amalgam/database';
import type { FastifyReply } from 'fastify';
import type { Timing } from '../types.js';
import type { EventHub } from './event-hub.js';
import { SseWriter } from './sse-writer.js';

const PAGE = 200;

interface Subject {
  projectId: string;
  mergeId: string;
  /** The merge's state before the first event was read. */
  state: MergeState;
  /** Number of the last event that the client has. */
  after: number;
  /** Rejects when the client may no longer read: its key was revoked, its session has ended. */
  assertAllowed(): Promise<void>;
}

/**
 * Streams a merge's events as server-sent events, from the database's rows: first those after `after`, then new ones
 * as they are written, until the merge has ended. The next client's read starts where this one's stopped, so none is lost.
 * A client that has everything of an ended merge gets 204, which tells EventSource not to come again.
 */
export async function streamEvents(
  reply: FastifyReply,
  parts: { database: Database; hub: EventHub; timing: Timing },
  subject: Subject,
): Promise<void> {
  const { hub, timing, database } = parts;
  const read = (after: number) => database.events.listAfter(subject.projectId, subject.mergeId, after, PAGE);
  const waker = await hub.subscribe(subject.mergeId);
  try {
    let events = await read(subject.after);
    if (events.length === 0 && isFinal(subject.state)) {
      reply.code(204).send();
      return;
    }
    const writer = new SseWriter(reply, timing.heartbeatMs);
    writer.onClose(() => waker.close());
    waker.onStop(() => writer.stop());
    try {
      let last = subject.after;
      for (let ended = false; ; ) {
        for (const event of events) await writer.send({ id: event.seq, event: event.type, data: event });
        const newest = events.at(-1);
        last = newest?.seq ?? last;
        // A final event that others follow belongs to a time before a retry.
        const caughtUp = events.length < PAGE;
        if (writer.closed || hub.closed || (caughtUp && newest !== undefined && isFinalEvent(newest.type))) return;
        if (caughtUp) await waker.wait(timing.pollMs);
        if (writer.closed || hub.closed) return;
        await subject.assertAllowed();
        // Whoever asks for what comes after a number that is never reached must not wait for ever.
        if (newest === undefined) ended = isFinal(await stateOf(database, subject));
        events = await read(last);
        if (ended && events.length === 0) return;
      }
    } finally {
      writer.end();
    }
  } finally {
    waker.close();
  }
}

async function stateOf(database: Database, { projectId, mergeId, state }: Subject): Promise<MergeState> {
  return (await database.merges.get(projectId, mergeId))?.state ?? state;
}
