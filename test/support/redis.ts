import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A Redis server for tests. */
export interface TestRedis {
  url: string;
  port: number;
  /** False for the server that REDIS_URL names: it is neither stopped nor restarted. */
  owned: boolean;
  /** Ends the server and deletes its data. */
  stop(): Promise<void>;
  /**
   * Kills the server as a crash would, waits for `whileDown`, and starts it again on the same port with its
   * append-only file.
   */
  restart(whileDown?: () => Promise<void>): Promise<void>;
}

/**
 * The server that REDIS_URL names, or a `redis-server` from PATH on a free loopback port; null when there is
 * neither, unless AMALGAM_REQUIRE_REDIS=1, which makes that an error.
 */
export async function startRedis(): Promise<TestRedis | null> {
  const given = process.env['REDIS_URL'];
  if (given !== undefined && given !== '') return external(given);

  const directory = await mkdtemp(join(tmpdir(), 'amalgam-redis-'));
  const port = await freePort();
  let child: ChildProcess;
  try {
    child = await launch(port, directory);
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    if (process.env['AMALGAM_REQUIRE_REDIS'] === '1') {
      throw new Error('AMALGAM_REQUIRE_REDIS=1, but there is no redis-server on PATH and REDIS_URL is not set');
    }
    return null;
  }

  // The child must not outlive a test run that ends without stop().
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    owned: true,
    async stop() {
      process.off('exit', onExit);
      await end(child, 'SIGTERM');
      await rm(directory, { recursive: true, force: true });
    },
    async restart(whileDown) {
      await end(child, 'SIGKILL');
      await whileDown?.();
      child = await launch(port, directory);
    },
  };
}

function external(url: string): TestRedis {
  return {
    url,
    port: Number(new URL(url).port || 6379),
    owned: false,
    stop: async () => {},
    restart: async () => {
      throw new Error('the server that REDIS_URL names is not ours to restart');
    },
  };
}

async function launch(port: number, directory: string): Promise<ChildProcess> {
  const settings = {
    port: String(port),
    bind: '127.0.0.1',
    dir: directory,
    appendonly: 'yes',
    save: '',
    'maxmemory-policy': 'noeviction',
  };
  const child = spawn(
    'redis-server',
    Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-4_000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  const deadline = Date.now() + 15_000;
  while (!(await answers(port))) {
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`redis-server did not start:\n${output}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return child;
}

/** True once the server has loaded its data: until then it answers PING with -LOADING. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const finish = (ok: boolean) => {
      socket.destroy();
      resolve(ok);
    };
    socket.once('data', (data) => finish(data.toString().startsWith('+PONG')));
    socket.once('error', () => finish(false));
    socket.setTimeout(1_000, () => finish(false));
  });
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  await ended;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('no free port'));
        else resolve(address.port);
      });
    });
  });
}
