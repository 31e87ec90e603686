import type { TransferOptions } from './port.js';

interface Flight {
  result: Promise<void>;
  abort: AbortController;
  passengers: number;
  listeners: Set<(bytes: number) => void>;
}

/** Runs a task once for everybody in this process who asks for it at the same time. */
export class Flights {
  readonly #flights = new Map<string, Flight>();

  /**
   * Waits for the task `name`, and starts it when it is not running. All hear of its progress. It is aborted when
   * everybody who waits has given up; who gives up alone gets their own signal's reason at once.
   */
  async join(
    name: string,
    start: (options: Required<TransferOptions>) => Promise<void>,
    { signal, onProgress }: TransferOptions,
  ): Promise<void> {
    signal?.throwIfAborted();
    const flight = this.#flights.get(name) ?? this.#start(name, start);
    const listener = (bytes: number): void => onProgress?.(bytes);
    flight.listeners.add(listener);
    flight.passengers++;
    try {
      await untilAborted(flight.result, signal);
    } finally {
      flight.listeners.delete(listener);
      flight.passengers--;
      if (flight.passengers === 0) {
        if (this.#flights.get(name) === flight) this.#flights.delete(name);
        flight.abort.abort(signal?.reason);
      }
    }
  }

  #start(name: string, start: (options: Required<TransferOptions>) => Promise<void>): Flight {
    const abort = new AbortController();
    const listeners = new Set<(bytes: number) => void>();
    const onProgress = (bytes: number): void => {
      for (const listener of listeners) listener(bytes);
    };
    const result = start({ signal: abort.signal, onProgress }).finally(() => {
      if (this.#flights.get(name) === flight) this.#flights.delete(name);
    });
    // Everybody may have given up by the time it fails.
    result.catch(() => {});
    const flight: Flight = { result, abort, passengers: 0, listeners };
    this.#flights.set(name, flight);
    return flight;
  }
}

async function untilAborted<T>(result: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return result;
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([result, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
