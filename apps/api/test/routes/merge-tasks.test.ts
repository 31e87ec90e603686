import {
  type Checkpoint,
  type Dataset,
  type Graph,
  type List,
  type Merge,
  type MergeEvent,
  type Plan,
  type Problem,
  type RecipeTask,
  Merge as Schema,
  validate,
} from '@amalgam/contracts';
import { beforeAll, describe, expect, it } from 'vitest';
import { samples, storeFile, storeZoo } from '../support/data.js';
import { claim, useWorld } from '../support/world.js';

const STRANGE = '01K0000000000000000000000A';

describe('merges with tasks', () => {
  const world = useWorld();
  const ids: Record<string, string> = {};
  const register = async <T extends { id: string }>(kind: string, uri: string) => {
    const { status, body } = await world.call<T>('POST', `/v1/${kind}`, { body: { uri } });
    expect(status).toBe(201);
    return body.id;
  };
  const dataset = async (name: string, bytes: Buffer) =>
    register<Dataset>('datasets', await storeFile(world, `${name}.safetensors`, bytes));

  beforeAll(async () => {
    const names = ['digits', 'shapes'];
    const zoo = await storeZoo(
      world,
      'zoo',
      'base.safetensors',
      ...names.flatMap((name) => [
        `${name}.safetensors`,
        `${name}.onnx`,
        `${name}.unlabeled.safetensors`,
        `${name}.labeled.safetensors`,
      ]),
    );
    ids['base'] = await register<Checkpoint>('checkpoints', `${zoo}/base.safetensors`);
    for (const name of names) {
      ids[name] = await register<Checkpoint>('checkpoints', `${zoo}/${name}.safetensors`);
      ids[`${name} graph`] = await register<Graph>('graphs', `${zoo}/${name}.onnx`);
      ids[`${name} data`] = await register<Dataset>('datasets', `${zoo}/${name}.unlabeled.safetensors`);
      ids[`${name} labelled`] = await register<Dataset>('datasets', `${zoo}/${name}.labeled.safetensors`);
    }
  });

  const task = (name: string, more: Partial<RecipeTask> = {}) => ({
    name,
    model: ids[name],
    graph: ids[`${name} graph`],
    data: ids[`${name} data`],
    evaluation: ids[`${name} labelled`],
    ...more,
  });
  const recipe = (more: object = {}) => ({
    method: 'adamerging',
    base: ids['base'],
    models: [{ model: ids['digits'] }, { model: ids['shapes'] }],
    tasks: [task('digits'), task('shapes')],
    ...more,
  });
  const post = <T>(url: string, body: unknown) => world.call<T & Problem>('POST', url, { body });

  it('go to workers that can run models, and keep graphs and datasets as inputs', async () => {
    const { status, body } = await post<Merge>('/v1/merges', { recipe: recipe() });
    expect(status).toBe(202);
    expect(body.recipe.tasks).toEqual([task('digits'), task('shapes')]);
    const stored = await world.parts.database.merges.details(world.projectId, body.id);
    expect(stored?.inputs.map(({ role, assetId }) => [role, assetId])).toEqual([
      ['base', ids['base']],
      ['model', ids['digits']],
      ['model', ids['shapes']],
      ['graph', ids['digits graph']],
      ['data', ids['digits data']],
      ['evaluation', ids['digits labelled']],
      ['graph', ids['shapes graph']],
      ['data', ids['shapes data']],
      ['evaluation', ids['shapes labelled']],
    ]);
    expect((await world.parts.database.merges.get(world.projectId, body.id))?.lane).toBe('gpu');
    await world.call('POST', `/v1/merges/${body.id}/cancel`);
  });

  it('of methods that learn nothing are evaluated, with data alone too; without tasks the lane is another', async () => {
    const tasks = [task('digits', { data: undefined }), task('shapes', { evaluation: undefined })];
    const { status, body } = await post<Merge>('/v1/merges', { recipe: recipe({ method: 'ties', tasks }) });
    expect(status).toBe(202);
    const { merges } = world.parts.database;
    const lane = async (id: string) => (await merges.get(world.projectId, id))?.lane;
    expect(await lane(body.id)).toBe('gpu');
    const plain = await post<Merge>('/v1/merges', { recipe: recipe({ method: 'ties', tasks: undefined }) });
    expect(await lane(plain.body.id)).toBe('cpu');
    for (const id of [body.id, plain.body.id]) await world.call('POST', `/v1/merges/${id}/cancel`);
  });

  it('name what is not there, of another kind, of another project or not ready, all at once', async () => {
    const pending = await post<Dataset>('/v1/datasets', { files: [{ path: 'x.npz', bytes: 1 }] });
    const cases: [object, string, Record<string, string>][] = [
      [
        {
          tasks: [
            task('digits', { graph: `graph_${STRANGE}`, data: `data_${STRANGE}` }),
            task('shapes', { evaluation: './local.npz' }),
          ],
        },
        'not_found',
        {
          '/recipe/tasks/0/graph': `there is no graph "graph_${STRANGE}"`,
          '/recipe/tasks/0/data': `there is no dataset "data_${STRANGE}"`,
          '/recipe/tasks/1/evaluation': 'there is no dataset "./local.npz": the service knows each by its id, data_…',
        },
      ],
      [
        { tasks: [task('digits', { graph: ids['base']!, data: ids['digits graph']! })] },
        'not_found',
        {
          '/recipe/tasks/0/graph': `there is no graph "${ids['base']}": the service knows each by its id, graph_…`,
          '/recipe/tasks/0/data': `there is no dataset "${ids['digits graph']}": the service knows each by its id, data_…`,
        },
      ],
      [
        { tasks: [task('digits', { data: pending.body.id })] },
        'dataset_not_ready',
        { '/recipe/tasks/0/data': `dataset "${pending.body.id}" is pending, not ready` },
      ],
    ];
    for (const url of ['/v1/merges', '/v1/merges/plan']) {
      for (const [change, code, errors] of cases) {
        const { body } = await post<unknown>(url, { recipe: recipe(change) });
        expect({
          code: body.code,
          errors: Object.fromEntries(body.errors!.map(({ pointer, detail }) => [pointer, detail])),
        }).toEqual({ code, errors });
      }
    }
    const strange = await world.call<Problem>('POST', '/v1/merges/plan', {
      token: world.strangerToken,
      body: { recipe: recipe() },
    });
    expect(strange.body.errors).toHaveLength(9);
  });

  it('say what does not fit, for every task, from headers alone', async () => {
    const wrongName = await dataset('wrong-name', samples({ images: [32, 1, 32, 32] }));
    const wrongShape = await dataset('wrong-shape', samples({ pixel_values: [32, 3, 32, 32] }));
    const few = await dataset('few', samples({ pixel_values: [8, 1, 32, 32] }));
    const cases: [Partial<RecipeTask>, string, string, RegExp][] = [
      [{ data: wrongName }, 'invalid_dataset', 'data', /has no tensor "pixel_values"/],
      [{ data: wrongShape }, 'invalid_dataset', 'data', /\[32, 3, 32, 32\].*\[\w+, 1, 32, 32\]/],
      [{ data: few }, 'invalid_dataset', 'data', /8 rows, fewer than one batch of 16/],
      [{ evaluation: wrongShape }, 'invalid_dataset', 'evaluation', /dimension 1 is 3, not 1/],
      [{ logits: 'scores' }, 'invalid_recipe', 'logits', /no output "scores"/],
    ];
    for (const [change, code, field, detail] of cases) {
      const tasks = [task('digits', change), task('shapes', change)];
      const { status, body } = await post<Plan>('/v1/merges/plan', { recipe: recipe({ tasks }) });
      expect({ status, code: body.code }).toEqual({ status: 422, code });
      expect(body.errors!.map(({ pointer }) => pointer)).toEqual([
        `/recipe/tasks/0/${field}`,
        `/recipe/tasks/1/${field}`,
      ]);
      for (const error of body.errors!) expect(error.detail).toMatch(detail);
    }
    const { body } = await post<Plan>('/v1/merges/plan', {
      recipe: recipe({ tasks: [task('digits', { model: 'x' })] }),
    });
    expect(body).toMatchObject({ code: 'invalid_recipe', errors: [{ pointer: '/recipe/tasks/0/model' }] });
  });

  it('keep their graphs and datasets from deletion until they end', async () => {
    const { body: merge } = await post<Merge>('/v1/merges', { recipe: recipe() });
    const used = [
      ['graphs', ids['digits graph'], 'graph_in_use'],
      ['datasets', ids['digits data'], 'dataset_in_use'],
      ['datasets', ids['shapes labelled'], 'dataset_in_use'],
      ['checkpoints', ids['shapes'], 'checkpoint_in_use'],
    ];
    for (const [plural, id, code] of used) {
      const { status, body } = await world.call<Problem>('DELETE', `/v1/${plural}/${id}`);
      expect({ status, code: body.code }).toEqual({ status: 409, code });
      expect(body.detail).toContain(merge.id);
    }
    await world.call('POST', `/v1/merges/${merge.id}/cancel`);
    const spare = await register<Graph>('graphs', await storeZoo(world, 'spare', 'digits.onnx'));
    const tasks = [task('digits', { graph: spare }), task('shapes')];
    const { body: other } = await post<Merge>('/v1/merges', { recipe: recipe({ tasks }) });
    await world.call('POST', `/v1/merges/${other.id}/cancel`);
    expect((await world.call('DELETE', `/v1/graphs/${spare}`)).status).toBe(204);
    const retried = await world.call<Problem>('POST', `/v1/merges/${other.id}/retry`);
    expect(retried).toMatchObject({ status: 404, body: { detail: `there is no graph ${spare}` } });
  });

  it('show how far the tuning is, and what it runs on', async () => {
    const { body: merge } = await post<Merge>('/v1/merges', { recipe: recipe() });
    const { attempts } = world.parts.database;
    const claimed = await attempts.claim(merge.id, 'worker-1', { staleAfterMs: 60_000, device: 'cuda: H100' });
    const tuning = { step: 3, steps: 500, loss: 2.5, losses: [1, 1.5] };
    const bytes = { bytesDone: 0, bytesTotal: 0 };
    await attempts.progress(claimed!.attemptId, { stage: 'tuning', ...bytes, tuning });
    const shown = await world.call<Merge>('GET', `/v1/merges/${merge.id}`);
    expect(validate(Schema, shown.body)).toMatchObject({ ok: true });
    expect(shown.body).toMatchObject({
      progress: { stage: 'tuning', tuning },
      attempts: [{ number: 1, device: 'cuda: H100' }],
    });
    const events = await world.call<List<MergeEvent>>('GET', `/v1/merges/${merge.id}/events`);
    expect(events.body.data.map(({ type, data }) => [type, data['tuning'], data['device']])).toEqual([
      ['merge.queued', undefined, undefined],
      ['merge.started', undefined, 'cuda: H100'],
      ['merge.progress', tuning, undefined],
    ]);

    await attempts.release(claimed!.attemptId);
    expect((await world.call<Merge>('GET', `/v1/merges/${merge.id}`)).body.progress.tuning).toBeUndefined();
    const again = await claim(world, merge.id);
    const body = (await world.call<Merge>('GET', `/v1/merges/${merge.id}`)).body;
    expect(body.progress.tuning).toBeUndefined();
    expect(body.attempts.map(({ device }) => device)).toEqual(['cuda: H100', null]);
    await attempts.release(again.attemptId);
    await world.call('POST', `/v1/merges/${merge.id}/cancel`);
  });
});
