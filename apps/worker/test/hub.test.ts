import { describeFolder } from '@amalgam/runtime';
import { pinUri, resolveUri } from '@amalgam/storage';
import { encodeSafetensors } from '@amalgam/tensors';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestHub } from '../../../test/support/hub.js';
import { startTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { Stack } from './stack.js';

let hub: TestHub;
let database: TestDatabase;
let stack: Stack;

const model = (value: number) => ({
  files: { 'model.safetensors': encodeSafetensors([tensor(new Float32Array(64).fill(value))]) },
});
const tensor = (data: Float32Array) => ({
  name: 'w',
  dtype: 'F32' as const,
  shape: [8, 8],
  data: new Uint8Array(data.buffer),
});

beforeAll(async () => {
  hub = await TestHub.start({ 'org/a': model(1), 'org/b': model(3) });
  database = await startTestDatabase();
  stack = await Stack.open(database.url, { AMALGAM_ALLOWED_ROOTS: 'hf://', HF_ENDPOINT: hub.endpoint });
});
afterAll(async () => {
  await stack?.close();
  await database?.stop();
  await hub?.close();
});

it('merges models of the hub, whose weights it fetches once', async () => {
  const { config, parts, projectId } = stack;
  const register = async (name: string) => {
    const uri = await pinUri(`hf://org/${name}`, config.allowedRoots, config.hub);
    const folder = await resolveUri(uri, config.allowedRoots, undefined, undefined, config.hub);
    const contents = await describeFolder(folder);
    return parts.database.checkpoints.createRegistered(projectId, { ...contents, name, uri });
  };
  const models = [await register('a'), await register('b')].map(({ id }) => ({ model: id }));
  await stack.startWorker();
  for (const normalize of [true, false]) {
    hub.take();
    const id = await stack.createMerge({ method: 'linear', models, parameters: { normalize } });
    const merge = await stack.until(id, ({ state }) => ['succeeded', 'failed'].includes(state));
    expect(merge).toMatchObject({ state: 'succeeded', error: null });
    const whole = hub
      .take()
      .filter(({ at, range }) => at === 'store' && range?.startsWith('bytes=0-') && range !== 'bytes=0-7');
    expect(whole).toHaveLength(normalize ? 2 : 0);
  }
});
