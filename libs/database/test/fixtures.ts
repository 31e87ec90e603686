import { randomBytes } from 'node:crypto';
import type { EventType } from '@amalgam/contracts';
import { afterAll, beforeAll } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import {
  type CheckpointRow,
  type Contents,
  connect,
  type Database,
  type MergeRow,
  type NewMerge,
} from '../src/index.js';

export const SECRET_KEY = randomBytes(32);
export const STALE = { staleAfterMs: 10_000 };

/** A suite's database, its project and a second project that must never see the first one's rows. */
export interface World {
  url: string;
  db: Database;
  projectId: string;
  strangerId: string;
}

/** Sets the world up before the tests of a file. Its members are there once the tests run. */
export function useWorld(): World {
  const world = {} as World;
  let server: TestDatabase;
  beforeAll(async () => {
    server = await startTestDatabase();
    const db = await connect({ url: server.url, secretKey: SECRET_KEY, max: 12 });
    const { id: projectId } = await db.projects.ensureDefaultProject();
    const { id: strangerId } = await db.projects.ensure('stranger');
    Object.assign(world, { url: server.url, db, projectId, strangerId });
  });
  afterAll(async () => {
    await world.db?.close();
    await server?.stop();
  });
  return world;
}

export function contents(path = 'model.safetensors'): Contents {
  return {
    files: [{ path, bytes: 72, sha256: 'ab'.repeat(32), etag: 'e' }],
    tensors: 1,
    parameters: 4,
    dtypes: { F32: 4 },
    inventory: [{ name: 'w', dtype: 'F32', shape: [2, 2], bytes: 16, file: path, begin: 0 }],
    configs: { config: { model_type: 'llama', vocab_size: 32 }, adapterConfig: null },
  };
}

export async function makeCheckpoint({ db, projectId }: World, name = 'base'): Promise<CheckpointRow> {
  return db.checkpoints.createRegistered(projectId, { ...contents(), name, uri: `file:///models/${name}` });
}

export function mergeOf(assetId: string, more: Partial<NewMerge> = {}): NewMerge {
  return {
    recipe: { method: 'linear', models: [{ model: assetId }] },
    inputs: [{ assetId, role: 'model' }],
    bytesTotal: 100,
    ...more,
  };
}

export async function makeMerge(world: World, more: Partial<NewMerge> = {}): Promise<MergeRow> {
  const checkpoint = await makeCheckpoint(world);
  return world.db.merges.create(world.projectId, mergeOf(checkpoint.id, more));
}

export const RESULT = { ...contents(), name: 'result', storePrefix: 'results/x' };

/** Types of a merge's events, in order, after a check that the numbers count from 1 without holes. */
export async function eventTypes({ db, projectId }: World, mergeId: string): Promise<EventType[]> {
  const events = await db.events.listAfter(projectId, mergeId, 0, 1000);
  events.forEach((event, index) => {
    if (event.seq !== index + 1) throw new Error(`event ${index + 1} has number ${event.seq}`);
  });
  return events.map(({ type }) => type);
}

/** As if its worker had been silent for a minute. */
export async function silence({ db }: World, attemptId: string): Promise<void> {
  await db.prisma.$executeRaw`UPDATE attempts SET heartbeat_at = now() - interval '60 seconds' WHERE id = ${attemptId}`;
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
