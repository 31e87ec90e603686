import { type List, Merge, type MergeCounts, Plan, type Problem, validate } from '@amalgam/contracts';
import { beforeAll, describe, expect, it } from 'vitest';
import { claim, queueMerge, register, succeed, useWorld, weights } from '../support/world.js';

describe('merges', () => {
  const world = useWorld({ env: { AMALGAM_WEBHOOK_ALLOW_HTTP: '1', AMALGAM_WEBHOOK_ALLOW_PRIVATE: '127.0.0.1' } });
  const post = <T = Merge & Problem>(url: string, body?: unknown, token = world.token) =>
    world.call<T>('POST', url, { token, ...(body === undefined ? {} : { body }) });
  const ids: Record<string, string> = {};
  beforeAll(async () => {
    for (const [name, file] of [
      ['base', weights(0)],
      ['math', weights(1)],
      ['code', weights(2)],
      ['wide', weights(3, [2, 3])],
    ] as const) {
      ids[name] = (await register(world, name, file)).id;
    }
  });
  const ties = (more: object = {}) => ({
    method: 'ties',
    base: ids['base']!,
    models: [{ model: ids['math']! }, { model: ids['code']!, parameters: { density: 0.5 } }],
    ...more,
  });

  it('queues a merge with every default filled in', async () => {
    const { status, body, headers } = await post('/v1/merges', {
      name: 'first',
      recipe: ties(),
      metadata: { pipeline: '118' },
    });
    expect(status).toBe(202);
    expect(headers['location']).toBe(`/v1/merges/${body.id}`);
    expect(validate(Merge, body)).toMatchObject({ ok: true });
    expect(body).toMatchObject({
      state: 'queued',
      name: 'first',
      method: 'ties',
      webhook: null,
      result: null,
      error: null,
    });
    expect(body.recipe.parameters).toEqual({ lambda: 1, scope: 'model', combine: 'mean', rescale: false });
    expect(body.recipe.models[1]).toEqual({ model: ids['code'], parameters: { weight: 1, density: 0.5 } });
    expect(body.progress.bytes_total).toBeGreaterThan(0);
    expect((await world.call('GET', headers['location']!)).body).toEqual(body);

    const { body: plan } = await post<Plan>('/v1/merges/plan', { recipe: ties() });
    expect(plan.bytes_read + plan.bytes_written).toBe(body.progress.bytes_total);
    const stored = await world.parts.database.merges.details(world.projectId, body.id);
    expect(stored?.plan).toEqual(plan);
    expect(stored?.inputs.map(({ assetId, role }) => [assetId, role])).toEqual([
      [ids['base'], 'base'],
      [ids['math'], 'model'],
      [ids['code'], 'model'],
    ]);
  });

  it('plans without creating anything', async () => {
    const count = async () => (await world.call<List<Merge>>('GET', '/v1/merges?limit=100')).body.data.length;
    const before = await count();
    const { status, body } = await post<Plan>('/v1/merges/plan', { recipe: ties({ out_dtype: 'bfloat16' }) });
    expect(status).toBe(200);
    expect(validate(Plan, body)).toMatchObject({ ok: true });
    expect(body).toMatchObject({ object: 'plan', tensors: { merged: 2, copied: 0, heads: 0 }, parameters: 6 });
    expect(await count()).toBe(before);
  });

  it('finds everything that is wrong with a recipe, with pointers into the body', async () => {
    const unknown = 'ckpt_01K0000000000000000000000A';
    const model = (name: string, parameters?: object) => ({ model: ids[name]!, ...(parameters && { parameters }) });
    const cases: [string, object, string, string, string][] = [
      ['method', ties({ method: 'teis' }), 'unknown_method', '/recipe/method', 'did you mean "ties"?'],
      [
        'density 0',
        ties({ parameters: { density: 0 } }),
        'invalid_recipe',
        '/recipe/parameters/density',
        'must be > 0',
      ],
      [
        'density 2',
        ties({ models: [model('math', { density: 2 })] }),
        'invalid_recipe',
        '/recipe/models/0/parameters/density',
        'must be <= 1',
      ],
      ['NaN', ties({ parameters: { weight: 'NaN' } }), 'invalid_recipe', '/recipe/parameters/weight', 'must be number'],
      [
        'key',
        ties({ parameters: { lamda: 1 } }),
        'invalid_recipe',
        '/recipe/parameters/lamda',
        'did you mean "lambda"?',
      ],
      ['no base', { method: 'ties', models: [model('math')] }, 'invalid_recipe', '/recipe/base', 'needs a base'],
      ['missing', ties({ base: unknown }), 'not_found', '/recipe/base', 'there is no checkpoint'],
      ['no id', ties({ base: '/etc/passwd' }), 'not_found', '/recipe/base', 'by its id, ckpt_…'],
      ['base again', ties({ models: [model('base')] }), 'duplicate_model', '/recipe/models/0/model', 'is the base'],
      [
        'twice',
        ties({ models: [model('math'), model('math')] }),
        'duplicate_model',
        '/recipe/models/1/model',
        'same checkpoint',
      ],
      ['shape', ties({ models: [model('wide')] }), 'shape_mismatch', '/recipe/models/0/model', '[2, 2]'],
      ['globs', ties({ merge: { include: ['x*'] } }), 'invalid_recipe', '/recipe/merge', 'no floating-point tensor'],
      ['no models', ties({ models: [] }), 'invalid_request', '/recipe/models', 'fewer than 1'],
    ];
    for (const url of ['/v1/merges', '/v1/merges/plan']) {
      for (const [what, recipe, code, pointer, text] of cases) {
        const { body } = await post<Problem>(url, { recipe });
        expect({ what, code: body.code, pointer: body.errors?.[0]?.pointer }).toEqual({ what, code, pointer });
        expect(JSON.stringify(body.errors)).toContain(JSON.stringify(text).slice(1, -1));
      }
    }
  });

  it('does not merge what is not ready, or another project’s', async () => {
    const upload = await post<{ id: string }>('/v1/checkpoints', { files: [{ path: 'model.safetensors', bytes: 9 }] });
    const pending = await post<Problem>('/v1/merges', { recipe: ties({ base: upload.body.id }) });
    expect(pending).toMatchObject({ status: 409, body: { code: 'checkpoint_not_ready' } });
    const stranger = await post<Problem>('/v1/merges', { recipe: ties() }, world.strangerToken);
    expect(stranger).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect(stranger.body.errors).toHaveLength(3);
  });

  it('makes a webhook secret and shows it once; takes a given one without showing it', async () => {
    const url = 'http://127.0.0.1:9/hook';
    const made = await post('/v1/merges', { recipe: ties(), webhook: { url } });
    expect(made.body.webhook).toMatchObject({ url, secret: expect.stringMatching(/^whsec_.{44}$/) });
    expect(made.body.webhook?.events).not.toContain('merge.progress');
    const { body } = await world.call<Merge>('GET', `/v1/merges/${made.body.id}`);
    expect(body.webhook).toEqual({ url, events: made.body.webhook!.events });

    const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
    const given = await post('/v1/merges', { recipe: ties(), webhook: { url, secret, events: ['merge.progress'] } });
    expect(given.text).not.toContain(secret);
    expect(given.body.webhook).toEqual({ url, events: ['merge.progress'] });
  });

  it('refuses webhooks to places that are not allowed, and malformed secrets', async () => {
    const cases: [object, string, string][] = [
      [{ url: 'http://10.0.0.1/x' }, 'webhook_not_allowed', '/webhook/url'],
      [{ url: 'http://169.254.169.254/latest' }, 'webhook_not_allowed', '/webhook/url'],
      [{ url: 'ftp://example.com' }, 'webhook_not_allowed', '/webhook/url'],
      [{ url: 'http://u:p@127.0.0.1/' }, 'webhook_not_allowed', '/webhook/url'],
      [{ url: 'http://127.0.0.1:9/', secret: 'short' }, 'invalid_request', '/webhook/secret'],
      [{ url: 'http://127.0.0.1:9/', events: ['merge.done'] }, 'invalid_request', '/webhook/events/0'],
    ];
    for (const [webhook, code, pointer] of cases) {
      const { body } = await post<Problem>('/v1/merges', { recipe: ties(), webhook });
      expect({ webhook, code: body.code, pointer: body.errors?.[0]?.pointer }).toEqual({ webhook, code, pointer });
    }
  });

  it('lists by state, method, name, metadata and time, page by page', async () => {
    const start = new Date().toISOString();
    const made: string[] = [];
    for (let i = 0; i < 3; i++)
      made.unshift((await queueMerge(world, { name: `list-${i}`, metadata: { list: 'yes' } })).id);
    await post(`/v1/merges/${made[0]}/cancel`);
    const list = async (query: string) =>
      (await world.call<List<Merge>>('GET', `/v1/merges?${query}`)).body.data.map(({ id }) => id);
    expect(await list('metadata[list]=yes')).toEqual(made);
    expect(await list('metadata[list]=yes&state=queued')).toEqual(made.slice(1));
    expect(await list('metadata[list]=yes&state=queued&state=canceled')).toEqual(made);
    expect(await list('metadata[list]=no')).toEqual([]);
    expect(await list('name=LIST-1')).toEqual([made[1]]);
    expect(await list(`created_after=${start}&method=linear`)).toEqual(made);
    expect(await list(`created_before=${start}&method=linear`)).toEqual([]);
    const page = await world.call<List<Merge>>('GET', '/v1/merges?metadata[list]=yes&limit=2');
    expect(page.body).toMatchObject({ has_more: true, next_cursor: made[1] });
    expect(await list(`metadata[list]=yes&limit=2&after=${made[1]}`)).toEqual([made[2]]);
    for (const query of ['state=done', 'created_after=yesterday', 'metdata[x]=1', 'after=ckpt_x']) {
      expect((await world.call(`GET`, `/v1/merges?${query}`)).status).toBe(400);
    }
  });

  it('lists the merges that take an input, or several', async () => {
    const { body: first } = await post('/v1/merges', { recipe: ties() });
    const linear = { method: 'linear', models: [{ model: ids['math'] }, { model: ids['base'] }] };
    const { body: second } = await post('/v1/merges', { recipe: linear });
    const list = async (...inputs: string[]) => {
      const query = inputs.map((id) => `input=${id}`).join('&');
      const { body } = await world.call<List<Merge>>('GET', `/v1/merges?limit=100&${query}`);
      return body.data.map(({ id }) => id);
    };
    expect(await list(ids['math']!)).toEqual(expect.arrayContaining([first.id, second.id]));
    const both = await list(ids['math']!, ids['code']!);
    expect(both).toContain(first.id);
    expect(both).not.toContain(second.id);
    expect(await list(ids['wide']!)).toEqual([]);
  });

  it('cancels: a waiting one at once, a running one by asking, twice without harm, a finished one never', async () => {
    const waiting = await queueMerge(world);
    expect((await post(`/v1/merges/${waiting.id}/cancel`)).body.state).toBe('canceled');
    expect(await post(`/v1/merges/${waiting.id}/cancel`)).toMatchObject({ status: 200, body: { state: 'canceled' } });

    const running = await queueMerge(world);
    const claimed = await claim(world, running.id);
    const asked = await post(`/v1/merges/${running.id}/cancel`);
    expect(asked).toMatchObject({ status: 200, body: { state: 'running' } });
    expect(asked.body.cancel_requested_at).not.toBeNull();
    await world.parts.database.attempts.finish(claimed.attemptId, { state: 'canceled' });

    const done = await queueMerge(world);
    await succeed(world, await claim(world, done.id));
    const refused = await post(`/v1/merges/${done.id}/cancel`);
    expect(refused).toMatchObject({ status: 409, body: { code: 'merge_finished' } });
    expect(refused.body.detail).toContain('succeeded');
  });

  it('retries what failed or was canceled, and nothing else', async () => {
    const merge = await queueMerge(world);
    expect((await post(`/v1/merges/${merge.id}/retry`)).body.code).toBe('merge_not_finished');
    const claimed = await claim(world, merge.id);
    expect((await post(`/v1/merges/${merge.id}/retry`)).body.code).toBe('merge_not_finished');
    await world.parts.database.attempts.finish(claimed.attemptId, {
      state: 'failed',
      error: { code: 'storage_full', detail: 'no space left' },
    });
    const failed = await world.call<Merge>('GET', `/v1/merges/${merge.id}`);
    expect(failed.body).toMatchObject({
      state: 'failed',
      error: { code: 'storage_full' },
      attempts: [{ state: 'failed' }],
    });
    expect(validate(Merge, failed.body)).toMatchObject({ ok: true });
    const again = await post(`/v1/merges/${merge.id}/retry`);
    expect(again).toMatchObject({ status: 202, body: { state: 'queued', error: null } });
    expect(again.headers['location']).toBe(`/v1/merges/${merge.id}`);
    await succeed(world, await claim(world, merge.id));
    expect((await post(`/v1/merges/${merge.id}/retry`)).body.code).toBe('merge_finished');
  });

  it('counts them by state, each project its own', async () => {
    const count = async (token?: string) =>
      (await world.call<MergeCounts>('GET', '/v1/merges/counts', token === undefined ? {} : { token })).body;
    const before = await count();
    await queueMerge(world);
    const canceled = await queueMerge(world);
    await post(`/v1/merges/${canceled.id}/cancel`);
    const expected = { ...before, queued: before.queued + 1, canceled: before.canceled + 1 };
    expect(await count()).toEqual(expected);
    expect(await count(world.strangerToken)).toMatchObject({ object: 'merge_counts', queued: 0, canceled: 0 });
  });

  it('hides merges from other projects', async () => {
    const { id } = await queueMerge(world);
    for (const [method, path] of [
      ['GET', ''],
      ['POST', '/cancel'],
      ['POST', '/retry'],
      ['GET', '/events'],
      ['GET', '/report'],
      ['GET', '/files'],
      ['GET', '/files/model.safetensors'],
      ['GET', '/deliveries'],
    ]) {
      const { status } = await world.call(method!, `/v1/merges/${id}${path}`, { token: world.strangerToken });
      expect({ path, status }).toEqual({ path, status: 404 });
    }
    expect((await world.call<List<Merge>>('GET', '/v1/merges', { token: world.strangerToken })).body.data).toEqual([]);
    expect((await world.call<Merge>('GET', `/v1/merges/${id}`)).body.state).toBe('queued');
  });
});
