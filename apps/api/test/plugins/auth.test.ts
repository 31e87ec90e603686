import type { ApiKey, List, Problem } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { register, useWorld } from '../support/world.js';

describe('API keys', () => {
  const world = useWorld();
  const list = (token: string | null) => world.call<Problem>('GET', '/v1/merges', { token });
  const makeKey = async (body: object) => (await world.call<ApiKey>('POST', '/v1/keys', { body })).body;

  it('refuses a missing, malformed or wrong key, and says how to send one', async () => {
    const wrong = `${world.token.slice(0, -4)}0000`;
    for (const token of [null, 'nonsense', wrong]) {
      const { status, body, headers } = await list(token);
      expect({ status, code: body.code }).toEqual({ status: 401, code: 'unauthorized' });
      expect(headers['www-authenticate']).toMatch(/^Bearer realm="amalgam"/);
      expect(headers['content-type']).toMatch('application/problem+json');
    }
    expect(
      (await world.call('GET', '/v1/merges', { token: null, headers: { authorization: 'Basic eDp5' } })).status,
    ).toBe(401);
  });

  it('tells an expired key from a revoked one', async () => {
    const expired = await world.parts.database.apiKeys.createKey(world.projectId, {
      name: 'old',
      scopes: ['*'],
      expiresAt: new Date(Date.now() - 1000),
    });
    expect((await list(expired.token)).body.code).toBe('key_expired');

    const key = await makeKey({ name: 'short-lived' });
    expect((await list(key.token!)).status).toBe(200);
    expect((await world.call('DELETE', `/v1/keys/${key.id}`)).status).toBe(204);
    expect((await list(key.token!)).body.code).toBe('key_revoked');
    const { body } = await world.call<List<ApiKey>>('GET', '/v1/keys');
    expect(body.data.find(({ id }) => id === key.id)?.revoked_at).not.toBeNull();
  });

  it('shows a key once, and never lists its secret', async () => {
    const key = await makeKey({ name: 'pipeline', scopes: ['read'], expires_at: '2999-01-01T00:00:00Z' });
    expect(key).toMatchObject({ name: 'pipeline', scopes: ['read'], expires_at: '2999-01-01T00:00:00.000Z' });
    expect(key.token).toMatch(/^amk_/);
    const { text } = await world.call('GET', '/v1/keys');
    expect(text).toContain(key.id);
    expect(text).not.toContain(key.token!.slice(-20));
  });

  it('holds keys to their scopes', async () => {
    const reader = (await makeKey({ name: 'reader', scopes: ['read'] })).token!;
    const writer = (await makeKey({ name: 'writer', scopes: ['read', 'write'] })).token!;
    expect((await list(reader)).status).toBe(200);
    const refused = await world.call<Problem>('POST', '/v1/checkpoints', { token: reader, body: { uri: 'file:///x' } });
    expect(refused).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    expect(
      (await world.call('POST', '/v1/checkpoints', { token: writer, body: { uri: 'file:///x' } })).body,
    ).toMatchObject({ code: 'uri_not_allowed' });
    // A key that may write must not make itself one that may do more.
    expect((await world.call('POST', '/v1/keys', { token: writer, body: { name: 'more' } })).status).toBe(403);
    expect((await world.call('GET', '/v1/keys', { token: reader })).status).toBe(403);
  });

  it('refuses scopes that there are not, and an expiry in the past', async () => {
    const scope = await world.call<Problem>('POST', '/v1/keys', { body: { name: 'x', scopes: ['wirte'] } });
    expect(scope.body).toMatchObject({ status: 400, errors: [{ pointer: '/scopes/0' }] });
    expect(scope.body.detail).toContain('did you mean "write"?');
    const past = await world.call<Problem>('POST', '/v1/keys', {
      body: { name: 'x', expires_at: '2001-01-01T00:00:00Z' },
    });
    expect(past.body.errors).toEqual([{ pointer: '/expires_at', detail: 'must be in the future' }]);
  });

  it('hides what belongs to another project, key by key and call by call', async () => {
    const { id } = await register(world, 'mine');
    const { id: keyId } = await makeKey({ name: 'mine' });
    const calls: [string, string][] = [
      ['GET', `/v1/checkpoints/${id}`],
      ['GET', `/v1/checkpoints/${id}/tensors`],
      ['GET', `/v1/checkpoints/${id}/files/model.safetensors`],
      ['POST', `/v1/checkpoints/${id}/complete`],
      ['DELETE', `/v1/checkpoints/${id}`],
      ['DELETE', `/v1/keys/${keyId}`],
    ];
    for (const [method, url] of calls) {
      const { status, body } = await world.call<Problem>(method, url, { token: world.strangerToken });
      expect({ method, url, status, code: body.code }).toEqual({ method, url, status: 404, code: 'not_found' });
    }
    expect((await world.call('GET', `/v1/checkpoints/${id}`)).status).toBe(200);
  });
});

describe('the rate limit', () => {
  const world = useWorld({ env: { AMALGAM_RATE_LIMIT: '5' } });

  it('counts each key by itself and says when to come back', async () => {
    for (let i = 0; i < 5; i++) expect((await world.call('GET', '/v1/methods')).status).toBe(200);
    const { status, body, headers } = await world.call<Problem>('GET', '/v1/methods');
    expect({ status, code: body.code }).toEqual({ status: 429, code: 'rate_limited' });
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect((await world.call('GET', '/v1/methods', { token: world.strangerToken })).status).toBe(200);
    expect((await world.call('GET', '/healthz', { token: null })).status).toBe(200);
  });
});
