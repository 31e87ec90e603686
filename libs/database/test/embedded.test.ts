import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { packagedNative, usableBinaries } from '../src/embedded/binaries.js';
import { isAlive } from '../src/embedded/process.js';
import { canEnter } from '../src/embedded/user.js';
import { type EmbeddedOptions, type EmbeddedPostgres, startEmbeddedPostgres } from '../src/embedded.js';

const isRoot = process.getuid?.() === 0;
const CHILD = fileURLToPath(new URL('embedded-child.mjs', import.meta.url));
const isBuilt = existsSync(new URL('../dist/embedded.js', import.meta.url));
const NOBODY = { uid: 65534, gid: 65534, name: 'nobody' };

function skipUnless(needs: boolean, name: string, reason: string): boolean {
  if (!needs) console.warn(`SKIPPED: embedded Postgres, ${name}: ${reason}`);
  return !needs;
}

let dir: string;
let logged: string[];
const running: EmbeddedPostgres[] = [];
const children: ChildProcess[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'amalgam-embedded-'));
  await chmod(dir, 0o755);
  logged = [];
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const server of running.splice(0)) await server.stop();
  await rm(dir, { recursive: true, force: true });
});

async function start(more: Partial<EmbeddedOptions> = {}): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({
    dir,
    settings: { fsync: 'off' },
    log: (line) => logged.push(line),
    ...more,
  });
  running.push(server);
  return server;
}

async function query<T extends pg.QueryResultRow>(url: string, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function postmaster(dataDir = join(dir, 'data')): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, 'postmaster.pid'), 'utf8'), 10);
}

async function child(args: string[], user?: { uid: number; gid: number }) {
  const node = spawn(process.execPath, [CHILD, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: '/',
    ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
  });
  children.push(node);
  const line = await new Promise<string>((resolve, reject) => {
    node.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString()));
    node.once('exit', (code) => reject(new Error(`the child ended with ${code}`)));
  });
  return { node, ...(JSON.parse(line) as { url: string; listeners: number }) };
}

const KEEP = 'CREATE TABLE kept AS SELECT 7 AS n';
const READ = 'SELECT n FROM kept';

describe('the embedded server', () => {
  it('keeps data, port and password over a restart, and listens on loopback alone', async () => {
    const before = process.listenerCount('SIGTERM') + process.listenerCount('SIGINT');
    const first = await start();
    await query(first.url, KEEP);
    expect(await query(first.url, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
    expect(await query(first.url, 'SHOW max_connections')).toEqual([{ max_connections: '200' }]);
    expect((await stat(join(dir, 'postgres.password'))).mode & 0o777).toBe(0o600);
    await Promise.all([first.stop(), first.stop()]);
    await first.stop();
    await expect(query(first.url, READ)).rejects.toThrow();
    const second = await start();
    expect(second.url).toBe(first.url);
    expect(await query(second.url, READ)).toEqual([{ n: 7 }]);
    expect(process.listenerCount('SIGTERM') + process.listenerCount('SIGINT')).toBe(before);
  });

  it('takes another port when its own is taken, and refuses a given one that is', async () => {
    const first = await start();
    await first.stop();
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(first.port, '127.0.0.1', resolve));
    const second = await start();
    expect(second.port).not.toBe(first.port);
    await second.stop();
    await expect(start({ port: first.port })).rejects.toMatchObject({
      code: 'unavailable',
      message: `port ${first.port} is taken by another program`,
    });
    await new Promise((resolve) => squatter.close(resolve));
    expect((await start({ port: first.port })).port).toBe(first.port);
  });

  it('recovers after the server was killed', async () => {
    const first = await start();
    await query(first.url, KEEP);
    process.kill(await postmaster(), 'SIGKILL');
    await vi.waitFor(() => expect(logged.join()).toMatch(/ended by itself/));
    expect(existsSync(join(dir, 'data', 'postmaster.pid'))).toBe(true);
    await first.stop();
    expect(await query((await start()).url, READ)).toEqual([{ n: 7 }]);
  });

  it('starts when the number in postmaster.pid belongs to another program by now', async () => {
    const first = await start();
    await query(first.url, KEEP);
    const pidFile = await readFile(join(dir, 'data', 'postmaster.pid'), 'utf8');
    await first.stop();
    await writeFile(join(dir, 'data', 'postmaster.pid'), pidFile.replace(/^\d+/, String(process.pid)));
    expect(await query((await start()).url, READ)).toEqual([{ n: 7 }]);
  });

  it('refuses a folder that a live process owns', async () => {
    await start();
    await expect(start()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(`is in use by process ${process.pid}`),
    });
  });

  it('refuses data that another server runs on', async () => {
    const first = await start();
    const pid = await postmaster();
    await rm(join(dir, 'postgres.lock'));
    await expect(start()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(`another Postgres server (process ${pid}) runs on`),
    });
    expect(await query(first.url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  it('says why Postgres did not start', async () => {
    await expect(start({ settings: { no_such_setting: 'x' } })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('no_such_setting'),
    });
    await start(); // the failure left nothing behind
  });
});

describe.skipIf(skipUnless(isBuilt, 'process tests', 'libs/database/dist is not built'))('a process around it', () => {
  it('leaves a server behind when it is killed, which the next one stops', async () => {
    const { node, url, listeners } = await child([dir]);
    expect(listeners).toBe(0);
    await query(url, KEEP);
    const pid = await postmaster();
    node.kill('SIGKILL');
    await new Promise((resolve) => node.once('exit', resolve));
    expect(await query(url, READ)).toEqual([{ n: 7 }]);
    const next = await start();
    expect(logged.join()).toContain(`stopping the Postgres server ${pid} that a killed process left behind`);
    expect(await query(next.url, READ)).toEqual([{ n: 7 }]);
    expect(await postmaster()).not.toBe(pid);
  });

  it('stops it when it ends without stop()', async () => {
    const { url } = await child([dir, 'exit']);
    await vi.waitFor(() => expect(query(url, 'SELECT 1')).rejects.toThrow(), { timeout: 5000 });
    await start();
  });

  it.skipIf(skipUnless(isRoot, 'as an ordinary user', 'this needs root, to become one'))(
    'may be an ordinary user',
    async ({ skip }) => {
      if (!(await canEnter(dirname(CHILD), NOBODY))) skip('SKIPPED: nobody may not enter the repository');
      await chown(dir, NOBODY.uid, NOBODY.gid);
      const { node, url } = await child([dir], NOBODY);
      await query(url, KEEP);
      expect((await stat(join(dir, 'data'))).uid).toBe(NOBODY.uid);
      node.kill('SIGKILL');
      await new Promise((resolve) => node.once('exit', resolve));
      // As root, the owner of the data goes on with them.
      expect(await query((await start()).url, READ)).toEqual([{ n: 7 }]);
      expect((await stat(join(dir, 'data', 'postmaster.pid'))).uid).toBe(NOBODY.uid);
    },
  );
});

describe.skipIf(skipUnless(isRoot, 'private folders', 'only root runs it as another user'))(
  'below a private folder',
  () => {
    it('puts the data elsewhere, says so, and finds them again', async () => {
      await chmod(dir, 0o700);
      const inner = join(dir, 'amalgam');
      const first = await start({ dir: inner });
      await query(first.url, KEEP);
      const { dataDir } = JSON.parse(await readFile(join(inner, 'postgres.json'), 'utf8')) as { dataDir: string };
      try {
        expect(dataDir.startsWith(dir)).toBe(false);
        expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
        expect(logged.join()).toContain(`its data are in ${dirname(dataDir)}`);
        await first.stop();
        const second = await start({ dir: inner });
        expect(await query(second.url, READ)).toEqual([{ n: 7 }]);
        await second.stop();
        await rename(dataDir, `${dataDir}-away`);
        await expect(start({ dir: inner })).rejects.toMatchObject({
          code: 'unavailable',
          message: expect.stringContaining('are gone'),
        });
      } finally {
        await rm(dirname(dataDir), { recursive: true, force: true });
      }
    });

    it('copies the binaries to where they can be run, once', async () => {
      const native = packagedNative();
      const hidden = join(dir, 'hidden');
      const root = join(dir, 'shared');
      await mkdir(hidden, { mode: 0o700 });
      await cp(native.folder, join(hidden, 'native'), { recursive: true, verbatimSymlinks: true });
      const log = (line: string) => logged.push(line);
      const copy = () => usableBinaries({ folder: join(hidden, 'native'), version: 'x' }, NOBODY, log, root);
      const all = await Promise.all([copy(), copy()]);
      expect(all[0]).toEqual({
        initdb: join(root, 'postgres-x', 'bin', 'initdb'),
        postgres: join(root, 'postgres-x', 'bin', 'postgres'),
      });
      expect(all[1]).toEqual(all[0]);
      expect(await copy()).toEqual(all[0]);
      const version = spawn(all[0].postgres, ['--version'], { uid: NOBODY.uid, gid: NOBODY.gid, cwd: '/' });
      expect(await new Promise((resolve) => version.once('exit', resolve))).toBe(0);
      expect(logged.join()).toContain('copied Postgres to');
    });
  },
);

describe('a process id', () => {
  it('is told from a later process with the same number', async () => {
    expect(await isAlive({ pid: process.pid, started: '1' })).toBe(process.platform !== 'linux');
    expect(await isAlive({ pid: process.pid, started: null })).toBe(true);
  });
});
