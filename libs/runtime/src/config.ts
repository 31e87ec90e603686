import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { AmalgamError, LANES, type Lane } from '@amalgam/contracts';
import type { QueueConfig } from '@amalgam/queue';
import {
  type AllowedRoots,
  type HubConnection,
  parseAllowedRoots,
  type S3Connection,
  type StoreConfig,
} from '@amalgam/storage';
import { LOG_LEVELS, type LogLevel } from '@amalgam/telemetry';
import type { WebhookPolicy } from '@amalgam/webhooks';

/** What tuning may be told to run on. */
const DEVICES = ['auto', 'cpu', 'cuda', 'webgpu'] as const;

/** Every setting of the service. docs/configuration.md lists the variables; this file is the only one that reads them. */
export interface Config {
  /** Folder for what has no server of its own: database, objects, cache, keys. */
  home: string;
  host: string;
  /** 0 lets the system choose. */
  port: number;
  /** Where clients reach the API; in links and Location headers. */
  publicUrl: string;
  /** Null: an embedded server below `home`, started by `amalgam serve`. */
  databaseUrl: string | null;
  /** Null: the queue lives in the database. */
  redisUrl: string | null;
  s3: (S3Connection & { bucket: string; publicEndpoint?: string }) | null;
  allowedRoots: AllowedRoots;
  /** For hf:// URIs, where the roots allow them. */
  hub: HubConnection;
  webhooks: WebhookPolicy;
  /** 32 bytes: seals webhook secrets, signs links. */
  secretKey: Buffer;
  bodyLimitBytes: number;
  /** Requests a minute for one key. */
  rateLimit: number;
  worker: {
    memoryBytes: number;
    /** Undefined: one per core. */
    threads: number | undefined;
    concurrency: number;
    /** Which kinds of jobs this worker takes; `gpu` are merges that tune. */
    lanes: Lane[];
    /** What tuning runs on. */
    device: (typeof DEVICES)[number];
    /** Undefined: one per core. */
    tuningThreads: number | undefined;
    /** Merges that tune at once. */
    gpuConcurrency: number;
    cacheBytes: number;
    heartbeatMs: number;
    /** A worker that is silent for longer has lost its merges. */
    staleMs: number;
    /** How long a merge may go on after the worker was told to stop; then another worker gets it. */
    graceMs: number;
    /** Attempts that a merge may lose before it fails. */
    maxAttempts: number;
    /** Pause between two rounds of the reconciler. */
    reconcileMs: number;
    /** Port of the worker's own GET /metrics; null: none. */
    metricsPort: number | null;
  };
  logLevel: LogLevel;
  logPretty: boolean;
}

const CACHE_BYTES = 50_000_000_000;

type Env = Record<string, string | undefined>;

/**
 * Reads the settings; a variable that is empty counts as not set. The secret key is made and kept in `home` when none is given.
 *
 * @throws AmalgamError `invalid_request` naming the variable and the rule.
 */
export function loadConfig(given: Env = process.env): Config {
  const env: Env = Object.fromEntries(Object.entries(given).filter(([, text]) => text !== ''));
  const home = resolve(env['AMALGAM_HOME'] ?? '.amalgam');
  const host = env['AMALGAM_HOST'] ?? '127.0.0.1';
  const port = integer(env, 'AMALGAM_PORT', 8080, 0, 65535);
  return {
    home,
    host,
    port,
    publicUrl: (env['AMALGAM_PUBLIC_URL'] ?? `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}`).replace(
      /\/+$/,
      '',
    ),
    databaseUrl: env['DATABASE_URL'] || null,
    redisUrl: env['REDIS_URL'] || null,
    s3: s3(env),
    allowedRoots: parseAllowedRoots(env['AMALGAM_ALLOWED_ROOTS'] ?? ''),
    hub: hubConnection(env),
    webhooks: {
      allowHttp: flag(env, 'AMALGAM_WEBHOOK_ALLOW_HTTP'),
      allowedPrivate: list(env['AMALGAM_WEBHOOK_ALLOW_PRIVATE']),
    },
    secretKey: secretKey(env, home),
    bodyLimitBytes: integer(env, 'AMALGAM_BODY_LIMIT_BYTES', 1 << 20, 1024),
    rateLimit: integer(env, 'AMALGAM_RATE_LIMIT', 6000, 1),
    worker: {
      memoryBytes: integer(env, 'AMALGAM_MEMORY_BYTES', 512_000_000, 1),
      threads: threads(env, 'AMALGAM_THREADS'),
      concurrency: integer(env, 'AMALGAM_CONCURRENCY', 1, 1, 64),
      lanes: lanes(env, 'AMALGAM_LANES'),
      device: oneOf(env, 'AMALGAM_DEVICE', DEVICES, 'auto'),
      tuningThreads: threads(env, 'AMALGAM_TUNING_THREADS'),
      gpuConcurrency: integer(env, 'AMALGAM_GPU_CONCURRENCY', 1, 1, 64),
      cacheBytes: integer(env, 'AMALGAM_CACHE_BYTES', CACHE_BYTES, 1),
      heartbeatMs: integer(env, 'AMALGAM_HEARTBEAT_MS', 2000, 50),
      staleMs: integer(env, 'AMALGAM_STALE_MS', 15_000, 200),
      graceMs: integer(env, 'AMALGAM_GRACE_MS', 20_000, 0),
      maxAttempts: integer(env, 'AMALGAM_MAX_ATTEMPTS', 3, 1, 1000),
      reconcileMs: integer(env, 'AMALGAM_RECONCILE_MS', 3000, 50),
      metricsPort: env['AMALGAM_METRICS_PORT'] ? integer(env, 'AMALGAM_METRICS_PORT', 0, 0, 65535) : null,
    },
    logLevel: oneOf(env, 'AMALGAM_LOG_LEVEL', LOG_LEVELS, 'info'),
    logPretty: flag(env, 'AMALGAM_LOG_PRETTY'),
  };
}

/** How the Hugging Face hub is reached; the variables are those of its own tools. */
export function hubConnection(env: Env = process.env): HubConnection {
  // An empty variable counts as not set.
  return { endpoint: env['HF_ENDPOINT'] || undefined, token: env['HF_TOKEN'] || undefined };
}

/** Where the command line keeps the hub's weights, and how many bytes of them. */
export function hubCache(env: Env = process.env): { folder: string; bytes: number } {
  const caches = env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return {
    folder: resolve(env['AMALGAM_HUB_CACHE'] || join(caches, 'amalgam')),
    bytes: integer(env, 'AMALGAM_CACHE_BYTES', CACHE_BYTES, 1),
  };
}

/** Which object store the settings name. */
export function storeConfig(config: Config): StoreConfig {
  if (config.s3 !== null) return { kind: 's3', ...config.s3 };
  return {
    kind: 'file',
    root: join(config.home, 'objects'),
    baseUrl: config.publicUrl,
    secret: config.secretKey.toString('hex'),
  };
}

/** Which server carries the queue, given the database's address. */
export function queueConfig(config: Config, databaseUrl: string): QueueConfig {
  return config.redisUrl === null ? { kind: 'postgres', url: databaseUrl } : { kind: 'redis', url: config.redisUrl };
}

function s3(env: Env): Config['s3'] {
  const bucket = env['S3_BUCKET'];
  const endpoint = env['S3_ENDPOINT'];
  if (bucket === undefined) {
    if (endpoint !== undefined) throw wrong('S3_BUCKET', 'is needed with S3_ENDPOINT');
    return null;
  }
  const accessKeyId = env['AWS_ACCESS_KEY_ID'];
  const secretAccessKey = env['AWS_SECRET_ACCESS_KEY'];
  const publicEndpoint = env['S3_PUBLIC_ENDPOINT'];
  return {
    bucket,
    region: env['AWS_REGION'] ?? 'us-east-1',
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(publicEndpoint === undefined ? {} : { publicEndpoint }),
    ...(accessKeyId === undefined || secretAccessKey === undefined ? {} : { accessKeyId, secretAccessKey }),
  };
}

const KEY = /^[0-9a-f]{64}$/i;

function secretKey(env: Env, home: string): Buffer {
  const given = env['AMALGAM_SECRET_KEY'];
  if (given !== undefined) {
    if (!KEY.test(given)) throw wrong('AMALGAM_SECRET_KEY', 'must be 64 hexadecimal digits (32 bytes)');
    return Buffer.from(given, 'hex');
  }
  const file = join(home, 'secret.key');
  mkdirSync(home, { recursive: true });
  try {
    // Exclusive creation: of several processes that start at once, one makes the key and the others read it.
    writeFileSync(file, randomBytes(32).toString('hex'), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const text = readFileSync(file, 'utf8').trim();
  if (!KEY.test(text)) throw wrong('AMALGAM_SECRET_KEY', `is not set, and ${file} does not hold 64 hexadecimal digits`);
  return Buffer.from(text, 'hex');
}

function integer(env: Env, name: string, fallback: number, least: number, most = Number.MAX_SAFE_INTEGER): number {
  const text = env[name];
  if (text === undefined || text === '') return fallback;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw wrong(name, `must be an integer from ${least} to ${most}, not "${text}"`);
  }
  return value;
}

function threads(env: Env, name: string): number | undefined {
  return env[name] === undefined ? undefined : integer(env, name, 0, 1, 1024);
}

function lanes(env: Env, name: string): Lane[] {
  const named = list(env[name] ?? LANES.join(','));
  const wanted = LANES.filter((lane) => named.includes(lane));
  if (wanted.length === 0 || wanted.length !== new Set(named).size) {
    throw wrong(name, `must be some of ${LANES.join(', ')}, with commas between them, not "${env[name]}"`);
  }
  return wanted;
}

function flag(env: Env, name: string): boolean {
  const text = env[name] ?? '';
  if (['', '0', 'false'].includes(text)) return false;
  if (['1', 'true'].includes(text)) return true;
  throw wrong(name, `must be true or false, not "${text}"`);
}

function list(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function oneOf<T extends string>(env: Env, name: string, allowed: readonly T[], fallback: T): T {
  const text = env[name];
  if (text === undefined || text === '') return fallback;
  const found = allowed.find((value) => value === text);
  if (found === undefined) throw wrong(name, `must be one of ${allowed.join(', ')}, not "${text}"`);
  return found;
}

function wrong(name: string, rule: string): AmalgamError {
  return new AmalgamError('invalid_request', `${name} ${rule}`);
}
