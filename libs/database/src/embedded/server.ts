import { type ChildProcess, spawn } from 'node:child_process';
import { type FileHandle, open, rename, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { AmalgamError } from '@amalgam/contracts';
import pg from 'pg';
import type { Binaries } from './binaries.js';
import { ENVIRONMENT, ROLE } from './cluster.js';
import type { ServerUser } from './user.js';

const LOG_BYTES = 10_000_000;
const START_TIMEOUT_MS = 60_000;
const LEFTOVER_TIMEOUT_MS = 15_000;

export interface ServerOptions {
  dataDir: string;
  logFile: string;
  port: number;
  password: string;
  settings: Record<string, string>;
}

/** Starts the server and resolves when it takes connections. Throws PortTaken, or `unavailable` with its last words. */
export async function launch(
  binaries: Binaries,
  user: ServerUser | null,
  options: ServerOptions,
): Promise<ChildProcess> {
  for (const deadline = Date.now() + LEFTOVER_TIMEOUT_MS; ; ) {
    try {
      return await launchOnce(binaries, user, options);
    } catch (error) {
      // After a SIGKILL of the server alone, its children need a moment to notice.
      if (!(error instanceof Leftover) || Date.now() > deadline) throw error;
      await sleep(250);
    }
  }
}

export class PortTaken extends AmalgamError {
  constructor(port: number) {
    super('unavailable', `port ${port} is taken by another program`);
  }
}

class Leftover extends AmalgamError {}

async function launchOnce(binaries: Binaries, user: ServerUser | null, options: ServerOptions): Promise<ChildProcess> {
  const log = await openLog(options.logFile);
  const { size: from } = await log.stat();
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '200',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_checkpoints: 'off',
    ...options.settings,
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = spawn(binaries.postgres, ['-D', options.dataDir, '-p', String(options.port), ...flags], {
    cwd: '/',
    env: ENVIRONMENT,
    // A session of its own: Ctrl-C at the terminal must reach us and not the server, which we stop last.
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
  });
  child.unref();
  let failure: string | null = null;
  child.once('error', (error) => {
    failure = error.message;
  });
  try {
    for (const deadline = Date.now() + START_TIMEOUT_MS; ; ) {
      const state = await probe(options);
      if (failure !== null || child.exitCode !== null || child.signalCode !== null) {
        throw diagnose(failure ?? (await readFrom(options.logFile, from)), options);
      }
      if (state === 'ready') return child;
      // While it recovers from a crash it says that it starts, and takes as long as it takes.
      if (state === 'silent' && Date.now() > deadline) {
        throw new AmalgamError(
          'unavailable',
          `Postgres does not answer on port ${options.port}: see ${options.logFile}`,
        );
      }
      await sleep(25);
    }
  } catch (error) {
    child.kill('SIGQUIT');
    throw error;
  } finally {
    await log.close();
  }
}

function diagnose(output: string, options: ServerOptions): AmalgamError {
  if (/could not bind|Address already in use/.test(output)) return new PortTaken(options.port);
  const words = output.trim().split('\n').slice(-5).join('\n');
  if (/pre-existing shared memory block/.test(output)) return new Leftover('unavailable', words);
  return new AmalgamError('unavailable', `Postgres did not start: ${words}`);
}

/** `starting` when it answers that it is not ready yet. Throws when it does not know our password. */
async function probe({ port, password }: ServerOptions): Promise<'ready' | 'starting' | 'silent'> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: ROLE, password, database: 'postgres' });
  client.on('error', () => {});
  try {
    await client.connect();
    return 'ready';
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === '28P01') {
      throw new AmalgamError('unavailable', 'the server does not take the password in postgres.password', {
        cause: error,
      });
    }
    return code === '57P03' ? 'starting' : 'silent';
  } finally {
    await client.end().catch(() => {});
  }
}

async function openLog(file: string): Promise<FileHandle> {
  const size = await stat(file).then(
    (found) => found.size,
    () => 0,
  );
  if (size > LOG_BYTES) await rename(file, `${file}.1`);
  return open(file, 'a', 0o600);
}

async function readFrom(file: string, position: number): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const { buffer } = await handle.read({ buffer: Buffer.alloc(Math.max(0, size - position)), position });
    return buffer.toString('utf8');
  } finally {
    await handle.close();
  }
}

/** True when nobody listens on this port of the loopback address. */
export async function isFree(port: number): Promise<boolean> {
  return (await tryListen(port)) !== null;
}

export async function freePort(): Promise<number> {
  const port = await tryListen(0);
  if (port === null) throw new AmalgamError('unavailable', 'there is no free port on 127.0.0.1');
  return port;
}

function tryListen(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : null));
    });
  });
}
