import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { temporaryFolders } from '../../../test/support/folders.js';
import { bytesSource, fileSource, localFileFolder, localFolder } from '../src/index.js';

const folder = temporaryFolders();
const content = Uint8Array.from({ length: 100 }, (_, i) => i);

async function sources() {
  const path = join(await folder(), 'f.bin');
  await writeFile(path, content);
  return { path, both: [fileSource(path, 'f'), bytesSource('f', content)] };
}

describe('ByteSource', () => {
  it('reads exactly what is asked for, in a buffer of its own', async () => {
    const { both } = await sources();
    for (const source of both) {
      expect(await source.size()).toBe(100);
      const read = await source.read(3, 5);
      expect(read).toEqual(content.slice(3, 8));
      expect([read.byteOffset, read.buffer.byteLength]).toEqual([0, 5]);
      read.fill(0);
      expect(await source.read(0, 100)).toEqual(content);
      expect(await source.read(100, 0)).toEqual(new Uint8Array(0));
      await source.close?.();
    }
  });

  it.each([
    [99, 2],
    [101, 0],
    [-1, 1],
    [0, -1],
    [0.5, 1],
    [0, 2 ** 60],
    [0, Number.NaN],
  ])('refuses %d + %d', async (offset, length) => {
    const { both } = await sources();
    for (const source of both) {
      await expectError(() => source.read(offset, length), 'invalid_checkpoint', 'f: ', `${length} bytes`, '100 bytes');
      await source.close?.();
    }
  });

  it('opens lazily, closes twice, opens again', async () => {
    const { path } = await sources();
    const source = fileSource(path);
    await source.close();
    await Promise.all([source.read(0, 1), source.read(1, 1)]);
    await source.close();
    await source.close();
    expect(await source.read(7, 1)).toEqual(Uint8Array.of(7));
    await source.close();
  });

  it('notices a file that shrank', async () => {
    const { path } = await sources();
    const source = fileSource(path, 'f');
    await source.size();
    await truncate(path, 10);
    await expectError(() => source.read(0, 20), 'invalid_checkpoint', '10 bytes');
    await source.close();
  });

  it('says what is wrong with a path', async () => {
    const dir = await folder();
    await expectError(
      () => fileSource(join(dir, 'no'), 'no').size(),
      'invalid_checkpoint',
      'no: there is no such file',
    );
    await expectError(() => fileSource(dir, 'dir').size(), 'invalid_checkpoint', 'dir: is not a regular file');
    await expectError(() => fileSource('a\0b', 'nul').size(), 'invalid_checkpoint', 'nul: ');
    const source = fileSource(join(dir, 'no'));
    await expectError(() => source.read(0, 1), 'invalid_checkpoint');
    await source.close();
  });
});

describe('localFolder', () => {
  it('lists files only, recursively, and links to files', async () => {
    const dir = await folder();
    const outside = join(await folder(), 'blob');
    await writeFile(outside, 'blob!');
    await mkdir(join(dir, 'sub', 'deep'), { recursive: true });
    await mkdir(join(dir, 'empty'));
    await writeFile(join(dir, 'b'), 'bb');
    await writeFile(join(dir, 'sub', 'deep', 'a'), 'a');
    await symlink(outside, join(dir, 'link'));
    await symlink(join(dir, 'nowhere'), join(dir, 'dangling'));
    await symlink(dir, join(dir, 'sub', 'circle'));
    const local = localFolder(dir, 'my-model');
    expect(await local.list()).toEqual([
      { path: 'b', bytes: 2 },
      { path: 'link', bytes: 5 },
      { path: 'sub/deep/a', bytes: 1 },
    ]);
    expect(local.localPath('sub/deep/a')).toBe(join(dir, 'sub/deep/a'));
    const source = local.source('link');
    expect(source.name).toBe('my-model/link');
    expect(Buffer.from(await source.read(0, 5)).toString()).toBe('blob!');
    await source.close?.();
  });

  it.each(['../x', 'a/../../x', '/etc/passwd', '', 'a//b', './a', 'a\\..\\b', 'a\0'])(
    'does not leave the folder by %j',
    async (path) => {
      const local = localFolder(await folder(), 'm');
      await expectError(() => local.source(path), 'invalid_checkpoint', 'm: ');
      await expectError(() => local.localPath(path), 'invalid_checkpoint', 'm: ');
    },
  );

  it('says that a folder is missing or a file', async () => {
    const dir = await folder();
    await writeFile(join(dir, 'f'), '');
    await expectError(() => localFolder(join(dir, 'no'), 'no').list(), 'invalid_checkpoint', 'no: there is no such');
    await expectError(() => localFolder(join(dir, 'f'), 'f').list(), 'invalid_checkpoint', 'f: is not a folder');
  });
});

describe('localFileFolder', () => {
  it('holds just the file', async () => {
    const file = join(await folder(), 'f.safetensors');
    await writeFile(file, 'abc');
    const local = localFileFolder(file, 'shown');
    expect(await local.list()).toEqual([{ path: 'f.safetensors', bytes: 3 }]);
    expect(local.localPath('f.safetensors')).toBe(file);
    expect(local.source('f.safetensors').name).toBe('shown');
    await expectError(() => local.source('other'), 'invalid_checkpoint', 'shown: ', '"other"');
    await expectError(
      () => localFileFolder(`${file}.no`, 'gone').list(),
      'invalid_checkpoint',
      'gone: there is no such',
    );
  });
});
