import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AllowedRoots, FileStore, openUri, parseAllowedRoots, resolveUri, storeFolder } from '../src/index.js';
import { expectError, tempFolder } from './helpers.js';

const top = tempFolder();
const data = join(top, 'data');
const roots: AllowedRoots = {
  files: [data, join(top, 'second')],
  s3: [{ bucket: 'models', prefix: 'team/a' }],
  hub: [],
};
const at = (path: string) => `file://${top}/${path}`;
const open = (path: string) => resolveUri(at(path), roots);

beforeAll(() => {
  const files: Record<string, string> = {
    'data/llama/model.safetensors': 'weights',
    'data/llama/config.json': '{}',
    'data/llama/heads/task a.safetensors': 'head',
    'data/llama/.git/objects/x': 'hidden',
    'data/llama/.gitattributes': 'shown',
    'data/ä #1/x.safetensors': 'unusual',
    'data/notes.txt': 'text',
    'database/model.safetensors': 'lookalike',
    'outside/model.safetensors': 'outside',
    'second/blobs/abc': 'blob',
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(top, path, '..'), { recursive: true });
    writeFileSync(join(top, path), text);
  }
  const links: Record<string, string> = {
    'data/escape': '../outside',
    'data/absolute': join(top, 'outside'),
    'data/file.safetensors': '../outside/model.safetensors',
    'data/nowhere': '../outside/none',
    'data/nowhere.safetensors': '../outside/none.safetensors',
    'data/chain': 'escape',
    'data/inside': 'llama',
    'data/snapshot/model.safetensors': '../../second/blobs/abc',
    'data/bad-file/model.safetensors': '../../outside/model.safetensors',
    'data/bad-folder/sub': '../../outside',
    'data/bad-dangling/model.safetensors': '../../outside/none',
    'data/cycle/again': '../cycle',
    linked: 'data',
  };
  for (const [path, target] of Object.entries(links)) {
    mkdirSync(join(top, path, '..'), { recursive: true });
    symlinkSync(target, join(top, path));
  }
  writeFileSync(join(top, 'data/cycle/x.safetensors'), 'x');
});

describe('allowed roots', () => {
  it('are read from text', () => {
    expect(parseAllowedRoots(' file:///data, file:///with%2Ccomma/ ,s3://b1,s3://b2/x/y/,hf://org')).toEqual({
      files: ['/data', '/with,comma'],
      s3: [
        { bucket: 'b1', prefix: '' },
        { bucket: 'b2', prefix: 'x/y' },
      ],
      hub: ['org'],
    });
    expect(parseAllowedRoots('')).toEqual({ files: [], s3: [], hub: [] });
  });

  it.each(['/data', 'data', 'http://x/y', 'file://host/data', 'file:///a/../b', 's3:///x', 's3://b/../c'])(
    'refuse %j',
    (text) => expectError('invalid_request', () => parseAllowedRoots(text), 'allowed root', text),
  );
});

describe('file URIs', () => {
  it('open a folder', async () => {
    const folder = await open('data/llama');
    expect(folder.label).toBe(at('data/llama'));
    const files = await folder.list();
    expect(files.map(({ path, bytes }) => [path, bytes])).toEqual([
      ['.gitattributes', 5],
      ['config.json', 2],
      ['heads/task a.safetensors', 4],
      ['model.safetensors', 7],
    ]);
    const source = folder.source('model.safetensors');
    expect(source.name).toBe(`${at('data/llama')}/model.safetensors`);
    expect(await source.size()).toBe(7);
    expect(Buffer.from(await source.read(2, 5)).toString()).toBe('ights');
    expect(folder.localPath('config.json')).toBe(join(data, 'llama/config.json'));
    const copy = join(top, 'fetched/here.bin');
    const progress: number[] = [];
    await folder.fetch('heads/task a.safetensors', copy, { onProgress: (bytes) => progress.push(bytes) });
    expect(await readFile(copy, 'utf8')).toBe('head');
    expect(progress.at(-1)).toBe(4);
  });

  it.each([
    ['data/llama/', 'model.safetensors'],
    ['data/%C3%A4%20%231', 'x.safetensors'],
    ['data/inside', 'model.safetensors'],
    ['data/snapshot', 'model.safetensors'],
    ['data/cycle', 'x.safetensors'],
  ])('open %s', async (path, file) => {
    expect((await (await open(path)).list()).map((found) => found.path)).toContain(file);
  });

  it.each(['FILE', 'file'])('take the host localhost, and %s as the scheme', async (scheme) => {
    const folder = await openUri(`${scheme}://localhost${data}/llama`, { roots });
    expect(await folder.source('config.json').size()).toBe(2);
  });

  it.each(['data/llama/model.safetensors', 'data/snapshot/model.safetensors'])(
    'open the single file %s',
    async (path) => {
      const folder = await open(path);
      const [file, ...others] = await folder.list();
      expect(others).toEqual([]);
      expect(file?.path).toBe('model.safetensors');
      expect(await folder.source('model.safetensors').size()).toBe(file?.bytes);
      await expectError('not_found', () => folder.source('config.json').size(), 'config.json');
      await expectError('not_found', () => folder.localPath('config.json'), 'config.json');
    },
  );

  it.each([
    ['..', 'data/../outside'],
    ['.. at the end', 'data/llama/..'],
    ['.', 'data/./llama'],
    ['%2e%2e', 'data/%2e%2e/outside'],
    ['.%2E', 'data/.%2E/outside'],
    ['%252e%252e', 'data/%252e%252e/outside'],
    ['an encoded slash', 'data/..%2foutside'],
    ['an encoded slash', 'data/llama%2fconfig.json'],
    ['an encoded backslash', 'data/%5c..%5coutside'],
    ['a backslash', 'data/llama\\x'],
    ['NUL', 'data/llama%00'],
    ['raw NUL', 'data/llama\0'],
    ['an overlong dot', 'data/%c0%ae%c0%ae/outside'],
    ['an empty segment', 'data//llama'],
    ['a query', 'data/llama?x=/../..'],
    ['a fragment', 'data/llama#x'],
    ['a root that it merely looks like', 'database'],
    ['a file beside the roots', 'outside/model.safetensors'],
    ['a file that is nowhere', 'outside/none.safetensors'],
    ['another way to a root', 'linked/llama'],
    ['a linked folder', 'data/escape'],
    ['a linked folder, absolute', 'data/absolute'],
    ['a file below a linked folder', 'data/escape/model.safetensors'],
    ['nothing below a linked folder', 'data/escape/none'],
    ['a link to such a link', 'data/chain'],
    ['a linked file', 'data/file.safetensors'],
    ['a link to nothing', 'data/nowhere'],
    ['a link to no file', 'data/nowhere.safetensors'],
  ])('refuse %s: %s', async (_, path) => {
    await expectError('uri_not_allowed', open(path), path.split(/[\\\0]/)[0] ?? '');
  });

  it.each([
    'http://localhost/data/llama',
    'data:text/plain,x',
    'ftp://x/y',
    '/data/llama',
    'llama',
    './llama',
    '',
    'file:data/llama',
    'file:/data/llama',
    'file://',
    'file://llama',
    'file://example.com/data/llama',
    'file:////data/llama',
    ' file:///data/llama',
    'javascript:file:///data',
  ])('refuse %j', (uri) => expectError('uri_not_allowed', resolveUri(uri, { files: ['/'], s3: [], hub: [] }), uri));

  it.each(['bad-file', 'bad-folder', 'bad-dangling'])(
    'refuse to list %s, which holds a link that leads out',
    async (name) => {
      const folder = await open(`data/${name}`);
      await expectError('uri_not_allowed', folder.list(), at(`data/${name}`), 'symbolic link');
    },
  );

  it('refuse single files that lead out, in every way of reading', async () => {
    const folder = await open('data/bad-file');
    const file = 'model.safetensors';
    await expectError('uri_not_allowed', () => folder.source(file).size(), file);
    await expectError('uri_not_allowed', () => folder.source(file).read(0, 1), file);
    await expectError('uri_not_allowed', () => folder.localPath(file), file);
    await expectError('uri_not_allowed', folder.fetch(file, join(top, 'stolen')), file);
    for (const path of ['../x', '/etc/passwd', 'a/../../x', 'a\0']) {
      await expectError('invalid_request', () => folder.source(path), 'key');
      await expectError('invalid_request', () => folder.localPath(path), 'key');
      await expectError('invalid_request', folder.fetch(path, join(top, 'stolen')), 'key');
    }
  });

  it.each(['data/none', 'data/none/deeper', 'data/llama/none.safetensors', 'data/notes.txt/x'])(
    'say that %s does not exist',
    (path) => expectError('not_found', open(path), at(path)),
  );

  it('refuse files of another kind', () => expectError('invalid_checkpoint', open('data/notes.txt'), '.safetensors'));

  it('open a single file of another kind, with the files beside it that belong to it', async () => {
    const rule = { suffixes: ['.txt', '.onnx'], beside: ['llama/config.json', 'notes.txt'] };
    const folder = await resolveUri(at('data/notes.txt'), roots, undefined, rule);
    expect((await folder.list()).map(({ path }) => path)).toEqual(['notes.txt', 'llama/config.json']);
    expect(Buffer.from(await folder.source('llama/config.json').read(0, 2)).toString()).toBe('{}');
    await expectError('not_found', () => folder.source('llama/model.safetensors').size(), 'llama/model.safetensors');
    const withRule = (path: string, beside: string[]) =>
      resolveUri(at(path), roots, undefined, { suffixes: ['.txt'], beside });
    await expectError('not_found', withRule('data/notes.txt', ['none']), 'none');
    await expectError('uri_not_allowed', withRule('data/notes.txt', ['file.safetensors']), 'symbolic link');
    await expectError('invalid_request', withRule('data/notes.txt', ['../outside/model.safetensors']), 'key');
    await expectError('invalid_checkpoint', withRule('data/llama/model.safetensors', []), '.txt');
  });

  it('allow nothing without roots', () =>
    expectError('uri_not_allowed', resolveUri(at('data/llama'), { files: [], s3: [], hub: [] }), 'allowed root'));

  it('notice bytes that change while they are used', async () => {
    const path = join(data, 'changing');
    await mkdir(path);
    await writeFile(join(path, 'model.safetensors'), 'before');
    const folder = await open('data/changing');
    await folder.list();
    const source = folder.source('model.safetensors');
    expect(Buffer.from(await source.read(0, 6)).toString()).toBe('before');
    // The kernel's clock for files moves in steps of some milliseconds.
    await sleep(20);
    await writeFile(join(path, 'new'), 'after!');
    await rename(join(path, 'new'), join(path, 'model.safetensors'));
    await expectError('checkpoint_changed', source.read(0, 6), 'model.safetensors');
    await expectError('checkpoint_changed', folder.fetch('model.safetensors', join(top, 'changed')), 'model');
    await rm(join(path, 'model.safetensors'));
    symlinkSync('../../outside/model.safetensors', join(path, 'model.safetensors'));
    await expect(source.read(0, 6)).rejects.toThrow();
    await expectError('storage_error', folder.source('none.bin').read(-1, 1), 'none.bin');
  });
});

describe('s3 URIs', () => {
  // The store behind a bucket does not matter here; the contract suite holds both drivers to one behaviour.
  const store = new FileStore({ root: join(top, 'bucket'), baseUrl: 'http://x', secret: 'x' });
  const s3 = {
    bucket: (name: string) => {
      if (name !== 'models') throw new Error(`opened the bucket ${name}`);
      return store;
    },
  };
  const openS3 = (uri: string) => resolveUri(uri, roots, s3);

  beforeAll(async () => {
    for (const key of [
      'team/a/m/model.safetensors',
      'team/a/m/.cache/x',
      'team/a/x.txt',
      'team/ab/model.safetensors',
    ]) {
      await store.put(key, key);
    }
  });
  afterAll(() => store.close());

  it.each(['s3://models/team/a/m', 's3://models/team/a/m/', 'S3://models/team/a/m'])(
    'open the folder %s',
    async (uri) => {
      const folder = await openS3(uri);
      expect(folder.label).toBe(uri);
      expect((await folder.list()).map(({ path }) => path)).toEqual(['model.safetensors']);
      expect(Buffer.from(await folder.source('model.safetensors').read(0, 4)).toString()).toBe('team');
    },
  );

  it('open the root, and a single file', async () => {
    expect((await (await openS3('s3://models/team/a')).list()).map(({ path }) => path)).toEqual([
      'm/model.safetensors',
      'x.txt',
    ]);
    const file = await openS3('s3://models/team/a/m/model.safetensors');
    expect((await file.list()).map(({ path }) => path)).toEqual(['model.safetensors']);
    expect(file.source('model.safetensors').name).toBe('s3://models/team/a/m/model.safetensors');
  });

  it.each([
    's3://other/team/a/m',
    's3://models/team/ab',
    's3://models/team',
    's3://models',
    's3://models/team/a/../ab',
    's3://models/team/a/%2e%2e/ab',
    's3://models/team/a/%252E./ab',
    's3://models/team/a//m',
    's3://models/team/a/m\0',
    's3:///team/a',
    's3:models/team/a',
    's3://user@models/team/a',
  ])('refuse %j', (uri) => expectError('uri_not_allowed', openS3(uri), uri.split('\0')[0] ?? ''));

  it('open a single object of another kind, with those beside it', async () => {
    const rule = { suffixes: ['.txt'], beside: ['m/model.safetensors'] };
    const folder = await resolveUri('s3://models/team/a/x.txt', roots, s3, rule);
    expect((await folder.list()).map(({ path }) => path)).toEqual(['x.txt', 'm/model.safetensors']);
    expect(await folder.source('m/model.safetensors').size()).toBe('team/a/m/model.safetensors'.length);
  });

  it('say what is missing or of another kind', async () => {
    await expectError('not_found', openS3('s3://models/team/a/none'), 's3://models/team/a/none');
    await expectError('not_found', openS3('s3://models/team/a/none.safetensors'), 'none.safetensors');
    await expectError('invalid_checkpoint', openS3('s3://models/team/a/x.txt'), 'x.txt');
    await expectError('uri_not_allowed', resolveUri('s3://models/team/a/m', roots), 'no connection');
  });

  it('notice objects that change while they are used', async () => {
    await store.put('team/a/n/model.safetensors', 'before');
    const folder = storeFolder(store, 'team/a/n', 'a label');
    const source = folder.source('model.safetensors');
    expect(await source.size()).toBe(6);
    await store.put('team/a/n/model.safetensors', 'after!');
    await expectError('checkpoint_changed', source.read(0, 1), 'model.safetensors');
    await expectError('checkpoint_changed', folder.fetch('model.safetensors', join(top, 'n')), 'model.safetensors');
    await expectError('not_found', folder.source('none').size(), 'a label', 'none');
  });
});
