/**
 * The chunks of a body, until it ends or the signal is aborted. The signal that `fetch` was given is not enough: in Node 20 a body
 * whose request is aborted when nearly all of it has come is now and then neither ended nor failed, and is waited for without end.
 *
 * @throws what the body fails with; the signal's reason
 */
export async function* chunksOf(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  const cancel = (): void => void reader.cancel(signal?.reason).catch(() => {});
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    for (;;) {
      signal?.throwIfAborted();
      const { done, value } = await reader.read();
      signal?.throwIfAborted();
      if (done) return;
      yield value;
    }
  } finally {
    signal?.removeEventListener('abort', cancel);
    cancel();
  }
}
