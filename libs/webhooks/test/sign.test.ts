import { createHmac } from 'node:crypto';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import { checkSecret, newSecret, signedHeaders } from '../src/index.js';

const body = JSON.stringify({ type: 'merge.succeeded', timestamp: '2026-11-23T00:00:00Z', data: { name: 'käse ✓' } });

describe('signing', () => {
  it('makes secrets of 32 random bytes', () => {
    const secret = newSecret();
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(Buffer.from(secret.slice(6), 'base64')).toHaveLength(32);
    expect(newSecret()).not.toBe(secret);
    checkSecret(secret);
  });

  it('signs what the standard verifier accepts', () => {
    const secret = newSecret();
    const headers = signedHeaders(secret, 'dlv_1', new Date(), body);
    expect(new Webhook(secret).verify(body, { ...headers })).toEqual(JSON.parse(body));
  });

  it('signs id, timestamp and body with HMAC-SHA256', () => {
    const secret = newSecret();
    const at = new Date(1_700_000_000_900);
    const headers = signedHeaders(secret, 'dlv_1', at, body);
    const key = Buffer.from(secret.slice(6), 'base64');
    const mac = createHmac('sha256', key).update(`dlv_1.1700000000.${body}`).digest('base64');
    expect(headers).toEqual({
      'webhook-id': 'dlv_1',
      'webhook-timestamp': '1700000000',
      'webhook-signature': `v1,${mac}`,
    });
  });

  it('is refused after any change', () => {
    const secret = newSecret();
    const headers = signedHeaders(secret, 'dlv_1', new Date(), body);
    const verifier = new Webhook(secret);
    expect(() => verifier.verify(`${body} `, { ...headers })).toThrow(WebhookVerificationError);
    expect(() => verifier.verify(body, { ...headers, 'webhook-id': 'dlv_2' })).toThrow(WebhookVerificationError);
    expect(() => new Webhook(newSecret()).verify(body, { ...headers })).toThrow(WebhookVerificationError);
    const old = signedHeaders(secret, 'dlv_1', new Date(Date.now() - 6 * 60_000), body);
    expect(() => verifier.verify(body, { ...old })).toThrow('too old');
  });

  it('signs with every secret while one replaces another', () => {
    const [old, fresh] = [newSecret(), newSecret()];
    const headers = signedHeaders([fresh, old], 'dlv_1', new Date(), body);
    expect(headers['webhook-signature'].split(' ')).toHaveLength(2);
    for (const secret of [old, fresh]) new Webhook(secret).verify(body, { ...headers });
    expect(() => signedHeaders([], 'dlv_1', new Date(), body)).toThrow(TypeError);
  });

  it('refuses secrets that are none, without repeating them', () => {
    const short = `whsec_${Buffer.alloc(23).toString('base64')}`;
    const long = `whsec_${Buffer.alloc(65).toString('base64')}`;
    for (const secret of ['', 'whsec_', 'whsec_hello', short, long, newSecret().slice(0, -1), newSecret().slice(6)]) {
      expect(() => checkSecret(secret)).toThrow(/24 to 64 bytes/);
    }
    checkSecret(`whsec_${Buffer.alloc(24).toString('base64')}`);
    checkSecret(`whsec_${Buffer.alloc(64).toString('base64')}`);
  });
});
