import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));

describe('the program', () => {
  let database: TestDatabase;
  let home: string;
  const children: ChildProcess[] = [];
  beforeAll(async () => {
    database = await startTestDatabase({ migrated: false });
    home = await mkdtemp(join(tmpdir(), 'amalgam-main-'));
  });
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    await database?.stop();
    await rm(home, { recursive: true, force: true });
  });

  const start = async (more: Record<string, string> = {}) => {
    const child = fork(MAIN, {
      env: {
        PATH: process.env['PATH'],
        DATABASE_URL: database.url,
        AMALGAM_HOME: join(home, 'service'),
        AMALGAM_PORT: '0',
        ...more,
      },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    children.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    const message = await Promise.race([once(child, 'message'), ended.then(() => null)]);
    if (message === null) throw new Error(`it did not start:\n${output}`);
    const { type, url } = message[0] as { type: string; url: string };
    return { child, type, url, ended, output: () => output };
  };

  it('migrates, shows its first key once, listens, and stops in order', async () => {
    const file = join(home, 'key');
    const first = await start({ AMALGAM_KEY_FILE: file });
    expect(first.type).toBe('listening');
    await expect.poll(first.output).toContain(`amalgam: listening on ${first.url}`);
    expect(first.url).not.toMatch(/:0$/);
    const key = /^amalgam: API key \(shown once\): (amk_\S+)$/m.exec(first.output())?.[1];
    expect((await readFile(file, 'utf8')).trim()).toBe(key);
    expect((await stat(file)).mode & 0o777).toBe(0o600);

    const call = (url: string) => fetch(`${url}/v1/keys`, { headers: { authorization: `Bearer ${key}` } });
    expect((await call(first.url)).status).toBe(200);
    const upload = await fetch(`${first.url}/v1/checkpoints`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ files: [{ path: 'a', bytes: 1 }] }),
    });
    const { uploads } = (await upload.json()) as { uploads: { url: string }[] };
    expect(uploads[0]!.url.startsWith(`${first.url}/v1/objects/`)).toBe(true);

    first.child.kill('SIGTERM');
    expect(await first.ended).toEqual([0, null]);

    const second = await start();
    expect(second.output()).not.toContain('amk_');
    expect((await call(second.url)).status).toBe(200);
    // Whoever started it is gone.
    second.child.disconnect();
    expect(await second.ended).toEqual([0, null]);
    expect(first.output() + second.output().replaceAll(key!, '')).not.toMatch(/"secret|password":"[^[]/);
  });

  it('makes one key when several start at once', async () => {
    const other = await startTestDatabase({ migrated: false });
    try {
      const both = await Promise.all(
        [1, 2].map((n) => start({ DATABASE_URL: other.url, AMALGAM_HOME: join(home, `${n}`) })),
      );
      await Promise.all(both.map(({ output }) => expect.poll(output).toContain('listening on')));
      expect(both.filter(({ output }) => output().includes('amk_'))).toHaveLength(1);
      for (const { child } of both) child.kill('SIGINT');
      expect(await Promise.all(both.map(({ ended }) => ended))).toEqual([
        [0, null],
        [0, null],
      ]);
    } finally {
      await other.stop();
    }
  });

  it('says in one line why it cannot start', async () => {
    await expect(start({ AMALGAM_PORT: 'x' })).rejects.toThrow('amalgam: AMALGAM_PORT must be an integer');
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    await expect(start({ AMALGAM_PORT: String(port) })).rejects.toThrow(
      `amalgam: cannot listen on 127.0.0.1, port ${port}: EADDRINUSE`,
    );
    taken.close();
    await expect(start({ DATABASE_URL: '' })).rejects.toThrow('amalgam: DATABASE_URL is not set');
  });
});
