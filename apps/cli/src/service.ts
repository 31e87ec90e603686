import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AmalgamError } from '@amalgam/contracts';
import { startEmbeddedPostgres } from '@amalgam/database';
import { loadConfig } from '@amalgam/runtime';

export interface ServiceOptions {
  /** Settings; see docs/configuration.md. */
  env: NodeJS.ProcessEnv;
  workers: number;
  /** Where the programs' output goes: to ours, or nowhere. */
  output: 'inherit' | 'ignore';
}

export interface Service {
  url: string;
  /** Where the first API key is written when it is made; null: nowhere. */
  keyFile: string | null;
  /** Process ids, for whoever wants to see what happens when one dies. */
  pids(): { api: number[]; workers: number[] };
  /** Stops api and workers, waits for them, and then stops the database. */
  stop(): Promise<void>;
}

const STOP_MS = 20_000;
const RESTART_MS = 1000;

/**
 * Everything on one machine: an embedded PostgreSQL unless DATABASE_URL is set, the api and the workers as processes of their
 * own. One that dies is started again.
 *
 * @throws AmalgamError `unavailable` when the api does not come up
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const env = { ...options.env };
  if (env['AMALGAM_PORT'] === '0') env['AMALGAM_PORT'] = String(await freePort());
  const config = loadConfig(env);
  const database =
    config.databaseUrl === null ? await startEmbeddedPostgres({ dir: join(config.home, 'postgres') }) : null;
  if (database !== null) {
    env['DATABASE_URL'] = database.url;
    // Beside the database whose only key it may be: whoever can read the one can read the other.
    env['AMALGAM_KEY_FILE'] ||= join(config.home, 'api-key');
  }

  const children: Child[] = [];
  const stop = async () => {
    await Promise.all(children.map((child) => child.stop()));
    await database?.stop();
  };
  try {
    const api = new Child('@amalgam/api/main', env, options.output);
    children.push(api);
    const url = await api.listening();
    for (let i = 0; i < options.workers; i++) children.push(new Child('@amalgam/worker/main', env, options.output));
    const pids = (list: Child[]) => list.flatMap((child) => child.pid ?? []);
    const keyFile = env['AMALGAM_KEY_FILE'] || null;
    return { url, keyFile, pids: () => ({ api: pids([api]), workers: pids(children.slice(1)) }), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A program that is kept running until it is stopped. */
class Child {
  readonly #path: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #output: ServiceOptions['output'];
  #process: ChildProcess;
  #stopping = false;
  #restart: NodeJS.Timeout | undefined;

  constructor(module: string, env: NodeJS.ProcessEnv, output: ServiceOptions['output']) {
    this.#path = fileURLToPath(import.meta.resolve(module));
    this.#env = env;
    this.#output = output;
    this.#process = this.#start();
  }

  get pid(): number | undefined {
    return this.#process.exitCode === null ? this.#process.pid : undefined;
  }

  #start(): ChildProcess {
    const child = fork(this.#path, { env: this.#env, stdio: ['ignore', this.#output, this.#output, 'ipc'] });
    child.once('exit', () => {
      if (this.#stopping) return;
      this.#restart = setTimeout(() => {
        this.#process = this.#start();
      }, RESTART_MS);
    });
    return child;
  }

  /** The URL that the program says it listens at. */
  async listening(): Promise<string> {
    const exited = once(this.#process, 'exit').then(() => {
      throw new AmalgamError('unavailable', 'the api did not start; its output says why');
    });
    for (;;) {
      const [message] = (await Promise.race([once(this.#process, 'message'), exited])) as [
        { type?: string; url?: string },
      ];
      if (message.type === 'listening' && message.url !== undefined) {
        exited.catch(() => {}); // from now on an exit is a restart
        return message.url;
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await exited;
    clearTimeout(timer);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
