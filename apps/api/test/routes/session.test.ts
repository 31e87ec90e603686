import type { ApiKey, Merge, Problem, Session } from '@amalgam/contracts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SESSION_SECONDS } from '../../src/services/session.js';
import { queueMerge, useWorld } from '../support/world.js';

const HOST = 'localhost:8080';
const OURS = `http://${HOST}`;

describe('sessions of browsers', () => {
  const world = useWorld();
  afterEach(() => vi.useRealTimers());

  const signIn = (key: string, headers: Record<string, string> = {}) =>
    world.call<Session & Problem>('POST', '/v1/session', { token: null, body: { key }, headers });
  /** What a browser would send back. */
  const cookieOf = async (key = world.token) => {
    const { headers } = await signIn(key);
    return String(headers['set-cookie']).split(';', 1)[0]!;
  };
  const withCookie = <T = Problem>(method: string, url: string, cookie: string, more: Record<string, string> = {}) =>
    world.call<T>(method, url, { token: null, headers: { cookie, host: HOST, ...more } });

  it('begin with a key, in a cookie that scripts and other sites do not get, and that does not show the key', async () => {
    const { status, body, headers } = await signIn(` ${world.token}\n`, { origin: OURS, host: HOST });
    expect(status).toBe(201);
    expect(body).toMatchObject({ object: 'session', scopes: ['*'], key_id: expect.stringMatching(/^key_/) });
    expect(Date.parse(body.expires_at!) - Date.now()).toBeGreaterThan((SESSION_SECONDS - 60) * 1000);
    const cookie = String(headers['set-cookie']);
    expect(cookie).toMatch(/^amalgam_session=[\w.-]+; Path=\/v1; Max-Age=43200; HttpOnly; SameSite=Strict$/);
    expect(headers['cache-control']).toBe('no-store');
    for (const part of world.token.split('_').slice(1)) {
      expect(Buffer.from(cookie.split('.').at(-1)!, 'base64url').toString('latin1')).not.toContain(part);
    }
  });

  it('read what the key reads, and say whose they are', async () => {
    const cookie = await cookieOf();
    expect((await withCookie('GET', '/v1/merges', cookie)).status).toBe(200);
    const { body } = await withCookie<Session>('GET', '/v1/session', cookie);
    expect(body.expires_at).not.toBeNull();
    const byKey = await world.call<Session>('GET', '/v1/session');
    expect(byKey.body).toEqual({ ...body, expires_at: null });
  });

  it('write only for pages of this service', async () => {
    const { id } = await queueMerge(world);
    const cookie = await cookieOf();
    const cancel = (more: Record<string, string>) => withCookie('POST', `/v1/merges/${id}/cancel`, cookie, more);
    const foreign: Record<string, string>[] = [
      {},
      { origin: 'null' },
      { origin: 'https://elsewhere.example' },
      { origin: 'http://localhost:8081' },
      { origin: OURS, 'sec-fetch-site': 'same-site' },
    ];
    for (const headers of foreign) {
      const { status, body } = await cancel(headers);
      expect({ headers, status, code: body.code }).toEqual({ headers, status: 403, code: 'forbidden' });
    }
    expect((await world.call<Merge>('GET', `/v1/merges/${id}`)).body.state).toBe('queued');
    expect((await cancel({ origin: OURS, 'sec-fetch-site': 'same-origin' })).status).toBe(200);
    expect((await world.call<Merge>('GET', `/v1/merges/${id}`)).body.state).toBe('canceled');
  });

  it('take the address that clients are told for their own, whatever a proxy asks for', async () => {
    const { id } = await queueMerge(world);
    const cookie = await cookieOf();
    const headers = { origin: world.config.publicUrl, host: 'api.internal:8080' };
    expect((await withCookie('POST', `/v1/merges/${id}/cancel`, cookie, headers)).status).toBe(200);
  });

  it('do not answer to pages of other sites, not even to questions', async () => {
    const cookie = await cookieOf();
    for (const site of ['cross-site', 'same-site']) {
      const { status } = await withCookie('GET', '/v1/merges', cookie, { 'sec-fetch-site': site });
      expect(status).toBe(403);
    }
    expect((await signIn(world.token, { origin: 'https://elsewhere.example', host: HOST })).status).toBe(403);
  });

  it('are refused when they were altered, are another service’s, or nothing', async () => {
    const cookie = await cookieOf();
    const wrong = [`${cookie}x`, cookie.replace(/.{8}$/, 'AAAAAAAA'), 'amalgam_session=x', 'amalgam_session='];
    for (const sent of wrong) {
      const { status, body } = await withCookie('GET', '/v1/merges', sent);
      expect({ sent, status, code: body.code }).toEqual({ sent, status: 401, code: 'unauthorized' });
    }
  });

  it('begin with no key that is wrong, and do not go before a key that is sent', async () => {
    expect(await signIn('amk_nonsense')).toMatchObject({ status: 401, body: { code: 'unauthorized' } });
    const cookie = await cookieOf();
    const { status } = await withCookie('GET', '/v1/merges', cookie, { authorization: 'Bearer amk_nonsense' });
    expect(status).toBe(401);
  });

  it('end after twelve hours', async () => {
    const cookie = await cookieOf();
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + (SESSION_SECONDS - 60) * 1000 });
    expect((await withCookie('GET', '/v1/merges', cookie)).status).toBe(200);
    vi.setSystemTime(Date.now() + 61_000);
    const { status, body } = await withCookie('GET', '/v1/merges', cookie);
    expect({ status, detail: body.detail }).toEqual({ status: 401, detail: 'the session has ended: sign in again' });
  });

  it('end with their key, and may do no more than it', async () => {
    const { body: key } = await world.call<ApiKey>('POST', '/v1/keys', { body: { name: 'reader', scopes: ['read'] } });
    const cookie = await cookieOf(key.token!);
    const refused = await withCookie('POST', '/v1/merges/mrg_x/cancel', cookie, { origin: OURS });
    expect(refused.body.detail).toContain('lacks the scope "write"');
    await world.call('DELETE', `/v1/keys/${key.id}`);
    expect((await withCookie('GET', '/v1/merges', cookie)).body.code).toBe('key_revoked');
  });

  it('are forgotten by signing out', async () => {
    const { status, headers } = await world.call('DELETE', '/v1/session', { token: null });
    expect(status).toBe(204);
    expect(headers['set-cookie']).toMatch(/^amalgam_session=; Path=\/v1; Max-Age=0;/);
  });
});

describe('guessing keys', () => {
  const world = useWorld();

  it('is slowed down: so many sign-ins a minute from an address', async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 32; i++) {
      const { status } = await world.call('POST', '/v1/session', { token: null, body: { key: `amk_guess${i}` } });
      statuses.push(status);
    }
    expect(statuses.slice(0, 30)).toEqual(Array(30).fill(401));
    const late = await world.call<Problem>('POST', '/v1/session', { token: null, body: { key: world.token } });
    expect([late.status, late.body.code]).toEqual([429, 'rate_limited']);
    expect(Number(late.headers['retry-after'])).toBeGreaterThan(0);
    // Signing out, and whoever has a key already, are not held up.
    expect((await world.call('DELETE', '/v1/session', { token: null })).status).toBe(204);
    expect((await world.call('GET', '/v1/session')).status).toBe(200);
  });
});

describe('sessions behind HTTPS', () => {
  const world = useWorld({ env: { AMALGAM_PUBLIC_URL: 'https://merge.example.com' } });

  it('are in a cookie that only HTTPS carries', async () => {
    const body = { key: world.token };
    const headers = { origin: 'https://merge.example.com', host: 'merge.example.com' };
    const answer = await world.call('POST', '/v1/session', { token: null, body, headers });
    expect(answer.headers['set-cookie']).toMatch(/; SameSite=Strict; Secure$/);
  });
});
