import { AmalgamError } from '@amalgam/contracts';
import { type Config, openParts } from '@amalgam/runtime';
import { createLogger, type Logger } from '@amalgam/telemetry';
import { buildApp } from './app.js';
import { ensureFirstKey } from './first-key.js';
import { freePort } from './free-port.js';
import type { Api } from './types.js';

export interface RunningApi {
  /** Where it listens, with the real port. */
  url: string;
  /** The first key, when it was made just now; null when there are keys. */
  firstKey: string | null;
  /** Stops taking requests, ends event streams, waits for the rest, and closes database, queue and store. */
  close(): Promise<void>;
}

/** What a request that still runs gets, when the service stops. */
const CLOSE_MS = 8_000;
/** And what its handler gets when it took all of that: the program ends by force 10 s after it was told to. */
const LEAST_DRAIN_MS = 1_000;
const IDLE_LOOK_MS = 100;

/**
 * Opens the parts that the settings name and listens.
 *
 * @throws AmalgamError `unavailable` naming the server that does not answer
 */
export async function startApi(given: Config, options: { log?: Logger } = {}): Promise<RunningApi> {
  const log = options.log ?? createLogger({ name: 'api', level: given.logLevel, pretty: given.logPretty });
  const config = await withPort(given);
  const parts = await openParts(config, log);
  let app: Api | undefined;
  const close = async () => {
    const until = performance.now() + CLOSE_MS;
    const timer = setTimeout(() => app?.server.closeAllConnections(), CLOSE_MS);
    // Node does so once; a connection that is kept alive becomes idle when its last answer is sent.
    const idle = setInterval(() => app?.server.closeIdleConnections(), IDLE_LOOK_MS);
    await app?.close();
    clearInterval(idle);
    clearTimeout(timer);
    await app?.inFlight.drained(Math.max(LEAST_DRAIN_MS, until - performance.now()));
    await parts.close();
  };
  try {
    app = await buildApp({ config, parts, log });
    await listen(app, config);
    // Last: a key that was made by a start that failed would never have been shown.
    const firstKey = await ensureFirstKey(parts.database);
    const host = config.host.includes(':') ? `[${config.host}]` : config.host;
    return { url: `http://${host}:${config.port}`, firstKey, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function listen(app: Api, { host, port }: Config): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === undefined || !/^E[A-Z]+$/.test(code)) throw cause;
    throw new AmalgamError('unavailable', `cannot listen on ${host}, port ${port}: ${code}`, { cause });
  }
}

/** The port must be known before the store is opened, whose links hold it. */
async function withPort(config: Config): Promise<Config> {
  if (config.port !== 0) return config;
  const port = await freePort(config.host);
  return { ...config, port, publicUrl: config.publicUrl.replace(/:0$/, `:${port}`) };
}
