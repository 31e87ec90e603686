import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { COMMIT, TestHub } from '../../../test/support/hub.js';
import {
  type AllowedRoots,
  type FolderView,
  type HubConnection,
  hubRepository,
  hubUri,
  LocalCache,
  parseUri,
  pinUri,
  readHubName,
  resolveUri,
} from '../src/index.js';
import { expectError, pattern, tempFolder } from './helpers.js';

const PART = 8 * 1024 * 1024;
const WEIGHTS = pattern(5 * PART + 12_345, 7);
const CONFIG = Buffer.from('{"model_type":"llama"}');
const roots: AllowedRoots = { files: [], s3: [], hub: ['org'] };
const rule = { suffixes: ['.safetensors'] };

let hub: TestHub;
beforeAll(async () => {
  const files = {
    'config.json': CONFIG,
    'empty.txt': Buffer.alloc(0),
    'model.safetensors': WEIGHTS,
    'unet/part one.safetensors': pattern(1000, 2),
    'unet/config.json': CONFIG,
    'unet/.cache/x': CONFIG,
  };
  hub = await TestHub.start({
    'org/model': { files, revisions: ['v1', 'refs/pr/2', 'feature/x'] },
    'org/private': { files, access: 'private' },
    'org/gated': { files, access: 'gated' },
    'other/model': { files },
  });
});
afterAll(() => hub.close());
beforeEach(() => {
  hub.take();
  hub.fault = () => false;
  hub.tamper = (bytes) => bytes;
});

const open = (uri: string, connection: HubConnection = {}, allowed = roots): Promise<FolderView> =>
  resolveUri(uri, allowed, undefined, rule, { endpoint: hub.endpoint, ...connection });

describe('hf:// URIs', () => {
  it.each([
    ['hf://org/model', { repo: 'org/model', revision: null, path: '' }],
    ['hf://org/model/unet/', { repo: 'org/model', revision: null, path: 'unet' }],
    ['HF://org/model@v1', { repo: 'org/model', revision: 'v1', path: '' }],
    ['hf://org/model@v1/unet/x.safetensors', { repo: 'org/model', revision: 'v1', path: 'unet/x.safetensors' }],
    ['hf://org/model@feature%2Fx/unet', { repo: 'org/model', revision: 'feature/x', path: 'unet' }],
    ['hf://org/model@refs/pr/2/unet', { repo: 'org/model', revision: 'refs/pr/2', path: 'unet' }],
    ['hf://org/model/a@b', { repo: 'org/model', revision: null, path: 'a@b' }],
  ])('%s', (uri, expected) => expect(parseUri(uri)).toEqual({ kind: 'hub', ...expected }));

  it.each([
    'hf://',
    'hf://model',
    'hf:///model',
    'hf://datasets/org/name',
    'hf://org/..',
    'hf://org/model@',
    'hf://org/model@../../x',
    'hf://org/model@a..b',
    'hf://org/model@%2e%2e',
    'hf://org/model/../x',
    'hf://org/model/%2e%2e/x',
    'hf://org/model?x=1',
    'hf://user:secret@org/model',
    'hf://org/model@v1#x',
  ])('refuse %j', (uri) => expectError('uri_not_allowed', () => parseUri(uri)));

  it('are written as they are read', () => {
    const reference = { repo: 'org/model', revision: 'feature/x', path: 'unet' };
    expect(parseUri(hubUri(reference))).toEqual({ kind: 'hub', ...reference });
  });

  it.each([
    ['org/model', 'org/model', null],
    ['org/model@v1', 'org/model', 'v1'],
    ['./models/a', null, null],
    ['models/a/b', null, null],
    ['a', null, null],
  ])('as mergekit writes them: %s', (text, repo, revision) => {
    expect(readHubName(text)).toEqual(repo === null ? null : { repo, revision, path: '' });
  });

  it.each([
    ['hf://org/model@v1', { repo: 'org/model', revision: 'v1' }],
    ['hf://org/model', { repo: 'org/model', revision: null }],
    ['hf://org/model@v1/unet', null],
    ['s3://org/model', null],
    ['file:///org/model', null],
  ])('as whole repositories: %s', (uri, repository) => {
    expect(hubRepository(uri)).toEqual(repository);
  });
});

describe('the hub', () => {
  it('resolves a revision to its commit, once', async () => {
    const pin = (uri: string) => pinUri(uri, roots, { endpoint: hub.endpoint });
    for (const revision of ['', '@main', '@v1', '@refs/pr/2', '@feature%2Fx']) {
      expect(await pin(`hf://org/model${revision}/unet`)).toBe(`hf://org/model@${COMMIT}/unet`);
    }
    hub.take();
    expect(await pin(`hf://org/model@${COMMIT}`)).toBe(`hf://org/model@${COMMIT}`);
    expect(hub.take()).toEqual([]);
    expect(await pin('s3://bucket/x')).toBe('s3://bucket/x');
  });

  it('lists a repository by pages, a folder of it, or one file', async () => {
    const paths = async (uri: string) => (await (await open(uri)).list()).map(({ path }) => path).sort();
    expect(await paths('hf://org/model')).toEqual([
      'config.json',
      'empty.txt',
      'model.safetensors',
      'unet/config.json',
      'unet/part one.safetensors',
    ]);
    expect(await paths('hf://org/model@v1/unet')).toEqual(['config.json', 'part one.safetensors']);
    expect(await paths('hf://org/model/unet/part one.safetensors')).toEqual(['part one.safetensors']);
    await expectError('invalid_checkpoint', open('hf://org/model/config.json'), 'folder or one .safetensors');
    await expectError('not_found', open('hf://org/model/vae'), 'hf://org/model/vae');
  });

  it('reads ranges, asking the hub for the store’s address once', async () => {
    const source = (await open('hf://org/model')).source('model.safetensors');
    hub.take();
    expect(await source.size()).toBe(WEIGHTS.length);
    expect(Buffer.from(await source.read(0, 8)).equals(WEIGHTS.subarray(0, 8))).toBe(true);
    expect(Buffer.from(await source.read(70_000, 5000)).equals(WEIGHTS.subarray(70_000, 75_000))).toBe(true);
    expect(await source.read(5, 0)).toHaveLength(0);
    expect(hub.take().map(({ at, range }) => [at, range])).toEqual([
      ['hub', 'bytes=0-7'],
      ['store', 'bytes=0-7'],
      ['store', 'bytes=70000-74999'],
    ]);
    await expectError('storage_error', source.read(WEIGHTS.length, 1), 'hf://org/model/model.safetensors');
  });

  it('asks for a new address when the store’s link has ended', async () => {
    const source = (await open('hf://org/model')).source('model.safetensors');
    await source.read(0, 8);
    hub.expireLinks();
    expect(Buffer.from(await source.read(8, 8)).equals(WEIGHTS.subarray(8, 16))).toBe(true);
  });

  it('shows the token to the endpoint and to nobody else', async () => {
    const folder = await open('hf://org/private', { token: hub.token });
    await folder.source('model.safetensors').read(0, 8);
    const requests = hub.take();
    expect(requests.filter(({ at }) => at === 'hub').every(({ authorization }) => authorization)).toBe(true);
    expect(requests.filter(({ at }) => at === 'store').map(({ authorization }) => authorization)).toEqual([undefined]);
  });

  it('is asked only for what is allowed', async () => {
    await expectError('uri_not_allowed', open('hf://other/model'), 'hf://other/model', 'allowed root');
    await expectError('uri_not_allowed', pinUri('hf://organic/model', roots, { endpoint: hub.endpoint }));
    expect(hub.take()).toEqual([]);
    await open('hf://other/model', {}, { ...roots, hub: ['other/model'] });
    await open('hf://other/model', {}, { ...roots, hub: [''] });
  });

  it('is not left for another server by what its answers link to', async () => {
    hub.fault = ({ path }, response) => {
      if (!path.includes('/tree/')) return false;
      response.setHeader('link', '<http://127.0.0.1:1/next>; rel="next"');
      response.writeHead(200, { 'content-type': 'application/json' }).end('[]');
      return true;
    };
    await expectError('storage_error', open('hf://org/model'), 'another server');
  });
});

describe('refusals of the hub, in words', () => {
  it('private, gated and missing models', async () => {
    await expectError('hub_refused', open('hf://org/private'), 'org/private', 'HF_TOKEN');
    await expectError('hub_refused', open('hf://org/nothing'), 'org/nothing', 'set HF_TOKEN');
    await expectError('not_found', open('hf://org/nothing', { token: hub.token }), 'no model org/nothing');
    await expectError('hub_refused', open('hf://org/private', { token: 'hf_wrong' }), 'does not take HF_TOKEN');
    const read = async (token?: string) =>
      (await open('hf://org/gated', token === undefined ? {} : { token })).source('model.safetensors').read(0, 8);
    await expectError('hub_refused', read(), 'gated', 'set HF_TOKEN');
    await expectError('hub_refused', read(hub.token), 'gated', 'accept its terms');
  });

  it('a revision that is not there', () =>
    expectError('not_found', open('hf://org/model@v9'), 'org/model has no revision v9'));

  it('too many requests: tried again where the wait is short, told where it is long', async () => {
    let left = 2;
    hub.fault = (_, response) => {
      if (left-- <= 0) return false;
      response.writeHead(429, { 'retry-after': '0' }).end();
      return true;
    };
    await open('hf://org/model');
    hub.fault = (_, response) => {
      response.writeHead(429, { 'retry-after': '300' }).end();
      return true;
    };
    await expectError('storage_error', open('hf://org/model'), 'too many requests', '300 s', 'HF_TOKEN');
  });

  it('what is no hub, or not there', async () => {
    hub.fault = (_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
      return true;
    };
    await expectError('storage_error', open('hf://org/model'), 'does not answer as a hub');
    const endpoint = 'http://127.0.0.1:1';
    await expectError('storage_error', open('hf://org/model', { endpoint }), '127.0.0.1:1 cannot be reached');
    await expectError('invalid_request', open('hf://org/model', { endpoint: 'ftp://x' }), 'HF_ENDPOINT');
  });
});

describe('weights of the hub', () => {
  const fetched = async (folder: FolderView, path: string): Promise<Buffer> => {
    const file = join(tempFolder(), 'x');
    await folder.fetch(path, file);
    return readFileSync(file);
  };

  it('arrive whole: large ones, small ones, empty ones', async () => {
    const folder = await open('hf://org/model');
    expect((await fetched(folder, 'model.safetensors')).equals(WEIGHTS)).toBe(true);
    expect((await fetched(folder, 'config.json')).equals(CONFIG)).toBe(true);
    expect(await fetched(folder, 'empty.txt')).toHaveLength(0);
  });

  it('are taken up where a connection broke', async () => {
    const folder = await open('hf://org/model');
    let broken = 0;
    hub.fault = ({ at, range }, response) => {
      const first = Number(/bytes=(\d+)-/.exec(range ?? '')?.[1]);
      if (at !== 'store' || first !== PART) return false;
      broken++;
      response.writeHead(206, { 'content-range': `bytes ${first}-${2 * PART - 1}/${WEIGHTS.length}` });
      response.write(WEIGHTS.subarray(first, first + 1000), () => response.destroy());
      return true;
    };
    expect((await fetched(folder, 'model.safetensors')).equals(WEIGHTS)).toBe(true);
    expect(broken).toBeGreaterThan(0);
    expect(hub.take().some(({ range }) => range === `bytes=${PART + 1000}-${2 * PART - 1}`)).toBe(true);
  });

  it('go on in the cache from what an earlier try has left', async () => {
    const home = tempFolder();
    const cache = new LocalCache(home, 10 * WEIGHTS.length);
    // The last range fails for good.
    hub.fault = ({ range }, response) => {
      if (!range?.startsWith(`bytes=${5 * PART}-`)) return false;
      response.writeHead(404).end();
      return true;
    };
    await expectError('not_found', cache.acquire(await open('hf://org/model'), 'model.safetensors'));
    expect(readdirSync(join(home, 'temp'))).toEqual([expect.stringMatching(/\.part$/)]);
    await cache.close();

    hub.fault = () => false;
    hub.take();
    const other = new LocalCache(home, 10 * WEIGHTS.length);
    const progress: number[] = [];
    const options = { onProgress: (bytes: number) => progress.push(bytes) };
    const file = await other.acquire(await open('hf://org/model'), 'model.safetensors', options);
    expect(readFileSync(file.path).equals(WEIGHTS)).toBe(true);
    expect(progress[0]).toBeGreaterThan(0);
    expect(progress.at(-1)).toBe(WEIGHTS.length);
    // What had arrived is not asked for again.
    const asked = hub.take().filter(({ at }) => at === 'store');
    const lengths = asked.map(({ range }) => {
      const [, first, last] = /bytes=(\d+)-(\d+)/.exec(range ?? '') ?? [];
      return Number(last) - Number(first) + 1;
    });
    expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(WEIGHTS.length - progress[0]!);
    expect(readdirSync(join(home, 'temp'))).toEqual([]);
    await other.close();
  });

  it('are refused when they are not those that the hub lists, and fetched anew then', async () => {
    const folder = await open('hf://org/model');
    const file = join(tempFolder(), 'x');
    hub.tamper = (bytes) => {
      const wrong = Buffer.from(bytes);
      wrong[10_000] = wrong[10_000]! ^ 1;
      return wrong;
    };
    await expectError('digest_mismatch', folder.fetch('model.safetensors', file), 'model.safetensors', 'SHA-256');
    expect(existsSync(file)).toBe(false);
    expect(statSync(`${file}.part`).size).toBe(0);
    hub.tamper = (bytes) => bytes;
    await folder.fetch('model.safetensors', file);
    expect(readFileSync(file).equals(WEIGHTS)).toBe(true);
  });

  it('stop arriving when they are no longer wanted', async () => {
    const folder = await open('hf://org/model');
    const file = join(tempFolder(), 'x');
    const abort = new AbortController();
    const onProgress = () => abort.abort(new Error('enough'));
    await expect(folder.fetch('model.safetensors', file, { signal: abort.signal, onProgress })).rejects.toThrow(
      'enough',
    );
    expect(existsSync(file)).toBe(false);
  });

  it('are read from a server that ignores ranges only where they begin', async () => {
    const folder = await open('hf://org/model');
    hub.fault = ({ at }, response) => {
      if (at !== 'store') return false;
      response.writeHead(200).end(WEIGHTS);
      return true;
    };
    const source = folder.source('model.safetensors');
    expect(Buffer.from(await source.read(0, 8)).equals(WEIGHTS.subarray(0, 8))).toBe(true);
    await expectError('storage_error', source.read(8, 8), 'the range');
  });
});
