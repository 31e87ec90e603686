/** One server-sent event. */
export interface Frame {
  id: string | undefined;
  event: string;
  data: string;
}

/**
 * Splits a stream of server-sent events (HTML standard, section 9.2) into frames; comments and other fields are skipped, and so
 * are frames without data. `onId` is told the id of every frame that has one, before the frame comes.
 */
export async function* readFrames(
  body: ReadableStream<Uint8Array>,
  onId: (id: string) => void = () => {},
): AsyncGenerator<Frame> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let text = '';
  let frame = empty();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      text += done ? decoder.decode() : decoder.decode(value, { stream: true });
      // A CR at the end may be half of a CRLF.
      const lines = text.split(text.endsWith('\r') ? /\r\n|\n|\r(?!$)/ : /\r\n|\n|\r/);
      text = lines.pop() ?? '';
      for (const line of lines) {
        if (line !== '') take(frame, line);
        else {
          if (frame.id !== undefined) onId(frame.id);
          if (frame.data.length > 0) yield { id: frame.id, event: frame.event, data: frame.data.join('\n') };
          frame = empty();
        }
      }
      // What is not finished by an empty line is dropped, as the standard says.
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function empty(): { id: string | undefined; event: string; data: string[] } {
  return { id: undefined, event: 'message', data: [] };
}

function take(frame: ReturnType<typeof empty>, line: string): void {
  const colon = line.indexOf(':');
  const field = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
  if (field === 'id') frame.id = value;
  else if (field === 'event') frame.event = value;
  else if (field === 'data') frame.data.push(value);
}
