import { createClient } from '@amalgam/client';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { FeedState } from '../src/live/feed.js';

/** A service whose streams say where they are, and then nothing until their client goes. */
const client = createClient({
  baseUrl: 'http://127.0.0.1',
  fetch: async (_url, init) => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        controller.enqueue(new TextEncoder().encode('id: 7\n\n'));
        init?.signal?.addEventListener('abort', () => controller.error(init.signal?.reason));
      },
    });
    return new Response(body);
  },
});

afterEach(() => vi.unstubAllGlobals());

describe('the stream that a page shares', () => {
  it('becomes live each time it is begun, so that what was read meanwhile is read again', async () => {
    vi.stubGlobal('document', Object.assign(new EventTarget(), { visibilityState: 'visible' }));
    vi.stubGlobal('location', { origin: 'http://127.0.0.1' });
    const { Feed } = await import('../src/live/feed.js');
    const feed = new Feed(client);
    const states: FeedState[] = [];
    feed.watch(() => states.push(feed.state));
    for (let i = 0; i < 2; i++) {
      const end = feed.start(() => {});
      await vi.waitFor(() => expect(feed.state).toBe('live'));
      end();
    }
    expect(states).toEqual(['live', 'connecting', 'live', 'connecting']);
  });
});
