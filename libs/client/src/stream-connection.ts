/** The service sends a heartbeat every 15 s; a connection that is silent for longer than this is dead. */
const SILENCE_MS = 60_000;

/** One connection to an event stream, which the caller's signal or a long silence ends. */
export class StreamConnection {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #abort = () => this.#controller.abort(this.#outer?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(outer: AbortSignal | undefined) {
    this.#outer = outer;
    if (outer?.aborted === true) this.#abort();
    outer?.addEventListener('abort', this.#abort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  watch(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    this.#alive();
    return body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, controller) => {
          this.#alive();
          controller.enqueue(chunk);
        },
      }),
      // Said here as well: `chunksOf` tells why.
      { signal: this.signal },
    );
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener('abort', this.#abort);
    this.#controller.abort();
  }

  #alive(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#controller.abort(new Error('the event stream fell silent')), SILENCE_MS);
  }
}
