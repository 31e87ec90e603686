const FIRST_MS = 200;
const LAST_MS = 10_000;
/** A service that asks for more patience than this has to be asked again by a person. */
const LONGEST_MS = 60_000;

/** Waits; rejects with the signal's reason as soon as it is aborted. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const done = () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    };
    const timer = setTimeout(done, ms);
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/** Before the try after number `tries`: doubling, with chance in it, so that many clients do not come at once. */
export function backoff(tries: number): number {
  return Math.min(FIRST_MS * 2 ** (tries - 1), LAST_MS) * (0.5 + Math.random() / 2);
}

/** What a Retry-After header asks for, in milliseconds; undefined when it says nothing. */
export function retryAfterMs(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_MS);
}
