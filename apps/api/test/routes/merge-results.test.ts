import { type AssetFile, Delivery, type List, Merge, type Problem, Report, validate } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { claim, queueMerge, succeed, useWorld, weights } from '../support/world.js';

describe('results', () => {
  const world = useWorld({ env: { AMALGAM_WEBHOOK_ALLOW_HTTP: '1', AMALGAM_WEBHOOK_ALLOW_PRIVATE: '127.0.0.1' } });

  it('has neither report nor files until it has succeeded, and then both', async () => {
    const { id } = await queueMerge(world, { webhook: { url: 'http://127.0.0.1:9/hook' } });
    for (const path of ['report', 'files', 'files/model.safetensors']) {
      const { status, body } = await world.call<Problem>('GET', `/v1/merges/${id}/${path}`);
      expect({ path, status, code: body.code }).toEqual({ path, status: 404, code: 'not_found' });
      expect(body.detail).toContain('queued');
    }
    const bytes = weights(5);
    await succeed(world, await claim(world, id), bytes);

    const merge = await world.call<Merge>('GET', `/v1/merges/${id}`);
    expect(validate(Merge, merge.body)).toMatchObject({ ok: true });
    expect(merge.body).toMatchObject({
      state: 'succeeded',
      attempts: [{ number: 1, state: 'succeeded', worker: 'worker-1' }],
    });
    const report = await world.call<Report>('GET', `/v1/merges/${id}/report`);
    expect(validate(Report, report.body)).toMatchObject({ ok: true });
    const files = await world.call<List<AssetFile>>('GET', `/v1/merges/${id}/files`);
    expect(files.body.data).toEqual([{ path: 'model.safetensors', bytes: bytes.length, sha256: null }]);

    const checkpoint = merge.body.result!.checkpoint_id;
    for (const url of [`/v1/merges/${id}`, `/v1/checkpoints/${checkpoint}`]) {
      const response = await world.app.inject({
        url: `${url}/files/model.safetensors`,
        headers: { authorization: `Bearer ${world.token}` },
      });
      expect(response.rawPayload.equals(bytes)).toBe(true);
    }
    const lineage = await world.call('GET', `/v1/checkpoints/${checkpoint}`);
    expect(lineage.body).toMatchObject({ source: 'merge', merge_id: id, state: 'ready' });

    const deliveries = await world.call<List<Delivery>>('GET', `/v1/merges/${id}/deliveries`);
    expect(deliveries.body.data.map(({ state }) => state)).toEqual(['pending', 'pending', 'pending']);
    for (const delivery of deliveries.body.data) expect(validate(Delivery, delivery)).toMatchObject({ ok: true });
    expect(deliveries.text).not.toContain('whsec_');
    const page = await world.call<List<Delivery>>('GET', `/v1/merges/${id}/deliveries?limit=1`);
    expect(page.body).toMatchObject({ has_more: true, next_cursor: page.body.data[0]!.id });

    expect((await world.call('DELETE', `/v1/checkpoints/${checkpoint}`)).status).toBe(204);
    expect((await world.parts.store.list(`results/${id}`)).objects).toEqual([]);
    const gone = await world.call<Problem>('GET', `/v1/merges/${id}/files`);
    expect(gone.body.detail).toContain('was deleted');
  });
});
