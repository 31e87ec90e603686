import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Checkpoint, Merge } from '@amalgam/contracts';
import type { Claim } from '@amalgam/database';
import { type Config, loadConfig, openParts, type Parts } from '@amalgam/runtime';
import { createLogger, type Logger } from '@amalgam/telemetry';
import { encodeSafetensors } from '@amalgam/tensors';
import type { InjectOptions } from 'fastify';
import { afterAll, beforeAll, expect } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { freePort } from '../../src/free-port.js';
import { type Api, type AppOptions, buildApp } from '../../src/index.js';

export interface Answer<T = unknown> {
  status: number;
  headers: Record<string, string | undefined>;
  body: T;
  text: string;
}

export interface CallOptions {
  body?: unknown;
  token?: string | null;
  headers?: Record<string, string>;
}

/** A real database, queue and file store with an API over them, two projects, and a folder that may be registered from. */
export interface World {
  app: Api;
  config: Config;
  parts: Parts;
  log: Logger;
  projectId: string;
  token: string;
  /** Of another project. */
  strangerToken: string;
  /** An allowed root. */
  root: string;
  /** A folder that holds `root` and everything else. */
  home: string;
  /** Through `inject`, with the first project's key unless told otherwise; bodies are read as JSON. */
  call<T = unknown>(method: string, url: string, options?: CallOptions): Promise<Answer<T>>;
  /** The base URL once it listens. */
  listen(): Promise<string>;
}

export interface WorldOptions {
  env?: Record<string, string>;
  timing?: AppOptions['timing'];
}

/** Sets the world up before the tests of a file. Its members are there once the tests run. */
export function useWorld(options: WorldOptions = {}): World {
  const world = {} as World;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await startTestDatabase();
    const home = await mkdtemp(join(tmpdir(), 'amalgam-api-'));
    const root = join(home, 'models');
    await mkdir(root);
    const config = loadConfig({
      AMALGAM_HOME: join(home, 'service'),
      AMALGAM_PORT: String(await freePort()),
      AMALGAM_ALLOWED_ROOTS: `${pathToFileURL(root).href},s3://models/shared`,
      DATABASE_URL: database.url,
      ...options.env,
    });
    const log = createLogger({ name: 'api-test', level: 'silent' });
    const parts = await openParts(config, log);
    const app = await buildApp({
      config,
      parts,
      log,
      ...(options.timing === undefined ? {} : { timing: options.timing }),
    });
    const keyFor = async (name: string) => {
      const project = await parts.database.projects.ensure(name);
      const { token } = await parts.database.apiKeys.createKey(project.id, { name: 'test', scopes: ['*'] });
      return { projectId: project.id, token };
    };
    const first = await keyFor('default');
    const stranger = await keyFor('stranger');
    const call = async <T>(method: string, url: string, { body, token, headers }: CallOptions = {}) => {
      const key = token === undefined ? first.token : token;
      const response = await app.inject({
        method: method as NonNullable<InjectOptions['method']>,
        url,
        headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
        ...(body === undefined ? {} : { payload: body as object }),
      });
      return toAnswer<T>(response.statusCode, response.headers, response.payload);
    };
    Object.assign(world, {
      app,
      config,
      parts,
      log,
      root,
      home,
      ...first,
      strangerToken: stranger.token,
      call,
      listen: async () => app.listen({ host: config.host, port: config.port }),
    });
  });
  afterAll(async () => {
    await world.app?.close();
    await world.parts?.close();
    await database?.stop();
    if (world.home !== undefined) await rm(world.home, { recursive: true, force: true });
  });
  return world;
}

function toAnswer<T>(status: number, headers: object, text: string): Answer<T> {
  const read = headers as Record<string, string | undefined>;
  const json = /json/.test(read['content-type'] ?? '') && text !== '';
  return { status, headers: read, text, body: (json ? JSON.parse(text) : text) as T };
}

/** A tiny checkpoint: one 2×2 tensor `w`, and `b` with two entries. */
export function weights(value: number, shape: number[] = [2, 2]): Buffer {
  const count = shape.reduce((product, size) => product * size, 1);
  const w = new Float32Array(count).fill(value);
  const b = new Float32Array([value, -value]);
  return Buffer.from(
    encodeSafetensors([
      { name: 'w', dtype: 'F32', shape, data: new Uint8Array(w.buffer) },
      { name: 'b', dtype: 'F32', shape: [2], data: new Uint8Array(b.buffer) },
    ]),
  );
}

/** A checkpoint's folder below the allowed root; returns its URI. */
export async function store(world: World, name: string, file: Buffer = weights(1)): Promise<string> {
  const folder = join(world.root, name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'model.safetensors'), file);
  await writeFile(join(folder, 'config.json'), JSON.stringify({ name }));
  return pathToFileURL(folder).href;
}

/** A registered checkpoint. */
export async function register(world: World, name: string, file?: Buffer): Promise<Checkpoint> {
  const uri = await store(world, name, file);
  const { status, body } = await world.call<Checkpoint>('POST', '/v1/checkpoints', { body: { uri } });
  expect(status).toBe(201);
  return body;
}

let made = 0;

/** A queued merge of two models of its own. */
export async function queueMerge(world: World, more: Record<string, unknown> = {}): Promise<Merge> {
  const a = await register(world, `merge-${++made}`, weights(made));
  const b = await register(world, `merge-${++made}`, weights(made));
  const recipe = { method: 'linear', models: [{ model: a.id }, { model: b.id }] };
  const { status, body } = await world.call<Merge>('POST', '/v1/merges', { body: { recipe, ...more } });
  expect(status).toBe(202);
  return body;
}

/** What a worker does first. */
export async function claim(world: World, mergeId: string): Promise<Claim> {
  const claimed = await world.parts.database.attempts.claim(mergeId, 'worker-1', { staleAfterMs: 60_000 });
  if (claimed === null) throw new Error(`${mergeId} cannot be claimed`);
  return claimed;
}

export const REPORT = {
  method: 'linear',
  inputs: [],
  parameters: {},
  seconds: { merging: 0.1 },
  bytes_read: 10,
  bytes_written: 10,
  peak_rss_bytes: 10,
  tensors: [],
  copied: [],
  warnings: [],
};

/** Ends a claimed merge as a worker would, with a result in the store. */
export async function succeed(world: World, claimed: Claim, bytes = weights(7)): Promise<void> {
  const storePrefix = `results/${claimed.merge.id}`;
  const object = await world.parts.store.put(`${storePrefix}/model.safetensors`, bytes);
  await world.parts.database.attempts.finish(claimed.attemptId, {
    state: 'succeeded',
    report: REPORT,
    checkpoint: {
      name: 'result',
      storePrefix,
      files: [{ path: 'model.safetensors', bytes: object.bytes, etag: object.etag }],
      tensors: 2,
      parameters: 6,
      dtypes: { F32: 6 },
      inventory: [],
      configs: { config: null, adapterConfig: null },
    },
  });
}
