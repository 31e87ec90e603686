import type { Merge, Plan, Problem } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { register, useWorld, weights } from './support/world.js';

describe('what is remembered of checkpoints', () => {
  const world = useWorld();
  const two = async (name: string) => {
    const a = await register(world, `${name}-a`, weights(1));
    const b = await register(world, `${name}-b`, weights(2));
    return { a: a.id, b: b.id, recipe: { method: 'linear', models: [{ model: a.id }, { model: b.id }] } };
  };
  const ask = <T>(path: string, recipe: object, token = world.token) =>
    world.call<T>('POST', path, { body: { recipe }, token });

  it('is not used for one that was deleted', async () => {
    const { a, recipe } = await two('deleted');
    expect((await ask<Plan>('/v1/merges/plan', recipe)).status).toBe(200);
    expect(world.parts.descriptions.get(a)).toBeDefined();
    expect((await world.call('DELETE', `/v1/checkpoints/${a}`)).status).toBe(204);
    for (const path of ['/v1/merges/plan', '/v1/merges']) {
      const { status, body } = await ask<Problem>(path, recipe);
      expect({ path, status, code: body.code }).toEqual({ path, status: 404, code: 'not_found' });
      expect(body.errors).toMatchObject([{ pointer: '/recipe/models/0/model' }]);
    }
  });

  it('is of no use to another project', async () => {
    const { b, recipe } = await two('mine');
    expect((await ask<Merge>('/v1/merges', recipe)).status).toBe(202);
    expect(world.parts.descriptions.get(b)).toBeDefined();
    for (const path of ['/v1/merges/plan', '/v1/merges']) {
      const { status, body } = await ask<Problem>(path, recipe, world.strangerToken);
      expect({ path, status, code: body.code }).toEqual({ path, status: 404, code: 'not_found' });
      expect(body.errors).toHaveLength(2);
    }
  });

  it('gives the same plan as reading it again', async () => {
    const { a, b, recipe } = await two('same');
    const fresh = await ask<Plan>('/v1/merges/plan', recipe);
    expect(world.parts.descriptions.get(a)).toBeDefined();
    expect((await ask<Plan>('/v1/merges/plan', recipe)).text).toBe(fresh.text);
    const turned = await ask<Plan>('/v1/merges/plan', { ...recipe, models: [{ model: b }, { model: a }] });
    expect(turned.body).toMatchObject({ tensors: fresh.body.tensors, bytes_read: fresh.body.bytes_read });
  });
});
