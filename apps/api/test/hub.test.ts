import type { Checkpoint, Plan, Problem } from '@amalgam/contracts';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { COMMIT, TestHub } from '../../../test/support/hub.js';
import { useWorld, weights } from './support/world.js';

const files = { 'config.json': Buffer.from('{"model_type":"x"}'), 'model.safetensors': weights(2) };
const hub = await TestHub.start({
  'org/model': { files, revisions: ['v1'] },
  'org/other': { files: { ...files, 'model.safetensors': weights(3) } },
  'org/gated': { files, access: 'gated' },
  'foreign/model': { files },
});
afterAll(() => hub.close());
beforeEach(() => {
  hub.take();
});

describe('checkpoints of the Hugging Face hub', () => {
  const world = useWorld({
    env: { AMALGAM_ALLOWED_ROOTS: 'hf://org', HF_ENDPOINT: hub.endpoint, HF_TOKEN: hub.token },
  });
  const create = (body: unknown) => world.call<Checkpoint & Problem>('POST', '/v1/checkpoints', { body });

  it('are registered by the commit that their revision is, from their headers', async () => {
    const { status, body } = await create({ uri: 'hf://org/model@v1' });
    expect(status).toBe(201);
    expect(body).toMatchObject({ name: 'model', state: 'ready', uri: `hf://org/model@${COMMIT}`, tensors: 2 });
    const requests = hub.take();
    const read = requests.filter(({ path }) => path.includes('/resolve/'));
    expect(read.every(({ range }) => range !== undefined)).toBe(true);
    expect(requests.every(({ at, authorization }) => (at === 'hub') === (authorization !== undefined))).toBe(true);
  });

  it('are planned with, and give their files', async () => {
    const [base, model] = [await create({ uri: 'hf://org/model' }), await create({ uri: 'hf://org/other' })];
    const recipe = { method: 'task_arithmetic', base: base.body.id, models: [{ model: model.body.id }] };
    const plan = await world.call<Plan>('POST', '/v1/merges/plan', { body: { recipe } });
    expect(plan).toMatchObject({ status: 200, body: { tensors: { merged: 2 } } });
    const file = await fetch(`${await world.listen()}/v1/checkpoints/${model.body.id}/files/model.safetensors`, {
      headers: { authorization: `Bearer ${world.token}` },
    });
    expect(Buffer.from(await file.arrayBuffer()).equals(weights(3))).toBe(true);
  });

  it('of one file are named after their repository', async () => {
    const { body } = await create({ uri: 'hf://org/model/model.safetensors' });
    expect(body).toMatchObject({ name: 'model', uri: `hf://org/model@${COMMIT}/model.safetensors` });
  });

  it('outside the allowed roots are refused, and the hub is not asked', async () => {
    for (const uri of ['hf://foreign/model', 'hf://org/../foreign/model', 'hf://datasets/org/model']) {
      const { status, body } = await create({ uri });
      expect({ uri, status, code: body.code }).toEqual({ uri, status: 403, code: 'uri_not_allowed' });
      expect(body.errors?.[0]?.pointer).toBe('/uri');
    }
    expect(hub.take()).toEqual([]);
  });

  it('that the hub does not give are refused in words, without the token', async () => {
    const gated = await create({ uri: 'hf://org/gated' });
    expect(gated).toMatchObject({ status: 422, body: { code: 'hub_refused' } });
    expect(gated.body.detail).toContain('gated');
    expect(gated.text).not.toContain(hub.token);
    expect(await create({ uri: 'hf://org/none' })).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect(await create({ uri: 'hf://org/model@v9' })).toMatchObject({ status: 404, body: { code: 'not_found' } });
  });
});

describe('without hf:// among the allowed roots', () => {
  const world = useWorld({ env: { HF_ENDPOINT: hub.endpoint } });

  it('no model of the hub can be registered', async () => {
    const { status, body } = await world.call<Problem>('POST', '/v1/checkpoints', { body: { uri: 'hf://org/model' } });
    expect({ status, code: body.code }).toEqual({ status: 403, code: 'uri_not_allowed' });
    expect(hub.take()).toEqual([]);
  });
});
