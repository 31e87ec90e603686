import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { isFinal, type Merge, type MergeEvent, type Recipe, type Report } from '@amalgam/contracts';
import { type CheckpointRow, type NewMerge, newId, toMergeResource } from '@amalgam/database';
import { describePlan, planMerge } from '@amalgam/engine';
import {
  type Config,
  checkpointPrefix,
  describeFolder,
  findInputs,
  loadConfig,
  openParts,
  type Parts,
} from '@amalgam/runtime';
import { resolveUri, storeFolder } from '@amalgam/storage';
import { createLogger, createMetrics, type Logger, type Metrics } from '@amalgam/telemetry';
import { type RunningWorker, startWorker, type WorkerOptions } from '../src/index.js';

export const ZOO = new URL('../../../examples/zoo/vit6/', import.meta.url).pathname;

export type Env = Record<string, string>;

/** A database, a queue and a store of a test's own, with what a client of the service would do to them. */
export class Stack {
  readonly #workers: RunningWorker[] = [];

  private constructor(
    readonly home: string,
    readonly env: Env,
    readonly config: Config,
    readonly parts: Parts,
    readonly projectId: string,
    readonly log: Logger,
    readonly metrics: Metrics,
  ) {}

  /** `env` adds to the settings; its AMALGAM_HOME, when given, is neither made nor removed here. */
  static async open(databaseUrl: string, env: Env = {}): Promise<Stack> {
    const home = env['AMALGAM_HOME'] ?? (await mkdtemp(join(tmpdir(), 'amalgam-worker-')));
    const full: Env = {
      DATABASE_URL: databaseUrl,
      AMALGAM_HOME: home,
      AMALGAM_SECRET_KEY: randomBytes(32).toString('hex'),
      AMALGAM_ALLOWED_ROOTS: `${pathToFileURL(join(home, 'models')).href},${pathToFileURL(ZOO).href}`,
      AMALGAM_HEARTBEAT_MS: '200',
      AMALGAM_STALE_MS: '1500',
      AMALGAM_RECONCILE_MS: '300',
      AMALGAM_GRACE_MS: '0',
      // What it is chosen from is tested in device.test.ts; here it would only take time.
      AMALGAM_DEVICE: 'cpu',
      AMALGAM_WEBHOOK_ALLOW_HTTP: 'true',
      AMALGAM_WEBHOOK_ALLOW_PRIVATE: '127.0.0.1',
      AMALGAM_LOG_LEVEL: process.env['TEST_LOG_LEVEL'] ?? 'silent',
      ...env,
    };
    const config = loadConfig(full);
    const log = createLogger({ name: 'test', level: config.logLevel, destination: 'stderr' });
    const parts = await openParts(config, log);
    const { id } = await parts.database.projects.ensureDefaultProject();
    return new Stack(home, full, config, parts, id, log, createMetrics());
  }

  async startWorker(options: Partial<WorkerOptions> = {}): Promise<RunningWorker> {
    const { config, parts, log, metrics } = this;
    const worker = await startWorker({ config, parts, log, metrics, ...options });
    this.#workers.push(worker);
    return worker;
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) await worker.close({ graceMs: 0 });
    await this.parts.close();
    await rm(this.home, { recursive: true, force: true });
  }

  /** What POST /v1/checkpoints with files, the uploads and /complete come to. */
  async upload(name: string, files: Record<string, string>): Promise<CheckpointRow> {
    const { database, store } = this.parts;
    const id = newId('checkpoint');
    const storePrefix = checkpointPrefix(id);
    const digests = new Map<string, string>();
    for (const [path, local] of Object.entries(files)) {
      await store.putFile(`${storePrefix}/${path}`, local);
      digests.set(path, await sha256(local));
    }
    const listed = Object.keys(files).map((path) => ({ path, bytes: 0 }));
    await database.checkpoints.createUpload(this.projectId, {
      id,
      name,
      storePrefix,
      files: listed,
      expiresAt: new Date(Date.now() + 3_600_000),
    });
    const contents = await describeFolder(storeFolder(store, storePrefix, name), digests);
    return database.checkpoints.markReady(this.projectId, id, contents);
  }

  /** What POST /v1/checkpoints with a URI comes to. */
  async register(name: string, path: string): Promise<CheckpointRow> {
    const uri = pathToFileURL(path).href;
    const contents = await describeFolder(await resolveUri(uri, this.config.allowedRoots));
    return this.parts.database.checkpoints.createRegistered(this.projectId, { ...contents, name, uri });
  }

  /** What POST /v1/merges comes to. Returns the merge's id. */
  async createMerge(recipe: Recipe, more: Partial<NewMerge> = {}): Promise<string> {
    const { base, models, refs } = await findInputs(this.parts, this.projectId, recipe);
    const plan = planMerge(recipe, { base, models });
    const merge = await this.parts.database.merges.create(this.projectId, {
      recipe: plan.recipe,
      plan: describePlan(plan),
      bytesTotal: plan.bytesRead + plan.bytesWritten,
      inputs: refs,
      ...more,
    });
    return merge.id;
  }

  async merge(id: string): Promise<Merge> {
    const row = await this.parts.database.merges.get(this.projectId, id);
    if (row === null) throw new Error(`there is no merge ${id}`);
    return toMergeResource(row);
  }

  /** Waits until the merge is as wanted; shows it when it does not become so. */
  async until(id: string, wanted: (merge: Merge) => boolean, ms = 60_000): Promise<Merge> {
    for (const deadline = Date.now() + ms; ; ) {
      const merge = await this.merge(id);
      if (wanted(merge)) return merge;
      if (Date.now() > deadline) throw new Error(`still waiting: ${JSON.stringify(merge, null, 1)}`);
      await sleep(20);
    }
  }

  untilFinal(id: string, ms = 60_000): Promise<Merge> {
    return this.until(id, ({ state }) => isFinal(state), ms);
  }

  async untilShards(id: string, count: number): Promise<void> {
    while ((await this.parts.database.prisma.mergeShard.count({ where: { mergeId: id } })) < count) await sleep(10);
  }

  async events(id: string): Promise<MergeEvent[]> {
    return this.parts.database.events.listAfter(this.projectId, id, 0, 1000);
  }

  async report(id: string): Promise<Report> {
    return (await this.parts.database.merges.details(this.projectId, id))?.report as Report;
  }

  async keys(prefix: string): Promise<string[]> {
    const { objects } = await this.parts.store.list(prefix);
    return objects.map(({ key }) => key);
  }

  /** SHA-256 of each of the result's files as they lie in the store. */
  async resultDigests(id: string): Promise<Map<string, string>> {
    const { result } = await this.merge(id);
    const row = await this.parts.database.checkpoints.get(this.projectId, result?.checkpoint_id ?? '');
    if (row?.storePrefix == null) throw new Error(`merge ${id} has no result`);
    const digests = new Map<string, string>();
    for (const { path } of row.files) {
      const hash = createHash('sha256');
      await pipeline(await this.parts.store.stream(`${row.storePrefix}/${path}`), hash);
      digests.set(path, hash.digest('hex'));
    }
    return digests;
  }

  /** Only the weights: the other files hold ids and times. */
  async weightDigests(id: string): Promise<Record<string, string>> {
    const digests = await this.resultDigests(id);
    return Object.fromEntries([...digests].filter(([path]) => path.endsWith('.safetensors')));
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
