import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import pg from 'pg';
import { packagedNative, usableBinaries } from './embedded/binaries.js';
import {
  chooseDataDir,
  initialise,
  isInitialised,
  ROLE,
  readOrMakePassword,
  readSettings,
  writeSettings,
} from './embedded/cluster.js';
import { Ownership } from './embedded/owner.js';
import { findServer, identify, isAlive, stopServer } from './embedded/process.js';
import { freePort, isFree, launch, PortTaken, type ServerOptions } from './embedded/server.js';
import { serverUser } from './embedded/user.js';

const DATABASE = 'amalgam';
const PORT_TRIES = 5;

export interface EmbeddedOptions {
  /** Holds data, settings, password and log; made when it is missing. */
  dir: string;
  /** Default: the one it had before, else any that is free. */
  port?: number;
  log?: (line: string) => void;
  /** Server settings, as `fsync: 'off'` for tests. */
  settings?: Record<string, string>;
}

export interface EmbeddedPostgres {
  url: string;
  port: number;
  /** Stops the server and waits until all is written; calling it again changes nothing. */
  stop(): Promise<void>;
}

/**
 * Starts a real PostgreSQL server of our own on 127.0.0.1, with its data in `dir`. As root it runs as `postgres` or
 * `nobody`, and what these may not enter is put below /var/lib/amalgam, which the log says. After a crash (SIGKILL of
 * us or of the server) the next start stops what was left behind and recovers. No signal handlers are installed; a
 * process that ends in an orderly way without `stop()` tells the server to stop.
 * Throws `unavailable` when another process owns the folder, the given port is taken, or Postgres does not start.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  await mkdir(options.dir, { recursive: true });
  const dir = await realpath(options.dir);
  const ownership = await Ownership.take(dir);
  try {
    return await start(dir, ownership, options);
  } catch (error) {
    await ownership.release();
    throw error;
  }
}

async function start(dir: string, ownership: Ownership, options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const log = options.log ?? (() => {});
  const kept = await readSettings(dir);
  const user = await serverUser(kept?.dataDir ?? join(dir, 'data'));
  const binaries = await usableBinaries(packagedNative(), user, log);
  const password = await readOrMakePassword(dir);
  const dataDir = kept?.dataDir ?? (await chooseDataDir(dir, user, log));
  if (await isInitialised(dataDir)) {
    await stopOrphan(dataDir, ownership, log);
  } else if (kept === null) {
    await initialise(binaries, user, { dataDir, password, durable: options.settings?.['fsync'] !== 'off' });
  } else {
    throw new AmalgamError(
      'unavailable',
      `the data of ${dir} were in ${dataDir} and are gone: bring them back, or remove ${join(dir, 'postgres.json')} ` +
        'to begin with an empty database',
    );
  }
  await writeSettings(dir, { port: kept?.port ?? null, dataDir });

  const server = { dataDir, password, logFile: join(dir, 'postgres.log'), settings: options.settings ?? {} };
  const { child, port } = await launchOnPort(options.port, kept?.port ?? null, (port) =>
    launch(binaries, user, { ...server, port } satisfies ServerOptions),
  );
  const id = await identify(child.pid ?? 0);
  await ownership.setServer(id);
  if (options.port === undefined) await writeSettings(dir, { port, dataDir });

  const stopAtExit = () => {
    child.kill('SIGINT');
  };
  process.once('exit', stopAtExit);
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= (async () => {
      await stopServer(id);
      process.removeListener('exit', stopAtExit);
      await ownership.release();
    })();
    return stopped;
  };
  child.once('exit', () => {
    if (stopped === undefined) log(`Postgres ended by itself: see ${server.logFile}`);
  });
  try {
    await ensureDatabase(port, password);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `postgresql://${ROLE}:${password}@127.0.0.1:${port}/${DATABASE}`, port, stop };
}

/** A server whose owner was killed is stopped; one that somebody else runs on these data is a reason to give up. */
async function stopOrphan(dataDir: string, ownership: Ownership, log: (line: string) => void): Promise<void> {
  const server = await findServer(dataDir);
  if (server === null) return;
  const left = ownership.inherited;
  const ours = left !== null && (left.server === null || (await isSame(left.server, server)));
  if (!ours) {
    throw new AmalgamError('unavailable', `another Postgres server (process ${server.pid}) runs on ${dataDir}`);
  }
  log(`stopping the Postgres server ${server.pid} that a killed process left behind`);
  await stopServer(server);
}

async function isSame(left: { pid: number; started: string | null }, right: { pid: number }): Promise<boolean> {
  return left.pid === right.pid && (await isAlive(left));
}

async function launchOnPort<T>(
  wanted: number | undefined,
  before: number | null,
  launchOn: (port: number) => Promise<T>,
): Promise<{ child: T; port: number }> {
  if (wanted !== undefined) {
    if (!(await isFree(wanted))) throw new PortTaken(wanted);
    return { child: await launchOn(wanted), port: wanted };
  }
  let port = before !== null && (await isFree(before)) ? before : await freePort();
  for (let tries = 1; ; tries++) {
    try {
      return { child: await launchOn(port), port };
    } catch (error) {
      // Taken between our look and the server's start.
      if (!(error instanceof PortTaken) || tries >= PORT_TRIES) throw error;
      port = await freePort();
    }
  }
}

async function ensureDatabase(port: number, password: string): Promise<void> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: ROLE, password, database: 'postgres' });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } finally {
    await client.end();
  }
}
