import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AmalgamError, type Recipe } from '@amalgam/contracts';
import type { ObjectStore } from '@amalgam/storage';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import type { RunningWorker } from '../src/index.js';
import { registerModels } from './models.js';
import { Stack, ZOO } from './stack.js';

let server: TestDatabase;
beforeAll(async () => {
  server = await startTestDatabase();
});
afterAll(() => server?.stop());

/** The store, but for what `putFile` does. */
function withPutFile(store: ObjectStore, putFile: ObjectStore['putFile']): ObjectStore {
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'putFile') return putFile;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

describe('while something fails', () => {
  let stack: Stack;
  let recipe: Recipe;
  let worker: RunningWorker;
  beforeAll(async () => {
    stack = await Stack.open(server.url);
    const base = await stack.register('base', `${ZOO}base.safetensors`);
    const digits = await stack.register('digits', `${ZOO}digits.safetensors`);
    recipe = { method: 'ties', base: base.id, models: [{ model: digits.id }] };
  });
  afterEach(() => worker.close());
  afterAll(() => stack?.close());

  async function startWith(putFile: ObjectStore['putFile']): Promise<void> {
    const parts = { ...stack.parts, store: withPutFile(stack.parts.store, putFile) };
    worker = await stack.startWorker({ parts, retryMs: 20 });
  }

  it('the store, the attempt goes back to the queue and the next one succeeds', async () => {
    let failures = 1;
    await startWith(async (...call) => {
      if (failures-- > 0) throw new AmalgamError('storage_error', 'the store is away');
      return stack.parts.store.putFile(...call);
    });
    const merge = await stack.untilFinal(await stack.createMerge(recipe));
    expect(merge).toMatchObject({
      state: 'succeeded',
      attempts: [{ state: 'failed', error: { code: 'storage_error' } }, { state: 'succeeded' }],
    });
  });

  it('the store for good, the merge fails with the reason after its attempts', async () => {
    await startWith(async () => {
      throw new AmalgamError('storage_error', 'the store is away');
    });
    const merge = await stack.untilFinal(await stack.createMerge(recipe));
    expect(merge).toMatchObject({ state: 'failed', error: { code: 'storage_error', detail: 'the store is away' } });
    expect(merge.attempts).toHaveLength(3);
  });

  it('something unforeseen, the user is told no secrets', async () => {
    await startWith(async () => {
      throw new TypeError('cannot read /etc/passwd of undefined');
    });
    const merge = await stack.untilFinal(await stack.createMerge(recipe));
    expect(merge).toMatchObject({ state: 'failed', error: { code: 'internal' } });
    expect(merge.error?.detail).not.toContain('passwd');
    expect(merge.error?.detail).toMatch(/att_/);
    expect(merge.attempts).toHaveLength(1);
  });
});

const mounted = mountable();

describe.skipIf(!mounted)(mounted ? 'a full disk' : 'a full disk (SKIPPED: needs to mount a tmpfs, as root)', () => {
  it('fails the merge, leaves nothing, and is no obstacle once there is space', async () => {
    const home = await mkdtemp(join(tmpdir(), 'amalgam-small-'));
    const models = await mkdtemp(join(tmpdir(), 'amalgam-models-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=20m', 'tmpfs', home]);
    let stack: Stack | undefined;
    try {
      stack = await Stack.open(server.url, {
        AMALGAM_HOME: home,
        AMALGAM_ALLOWED_ROOTS: pathToFileURL(models).href,
      });
      const recipe = await registerModels(stack, { megabytes: 4, tensors: 8 }, models);
      const worker = await stack.startWorker();
      const id = await stack.createMerge(recipe);
      expect(await stack.untilFinal(id)).toMatchObject({ state: 'failed', error: { code: 'storage_full' } });
      expect(await stack.keys('')).toEqual([]);
      expect(await readdir(join(home, 'objects', '.tmp'))).toEqual([]);
      expect(await readdir(join(home, 'scratch', worker.id))).toEqual([]);

      execFileSync('mount', ['-o', 'remount,size=200m', home]);
      await stack.parts.database.control.retry(stack.projectId, id);
      expect((await stack.untilFinal(id)).state).toBe('succeeded');
    } finally {
      await stack?.close().catch(() => {}); // the mount point itself cannot be removed yet
      execFileSync('umount', ['-l', home]);
      await rm(home, { recursive: true, force: true });
      await rm(models, { recursive: true, force: true });
    }
  });
});

function mountable(): boolean {
  if (process.getuid?.() !== 0) return false;
  const folder = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder]);
    return true;
  } catch {
    return false;
  } finally {
    execFileSync('rmdir', [folder]);
  }
}
