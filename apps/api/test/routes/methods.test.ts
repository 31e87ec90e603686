import { type List, Method, type Problem, validate } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { useWorld } from '../support/world.js';

describe('methods', () => {
  const world = useWorld();

  it('lists every method with its parameters, and gives each by name', async () => {
    const { body } = await world.call<List<Method>>('GET', '/v1/methods');
    expect(body.data.map(({ name }) => name)).toEqual(expect.arrayContaining(['linear', 'task_arithmetic', 'ties']));
    for (const method of body.data) {
      expect(validate(Method, method)).toMatchObject({ ok: true });
      expect((await world.call('GET', `/v1/methods/${method.name}`)).body).toEqual(method);
    }
  });

  it('names the nearest when there is none', async () => {
    const { status, body } = await world.call<Problem>('GET', '/v1/methods/tie');
    expect({ status, code: body.code }).toEqual({ status: 404, code: 'not_found' });
    expect(body.detail).toContain('did you mean "ties"?');
  });
});
