import { once } from 'node:events';
import { isFinal, isFinalEvent, type MergeEvent, type MergeState } from '@amalgam/contracts';
import type { Database } from '@amalgam/database';
import type { FastifyReply } from 'fastify';
import type { Timing } from '../types.js';
import type { EventHub } from './event-hub.js';

const PAGE = 200;
/** What a client waits before it connects again, in milliseconds. */
const RETRY_MS = 1000;

interface Subject {
  projectId: string;
  mergeId: string;
  /** The merge's state before the first event was read. */
  state: MergeState;
  /** Number of the last event that the client has. */
  after: number;
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
    try {
      let last = subject.after;
      for (let ended = false; ; ) {
        for (const event of events) await writer.event(event);
        const newest = events.at(-1);
        last = newest?.seq ?? last;
        // A final event that others follow belongs to a time before a retry.
        const caughtUp = events.length < PAGE;
        if (writer.closed || hub.closed || (caughtUp && newest !== undefined && isFinalEvent(newest.type))) return;
        if (caughtUp) await waker.wait(timing.pollMs);
        if (writer.closed || hub.closed) return;
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

/** Writes frames as fast as the client takes them. */
class SseWriter {
  readonly #raw: FastifyReply['raw'];
  readonly #heartbeat: NodeJS.Timeout;
  readonly #gone = new AbortController();

  constructor(reply: FastifyReply, heartbeatMs: number) {
    reply.hijack();
    this.#raw = reply.raw;
    this.#raw.once('close', () => this.#gone.abort());
    this.#raw.on('error', () => this.#gone.abort());
    this.#raw.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      connection: 'keep-alive',
    });
    this.#raw.write(`retry: ${RETRY_MS}\n\n`);
    this.#heartbeat = setInterval(() => {
      // To a client that does not read, more would only fill our memory.
      if (!this.#raw.writableNeedDrain) this.#raw.write(': heartbeat\n\n');
    }, heartbeatMs);
  }

  get closed(): boolean {
    return this.#gone.signal.aborted;
  }

  onClose(call: () => void): void {
    this.#gone.signal.addEventListener('abort', call, { once: true });
  }

  async event(event: MergeEvent): Promise<void> {
    if (this.closed) return;
    const frame = `id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
    if (this.#raw.write(frame)) return;
    await once(this.#raw, 'drain', { signal: this.#gone.signal }).catch(() => {});
  }

  end(): void {
    clearInterval(this.#heartbeat);
    this.#raw.end();
  }
}
