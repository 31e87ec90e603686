import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterEach, describe, expect, it } from 'vitest';
import { checkUrl, type DeliverOptions, deliver, type Lookup, newSecret, type WebhookPolicy } from '../src/index.js';

const policy: WebhookPolicy = { allowHttp: true, allowedPrivate: ['127.0.0.1'] };
const secret = newSecret();
const body = JSON.stringify({ type: 'merge.succeeded', data: { name: 'größe' } });

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener, host = '127.0.0.1'): Promise<number> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function send(port: number, more: Partial<DeliverOptions> = {}) {
  return deliver({ url: `http://127.0.0.1:${port}/hook?x=1`, secrets: secret, id: 'dlv_1', body, policy, ...more });
}

describe('deliver', () => {
  it('posts what a receiver can verify', async () => {
    const received: { request: IncomingMessage; text: string }[] = [];
    const port = await serve(async (request, response) => {
      received.push({ request, text: await read(request) });
      response.writeHead(202).end('{"fine":true}');
    });
    const outcome = await send(port);
    expect(outcome).toMatchObject({
      ok: true,
      status: 202,
      error: null,
      retryAfterMs: null,
      responseHead: '{"fine":true}',
      disable: false,
    });
    expect(outcome.durationMs).toBeGreaterThanOrEqual(0);
    const [{ request, text }] = received as [(typeof received)[number]];
    expect(request.headers).toMatchObject(outcome.requestHeaders);
    expect(Object.keys(outcome.requestHeaders)).toContain('webhook-signature');
    expect(request.method).toBe('POST');
    expect(request.url).toBe('/hook?x=1');
    expect(request.headers).toMatchObject({ 'content-type': 'application/json', 'webhook-id': 'dlv_1' });
    expect(request.headers['user-agent']).toMatch(/^Amalgam\//);
    expect(text).toBe(body);
    expect(new Webhook(secret).verify(text, request.headers as Record<string, string>)).toEqual(JSON.parse(body));
  });

  it('does not follow redirects', async () => {
    let followed = false;
    const target = await serve((_, response) => {
      followed = true;
      response.end();
    });
    for (const status of [301, 302, 303, 307, 308]) {
      const port = await serve((_, response) => {
        response.writeHead(status, { location: `http://127.0.0.1:${target}/` }).end();
      });
      expect(await send(port)).toMatchObject({
        ok: false,
        status,
        error: `HTTP ${status}: redirects are not followed`,
      });
    }
    expect(followed).toBe(false);
  });

  it('reports errors, Retry-After and 410', async () => {
    const answers: [number, Record<string, string>][] = [
      [500, {}],
      [429, { 'retry-after': '7' }],
      [503, { 'retry-after': 'nonsense' }],
      [410, {}],
    ];
    const port = await serve((_, response) => {
      const [status, headers] = answers.shift()!;
      response.writeHead(status, headers).end('no');
    });
    const nothing = { ok: false, retryAfterMs: null, disable: false, responseHead: 'no' };
    expect(await send(port)).toMatchObject({ ...nothing, status: 500, error: 'HTTP 500' });
    expect(await send(port)).toMatchObject({ ...nothing, status: 429, retryAfterMs: 7_000 });
    expect(await send(port)).toMatchObject({ ...nothing, status: 503 });
    expect(await send(port)).toMatchObject({ ...nothing, status: 410, disable: true });
  });

  it('reads one kilobyte of an endless answer, as text that a database can store', async () => {
    let closed: () => void = () => {};
    const hungUp = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const port = await serve((_, response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write(`\0\u00e4${'x'.repeat(64_000)}`), 1);
      response.on('close', () => {
        clearInterval(timer);
        closed();
      });
    });
    const outcome = await send(port);
    expect(outcome).toMatchObject({ ok: true, status: 200 });
    expect(outcome.responseHead).toBe(`\uFFFD\u00e4${'x'.repeat(1_021)}`);
    await hungUp;
  });

  it('gives up after the timeout, before or within the answer', async () => {
    const silent = await serve(() => {});
    const outcome = await send(silent, { timeoutMs: 200 });
    expect(outcome).toMatchObject({ ok: false, status: null, error: 'no answer within 200 ms' });
    expect(outcome.durationMs).toBeGreaterThanOrEqual(190);
    expect(outcome.durationMs).toBeLessThan(2_000);
    const stalls = await serve((_, response) => {
      response.writeHead(200);
      response.write('begun');
    });
    expect(await send(stalls, { timeoutMs: 200 })).toMatchObject({ ok: true, status: 200, responseHead: 'begun' });
  });

  it('throws when the caller gives up', async () => {
    const silent = await serve(() => {});
    const controller = new AbortController();
    const sending = send(silent, { signal: controller.signal });
    setTimeout(() => controller.abort(new Error('shutting down')), 50);
    await expect(sending).rejects.toThrow('shutting down');
    await expect(send(silent, { signal: controller.signal })).rejects.toThrow('shutting down');
  });

  it('reports a receiver that is away or hangs up', async () => {
    const port = await serve((request) => request.socket.destroy());
    expect(await send(port)).toMatchObject({ ok: false, status: null });
    servers.pop()!.close();
    const away = await send(port);
    expect(away).toMatchObject({ ok: false, status: null });
    expect(away.error).toContain('ECONNREFUSED');
    expect(JSON.stringify(away)).not.toContain(secret);
  });

  it('refuses what the policy forbids, literal addresses too, without connecting', async () => {
    let hits = 0;
    const port = await serve((_, response) => {
      hits++;
      response.end();
    });
    const strict: WebhookPolicy = { allowHttp: true, allowedPrivate: [] };
    for (const url of [
      `http://127.0.0.1:${port}/`,
      `http://2130706433:${port}/`,
      `http://[::ffff:127.0.0.1]:${port}/`,
      `http://localhost:${port}/`,
      `http://user:pass@127.0.0.1:${port}/`,
    ]) {
      const outcome = await send(port, { url, policy: strict });
      expect(outcome).toMatchObject({ ok: false, status: null });
      expect(outcome.error).toContain('webhook_not_allowed');
    }
    const refused = await send(port, { policy: { ...policy, allowHttp: false } });
    expect(refused.error).toContain('scheme');
    expect(refused.requestHeaders).toEqual({});
    expect(hits).toBe(0);
  });
});

describe('DNS rebinding', () => {
  it('cannot pass: what is checked is what is connected to', async () => {
    let hits = 0;
    const port = await serve((_, response) => {
      hits++;
      response.end();
    });
    let calls = 0;
    // Public when it is registered, this machine afterwards.
    const rebinding: Lookup = async () => [{ address: calls++ === 0 ? '93.184.215.14' : '127.0.0.1', family: 4 }];
    const strict: WebhookPolicy = { allowHttp: true, allowedPrivate: [], allowedPorts: [port] };
    const url = `http://rebind.example:${port}/`;
    await checkUrl(url, strict, rebinding);
    const outcome = await send(port, { url, policy: strict, lookup: rebinding });
    expect(outcome.error).toBe('webhook_not_allowed: the host rebind.example resolves to a loopback address');
    expect(calls).toBe(2);
    expect(hits).toBe(0);
  });

  it('asks the DNS once for a delivery', async () => {
    let host: string | undefined;
    const port = await serve((request, response) => {
      host = request.headers.host;
      response.end();
    });
    let calls = 0;
    const flapping: Lookup = async () => {
      calls++;
      return [{ address: calls === 1 ? '127.0.0.1' : '127.0.0.2', family: 4 }];
    };
    const outcome = await send(port, { url: `http://hooks.example:${port}/`, lookup: flapping });
    expect(outcome).toMatchObject({ ok: true, status: 200 });
    expect(calls).toBe(1);
    expect(host).toBe(`hooks.example:${port}`);
  });

  it('refuses a host with one bad address among good ones', async () => {
    const port = await serve((_, response) => response.end());
    const mixed: Lookup = async () => [
      { address: '127.0.0.1', family: 4 },
      { address: '10.0.0.1', family: 4 },
    ];
    const outcome = await send(port, { url: `http://mixed.example:${port}/`, lookup: mixed });
    expect(outcome.error).toContain('resolves to a private address');
  });

  it('tries every checked address', async () => {
    const port = await serve((_, response) => response.end());
    const two: Lookup = async () => [
      { address: '127.0.0.2', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ];
    const both: WebhookPolicy = { allowHttp: true, allowedPrivate: ['127.0.0.0/8'] };
    const outcome = await send(port, { url: `http://two.example:${port}/`, lookup: two, policy: both });
    expect(outcome).toMatchObject({ ok: true, status: 200 });
  });
});
