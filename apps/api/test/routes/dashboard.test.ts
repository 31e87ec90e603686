import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Api, buildApp } from '../../src/index.js';
import { useWorld } from '../support/world.js';

const SCRIPT = 'console.info("amalgam");';

describe('the dashboard’s files', () => {
  const world = useWorld();
  let folder: string;
  let app: Api;
  let unbuilt: Api;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'amalgam-dashboard-'));
    await mkdir(join(folder, 'web/assets'), { recursive: true });
    await writeFile(join(folder, 'web/index.html'), '<!doctype html><title>Amalgam</title>');
    await writeFile(join(folder, 'web/assets/index-abc.js'), SCRIPT);
    await writeFile(join(folder, 'web/assets/index-abc.js.gz'), gzipSync(SCRIPT));
    const { config, parts, log } = world;
    app = await buildApp({ config, parts, log, dashboard: join(folder, 'web') });
    unbuilt = await buildApp({ config, parts, log, dashboard: join(folder, 'nothing') });
  });
  afterAll(async () => {
    await app?.close();
    await unbuilt?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('are at /, with a policy that lets in nothing from elsewhere and nothing inline', async () => {
    const page = await app.inject('/');
    expect(page.statusCode).toBe(200);
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page.headers['cache-control']).toBe('no-cache');
    const policy = String(page.headers['content-security-policy']);
    expect(policy).toMatch(/^default-src 'none';/);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect((await app.inject({ method: 'HEAD', url: '/' })).statusCode).toBe(200);
  });

  it('are cached for ever where their name has a digest, and compressed for those who take it', async () => {
    const plain = await app.inject('/assets/index-abc.js');
    expect(plain.headers).toMatchObject({
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=31536000, immutable',
      vary: 'accept-encoding',
    });
    expect(plain.payload).toBe(SCRIPT);
    const headers = { 'accept-encoding': 'deflate, gzip' };
    const packed = await app.inject({ url: '/assets/index-abc.js', headers });
    expect(packed.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(packed.rawPayload).toString()).toBe(SCRIPT);
  });

  it('are not sent again to whoever has them', async () => {
    const { etag } = (await app.inject('/')).headers;
    const again = await app.inject({ url: '/', headers: { 'if-none-match': String(etag) } });
    expect([again.statusCode, again.payload]).toEqual([304, '']);
  });

  it('leave other paths to the API, and paths that are nothing 404', async () => {
    expect((await app.inject('/healthz')).json()).toEqual({ status: 'ok' });
    for (const url of ['/assets/index-abc.js.gz', '/assets/', '/assets/../../package.json', '/index.html', '/merges']) {
      expect([url, (await app.inject(url)).statusCode]).toEqual([url, 404]);
    }
    expect((await app.inject({ method: 'POST', url: '/' })).statusCode).toBe(405);
  });

  it('say so when they have not been built', async () => {
    const page = await unbuilt.inject('/');
    expect(page.statusCode).toBe(503);
    expect(page.payload).toContain('npm run build');
  });
});
