/**
 * The chunks of a body, until it ends or the signal is aborted. Reading is stopped here and not only in `fetch`: once the answer's
 * head has come, Node's `fetch` forgets its signal when the garbage collector takes the request, and a body that stalls is waited for.
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
