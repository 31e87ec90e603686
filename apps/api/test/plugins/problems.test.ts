import { connect } from 'node:net';
import type { Problem } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { useWorld } from '../support/world.js';

describe('problems', () => {
  const world = useWorld({ env: { AMALGAM_BODY_LIMIT_BYTES: '2048' }, timing: { bodyMs: 200 } });
  const post = (payload: string, type = 'application/json') =>
    world.app.inject({
      method: 'POST',
      url: '/v1/merges',
      headers: { authorization: `Bearer ${world.token}`, 'content-type': type },
      payload,
    });

  it('names unknown keys with the nearest one, and every problem at once', async () => {
    const { status, body } = await world.call<Problem>('POST', '/v1/merges', {
      body: { recipe: { metod: 'ties', models: [{ model: 'x', wieght: 1 }] }, nmae: 'x' },
    });
    expect(status).toBe(400);
    expect(body.code).toBe('invalid_request');
    expect(body.errors?.map(({ pointer }) => pointer).sort()).toEqual([
      '/nmae',
      '/recipe/method',
      '/recipe/metod',
      '/recipe/models/0/wieght',
    ]);
    expect(body.errors?.find(({ pointer }) => pointer === '/recipe/metod')?.detail).toContain('did you mean "method"?');
    expect(body.request_id).toMatch(/^req_/);
  });

  it('does not coerce bodies', async () => {
    const { body } = await world.call<Problem>('POST', '/v1/merges', {
      body: { recipe: { method: 'linear', models: [{ model: 'x' }], shard_bytes: '5000' } },
    });
    expect(body.errors).toEqual([{ pointer: '/recipe/shard_bytes', detail: 'must be integer, not string' }]);
  });

  it('refuses what is no JSON, no object, poisoned, or not storable', async () => {
    for (const payload of ['{', '[1', 'NaN', '{"recipe": {"method": NaN}}', '{"__proto__": {"x": 1}}']) {
      const response = await post(payload);
      expect({ payload, status: response.statusCode, code: response.json<Problem>().code }).toEqual({
        payload,
        status: 400,
        code: 'invalid_request',
      });
    }
    expect((await post('')).json<Problem>().detail).toBe('must be object, not null');
    const nul = await world.call<Problem>('POST', '/v1/merges', {
      body: { name: 'a\0b', recipe: { method: 'linear', models: [{ model: '\ud800' }] } },
    });
    expect(nul.body.errors?.map(({ pointer }) => pointer)).toEqual(['/name', '/recipe/models/0/model']);
  });

  it('refuses what is nested without end', async () => {
    const deep = `${'['.repeat(500)}${']'.repeat(500)}`;
    const response = await post(
      `{"recipe": {"method": "linear", "models": [{"model": "x"}], "parameters": {"a": ${deep}}}}`,
    );
    expect(response.statusCode).toBe(400);
    expect(response.json<Problem>().detail).toContain('nested deeper than');
  });

  it('refuses a body over the limit and other content types', async () => {
    const large = await post(JSON.stringify({ name: 'x'.repeat(3000) }));
    expect(large.statusCode).toBe(413);
    expect(large.json()).toMatchObject({ code: 'payload_too_large', detail: 'the body is larger than 2048 bytes' });
    const text = await post('a=b', 'application/x-www-form-urlencoded');
    expect(text.statusCode).toBe(415);
    expect(text.json<Problem>().code).toBe('unsupported_media_type');
  });

  it('tells an unknown path from a verb that a path does not take', async () => {
    expect(await world.call('GET', '/v1/nothing')).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect(await world.call('GET', '/nothing')).toMatchObject({ status: 404, body: { code: 'not_found' } });
    const { status, body, headers } = await world.call<Problem>('PATCH', '/v1/merges/mrg_x');
    expect({ status, code: body.code }).toEqual({ status: 405, code: 'method_not_allowed' });
    expect(headers['allow']).toBe('GET, HEAD');
    expect((await world.call('DELETE', '/v1/merges')).headers['allow']).toBe('GET, HEAD, POST');
  });

  it('refuses a path that cannot be decoded, with a request id', async () => {
    const { status, body, headers } = await world.call<Problem>('GET', '/v1/merges/%E0%A4%A');
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_request' });
    expect(headers['x-request-id']).toBe(body.request_id);
  });

  it('returns the request id that was sent when it is sane, else a new one', async () => {
    const given = await world.call('GET', '/healthz', { headers: { 'x-request-id': 'pipeline-118.step:2' } });
    expect(given.headers['x-request-id']).toBe('pipeline-118.step:2');
    for (const bad of ['a b', 'x'.repeat(200), '"<script>']) {
      const { headers } = await world.call('GET', '/healthz', { headers: { 'x-request-id': bad } });
      expect(headers['x-request-id']).toMatch(/^req_[0-9a-f]{32}$/);
    }
  });

  it('keeps the insides of an unknown error to the log', async () => {
    const { merges } = world.parts.database;
    const { get } = merges;
    merges.get = () => Promise.reject(new Error('relation "merges" at 10.0.0.7 password=hunter2'));
    try {
      const { status, body, text } = await world.call<Problem>('GET', '/v1/merges/mrg_01K0000000000000000000000A');
      expect({ status, code: body.code }).toEqual({ status: 500, code: 'internal' });
      expect(text).not.toMatch(/hunter2|10\.0\.0\.7|relation|stack/);
    } finally {
      merges.get = get;
    }
  });

  it('sets the headers that keep browsers safe', async () => {
    const { headers } = await world.call('GET', '/healthz', { token: null });
    expect(headers['content-security-policy']).toContain("default-src 'none'");
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['x-powered-by']).toBeUndefined();
  });

  it('answers a request that is no HTTP without falling over', async () => {
    const url = new URL(await world.listen());
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(Number(url.port), url.hostname, () => socket.write('NONSENSE\r\n\r\n'));
      socket.once('data', (data) => resolve(data.toString()));
    });
    expect(answer).toMatch(/^HTTP\/1\.1 400/);
    expect((await fetch(new URL('/healthz', url))).status).toBe(200);
  });

  it('does not wait for ever for a body', async () => {
    const url = new URL(world.config.publicUrl);
    const head = `POST /v1/merges HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${world.token}\r\n`;
    await new Promise<void>((resolve) => {
      const socket = connect(Number(url.port), url.hostname, () =>
        socket.write(`${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{`),
      );
      socket.on('error', () => {}).once('close', () => resolve());
    });
  });
});
