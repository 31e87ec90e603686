import { createLogger } from '@amalgam/telemetry';
import { describe, expect, it } from 'vitest';
import { buildApp } from '../../src/index.js';
import { useWorld } from '../support/world.js';

describe('the request log', () => {
  const world = useWorld();

  it('has one line for each request, with its id, who asked, and no secret', async () => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const log = createLogger({ name: 'api', level: 'debug', destination });
    const app = await buildApp({ config: world.config, parts: world.parts, log });
    const headers = { authorization: `Bearer ${world.token}`, 'x-request-id': 'id-1' };
    await app.inject({ url: '/v1/methods', headers });
    const link = new URL(await world.parts.store.signedGetUrl('results/x', { expiresSeconds: 60 }));
    await app.inject({ url: link.pathname + link.search });
    await app.inject({ url: '/healthz' });
    await app.close();

    const requests = lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === 'request');
    expect(requests).toHaveLength(3);
    expect(requests[0]).toMatchObject({
      level: 'info',
      method: 'GET',
      url: '/v1/methods',
      status: 200,
      request_id: 'id-1',
      project: world.projectId,
    });
    expect(requests[2]).toMatchObject({ level: 'debug', url: '/healthz' });
    const text = lines.join('');
    expect(text).not.toContain(world.token);
    expect(text).not.toContain(link.searchParams.get('signature'));
  });
});
