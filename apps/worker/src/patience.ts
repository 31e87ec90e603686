import { setTimeout as sleep } from 'node:timers/promises';
import { isAmalgamError } from '@amalgam/contracts';
import type { Logger } from '@amalgam/telemetry';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

/** SQLSTATEs, Prisma's and the system's codes for "the server is away, or busy, for now". */
const PASSING =
  /^(08\w{3}|57P0[1-5]|53[0-9]{3}|40001|40P01|P10(01|02|08|17)|P2024|P2028|P2034|ECONN\w+|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN)$/;
const PASSING_KINDS = new Set([
  'DatabaseNotReachable',
  'ConnectionClosed',
  'SocketTimeout',
  'TooManyConnections',
  'TransactionWriteConflict',
]);
const PASSING_WORDS =
  /connection terminated|terminating connection|server closed the connection|can't reach database|connection is closed|closed the connection|timeout exceeded when trying to connect|database system is (starting up|shutting down)|not queryable|unable to start a transaction|transaction already closed|transaction not found/i;

/** True when the database did not answer, so that asking again may help; false for what it refused. */
export function isPassing(error: unknown, depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > 5) return false;
  if (isAmalgamError(error)) return error.code === 'unavailable';
  const { code, originalCode, kind, message, cause, meta } = error as Record<string, unknown>;
  if ([code, originalCode].some((text) => typeof text === 'string' && PASSING.test(text))) return true;
  if (typeof kind === 'string' && PASSING_KINDS.has(kind)) return true;
  if (typeof message === 'string' && PASSING_WORDS.test(message)) return true;
  const inner = (meta as { driverAdapterError?: unknown } | undefined)?.driverAdapterError;
  return isPassing(cause, depth + 1) || isPassing(inner, depth + 1);
}

export interface Patience {
  /** Ends the waiting; what is thrown then is its reason. */
  signal?: AbortSignal;
  /** Give up after this long, with the last error. Default: never. */
  forMs?: number;
  log: Logger;
  what: string;
}

/**
 * Asks the database until it answers: a restart of the server costs a merge a pause and no attempt. `work` may have
 * been done although its answer was lost, so it must be harmless to do twice.
 */
export async function patiently<T>(work: () => Promise<T>, { signal, forMs, log, what }: Patience): Promise<T> {
  const deadline = forMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + forMs;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    try {
      return await work();
    } catch (error) {
      if (!isPassing(error) || Date.now() + pause > deadline) throw error;
      if (pause === FIRST_PAUSE_MS) log.warn({ err: error }, `${what}: the database does not answer, trying again`);
    }
    signal?.throwIfAborted();
    await sleep(pause, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
  }
}

/** Whether the promise settled within the time; its failure is the caller's to look at. */
export async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(ms, false, { signal: timer.signal }).catch(() => false);
  const settled = promise.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([settled, late]);
  } finally {
    timer.abort();
  }
}
