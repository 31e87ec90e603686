import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createClient } from '../src/index.js';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

describe('requests', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close().closeAllConnections();
  });

  /** A server whose answers come from `handlers`, one after another; the last one stays. */
  const serve = async (...handlers: Handler[]) => {
    const seen: IncomingMessage[] = [];
    const server = createServer((request, response) => {
      const handler = handlers[Math.min(seen.length, handlers.length - 1)]!;
      seen.push(request);
      request.resume();
      handler(request, response);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const base = `http://127.0.0.1:${port}`;
    return { seen, base, client: createClient({ baseUrl: `${base}/`, apiKey: 'amk_x', retries: 2 }) };
  };
  const status =
    (code: number, body: object = {}, headers: Record<string, string> = {}): Handler =>
    (_request, response) =>
      response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));

  it('tries a POST again with the same Idempotency-Key', async () => {
    const cut: Handler = (request) => request.socket.destroy();
    const { client, seen } = await serve(cut, status(503, {}, { 'retry-after': '0' }), status(202, { id: 'mrg_1' }));
    const merge = await client.merges.create({ recipe: { method: 'linear', models: [{ model: 'x' }] } });
    expect(merge.id).toBe('mrg_1');
    expect(seen).toHaveLength(3);
    const keys = new Set(seen.map(({ headers }) => headers['idempotency-key']));
    expect(keys.size).toBe(1);
    expect([...keys][0]).toMatch(/^[0-9a-f]{32}$/);
    expect(seen[0]!.headers['authorization']).toBe('Bearer amk_x');
  });

  it('gives up after so many tries, with what the service said', async () => {
    const busy = { code: 'rate_limited', detail: 'too many', status: 429 };
    const { client, seen } = await serve(status(429, busy, { 'retry-after': '0' }));
    await expect(client.merges.get('mrg_1')).rejects.toMatchObject({ code: 'rate_limited', detail: 'too many' });
    expect(seen).toHaveLength(3);
  });

  it('does not try again what trying does not mend, and tells fields and request id', async () => {
    const errors = [{ pointer: '/recipe/method', detail: 'unknown' }];
    const problem = { code: 'unknown_method', detail: 'there is no method', errors, request_id: 'req_1' };
    const { client, seen } = await serve(status(422, problem));
    await expect(client.merges.plan({ method: 'x', models: [{ model: 'x' }] })).rejects.toMatchObject({
      name: 'AmalgamError',
      code: 'unknown_method',
      errors,
      requestId: 'req_1',
      exitCode: 2,
    });
    expect(seen).toHaveLength(1);
  });

  it('makes sense of a proxy that speaks no problem+json', async () => {
    const { client } = await serve((_request, response) => response.writeHead(413).end('<html>'));
    await expect(client.methods.list()).rejects.toMatchObject({ code: 'payload_too_large' });
  });

  it('says what cannot be reached', async () => {
    const { client, base } = await serve(status(200));
    await new Promise((resolve) => servers.pop()!.close(resolve));
    await expect(client.methods.list()).rejects.toMatchObject({
      code: 'unavailable',
      detail: `${base} cannot be reached: ECONNREFUSED`,
    });
  });

  it('stops at once when it is told to', async () => {
    const { client } = await serve(status(503, {}, { 'retry-after': '30' }));
    const began = Date.now();
    const signal = AbortSignal.timeout(100);
    await expect(client.merges.get('mrg_1', { signal })).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(Date.now() - began).toBeLessThan(5000);
  });

  it('walks through pages', async () => {
    const { client, seen } = await serve(
      status(200, { data: [{ id: 'a' }], has_more: true, next_cursor: 'a' }),
      status(200, { data: [{ id: 'b' }], has_more: false, next_cursor: null }),
    );
    const ids: string[] = [];
    for await (const merge of client.merges.list({ state: ['queued', 'running'], metadata: { a: 'b' } }))
      ids.push(merge.id);
    expect(ids).toEqual(['a', 'b']);
    expect(decodeURIComponent(seen[0]!.url!)).toBe('/v1/merges?limit=100&state=queued&state=running&metadata[a]=b');
    expect(seen[1]!.url).toContain('after=a');
  });

  it('does not take an event twice, and asks again until nothing more will come', async () => {
    const frame = (seq: number) =>
      `id: ${seq}\nevent: merge.progress\ndata: ${JSON.stringify({ seq, type: 'merge.progress' })}\n\n`;
    const sse =
      (text: string): Handler =>
      (_request, response) =>
        response.writeHead(200, { 'content-type': 'text/event-stream' }).end(text);
    const { client, seen } = await serve(sse(frame(1) + frame(2)), sse(frame(2) + frame(3)), status(204));
    const seqs: number[] = [];
    for await (const { seq } of client.merges.events('mrg_1')) seqs.push(seq);
    expect(seqs).toEqual([1, 2, 3]);
    expect(seen.map(({ headers }) => headers['last-event-id'])).toEqual(['0', '2', '3']);
  });

  it('goes on with a download where it broke, and checks the digest of the whole', async () => {
    const bytes = Buffer.from('0123456789'.repeat(20_000));
    const etag = `"${createHash('sha256').update(bytes).digest('hex')}"`;
    const broken: Handler = (_request, response) => {
      response.writeHead(200, { etag, 'content-length': bytes.length });
      response.write(bytes.subarray(0, 70_000), () => setTimeout(() => response.destroy(), 100));
    };
    const rest: Handler = (request, response) => {
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1]);
      const length = bytes.length - from;
      response.writeHead(206, { etag, 'content-length': length, 'content-range': `bytes ${from}-/${bytes.length}` });
      response.end(bytes.subarray(from));
    };
    const { client, seen } = await serve(broken, rest);
    const folder = await mkdtemp(join(tmpdir(), 'amalgam-client-'));
    const progress: number[] = [];
    await client.merges.download('mrg_1', 'x', join(folder, 'x'), { onProgress: (done) => progress.push(done) });
    expect((await readFile(join(folder, 'x'))).equals(bytes)).toBe(true);
    expect(seen[1]!.headers).toMatchObject({ range: expect.stringMatching(/^bytes=[1-9]/), 'if-range': etag });
    expect(progress.at(-1)).toBe(bytes.length);
    await rm(folder, { recursive: true });
  });

  it('begins a download anew when the file has changed meanwhile', async () => {
    const broken: Handler = (_request, response) => {
      response.writeHead(200, { etag: '"old"', 'content-length': 8 });
      response.write('old ', () => setTimeout(() => response.destroy(), 100));
    };
    const whole: Handler = (_request, response) =>
      response.writeHead(200, { etag: '"new"', 'content-length': 3 }).end('new');
    const { client } = await serve(broken, whole);
    const folder = await mkdtemp(join(tmpdir(), 'amalgam-client-'));
    await client.merges.download('mrg_1', 'x', join(folder, 'x'));
    expect(await readdir(folder)).toEqual(['x']);
    expect(await readFile(join(folder, 'x'), 'utf8')).toBe('new');
    await rm(folder, { recursive: true });
  });
});
