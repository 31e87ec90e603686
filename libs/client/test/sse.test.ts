import { expect, test } from 'vitest';
import { type Frame, readFrames } from '../src/index.js';

const STREAM =
  'retry: 1000\n\n: heartbeat\n\nid: 1\nevent: merge.queued\ndata: {"ä":1}\n\nid:2\r\ndata: a\r\ndata:b\r\n\r\ndata: c\r\rdata: unfinished';

async function collect(chunks: Uint8Array[]): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const frame of readFrames(ReadableStream.from(chunks) as ReadableStream<Uint8Array>)) frames.push(frame);
  return frames;
}

test('frames are the same however the bytes are cut', async () => {
  const bytes = Buffer.from(STREAM);
  const expected: Frame[] = [
    { id: '1', event: 'merge.queued', data: '{"ä":1}' },
    { id: '2', event: 'message', data: 'a\nb' },
    { id: undefined, event: 'message', data: 'c' },
  ];
  for (const size of [1, 2, 3, 7, bytes.length]) {
    const chunks = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
    expect({ size, frames: await collect(chunks) }).toEqual({ size, frames: expected });
  }
});
