import type { List, Merge, Plan, Problem } from '@amalgam/contracts';
import { beforeAll, describe, expect, it } from 'vitest';
import { register, useWorld, weights } from '../support/world.js';

describe('recipes in mergekit’s language', () => {
  const world = useWorld();
  const ids: Record<string, string> = {};
  beforeAll(async () => {
    for (const [i, name] of ['base', 'math', 'code'].entries()) {
      ids[name] = (await register(world, name, weights(i))).id;
    }
  });

  const send = <T>(path: string, body: unknown, type: string, headers: Record<string, string> = {}) =>
    world.call<T & Problem>('POST', path, { body, headers: { 'content-type': type, ...headers } });
  const yaml = <T>(path: string, text: string, headers?: Record<string, string>) =>
    send<T>(path, text, 'application/yaml', headers);

  const document = (more = '') => `
merge_method: dare_ties
base_model: ${ids['base']}
models:
  - model: ${ids['base']}
  - model: ${ids['math']}
    parameters: { density: 0.53, weight: 0.4 }
  - model: ${ids['code']}
    parameters: { weight: [{ filter: w, value: 0.3 }, { value: 0.1 }] }
${more}`;

  it('a body in YAML that is a document, planned and queued, with what differs among the warnings', async () => {
    for (const type of ['application/yaml', 'text/yaml; charset=utf-8']) {
      const { status, body } = await send<Plan>('/v1/merges/plan', document(), type);
      expect(status).toBe(200);
      expect(body.recipe).toMatchObject({
        method: 'dare_ties',
        base: ids['base'],
        models: [
          { model: ids['math'], parameters: { density: 0.53, weight: 0.4 } },
          { model: ids['code'], parameters: { density: 1 } },
        ],
        parameters: { lambda: 1, rescale: true, rescale_by: 'sum' },
      });
      expect(body.warnings).toEqual([expect.stringContaining('random masks')]);
    }
    const { status, body } = await yaml<Merge>('/v1/merges', document());
    expect(status).toBe(202);
    expect(body).toMatchObject({ state: 'queued', method: 'dare_ties', name: null });
  });

  it('a body with a document as its recipe, in YAML and in JSON, gives the same plan', async () => {
    const indented = document().replaceAll('\n', '\n  ');
    const inYaml = await yaml<Plan>('/v1/merges/plan', `recipe:${indented}`);
    const recipe = {
      merge_method: 'dare_ties',
      base_model: ids['base'],
      models: [
        { model: ids['base'] },
        { model: ids['math'], parameters: { density: 0.53, weight: 0.4 } },
        { model: ids['code'], parameters: { weight: [{ filter: 'w', value: 0.3 }, { value: 0.1 }] } },
      ],
    };
    const inJson = await send<Plan>('/v1/merges/plan', { recipe }, 'application/json');
    expect(inYaml.status).toBe(200);
    expect(inYaml.body).toEqual(inJson.body);
  });

  it('our own language in YAML too, with a name and metadata', async () => {
    const { status, body } = await yaml<Merge>(
      '/v1/merges',
      `
name: from a file
metadata: { run: "7" }
recipe:
  method: linear
  models: [{ model: ${ids['math']} }, { model: ${ids['code']} }]`,
    );
    expect(status).toBe(202);
    expect(body).toMatchObject({ name: 'from a file', metadata: { run: '7' }, method: 'linear' });
  });

  it('errors lead to what was written', async () => {
    const missing = 'ckpt_01K0000000000000000000000A';
    const cases: [string, string, string][] = [
      [document().replace('dare_ties', 'dare-ties'), '/merge_method', 'did you mean "dare_ties"?'],
      [document('paramters: {}'), '/paramters', 'did you mean "parameters"?'],
      // The third model of the document is the second of the recipe.
      [document().replace(ids['code']!, missing), '/models/2/model', `there is no checkpoint "${missing}"`],
      [document().replace('density: 0.53', 'density: x'), '/models/1/parameters/density', 'must be number'],
    ];
    for (const [text, pointer, detail] of cases) {
      const alone = await yaml('/v1/merges/plan', text);
      expect(alone.body.errors).toEqual([{ pointer, detail: expect.stringContaining(detail) as string }]);
      const inside = await yaml('/v1/merges', `recipe:${text.replaceAll('\n', '\n  ')}`);
      expect(inside.body.errors?.map((error) => error.pointer)).toEqual([`/recipe${pointer}`]);
    }
  });

  it('so do warnings', async () => {
    const { body } = await yaml<Plan>('/v1/merges/plan', document().replace('filter: w', 'filter: v'));
    expect(body.warnings).toContain('/models/2/parameters/weight/0/filter: no tensor’s name contains "v"');
  });

  it('what is no recipe in any language is told as ever', async () => {
    const nothing = await yaml('/v1/merges', 'name: x');
    expect(nothing).toMatchObject({ status: 400, body: { errors: [{ pointer: '/recipe' }] } });
    const empty = await yaml('/v1/merges', '');
    expect(empty.status).toBe(400);
    const list = await yaml('/v1/merges', '- 1');
    expect(list.status).toBe(400);
  });

  it('texts that would unfold, nest or last are refused', async () => {
    const lists = Array.from(
      { length: 9 },
      (_, i) =>
        `a${i}: &a${i} [${Array(9)
          .fill(i > 0 ? `*a${i - 1}` : 1)
          .join(',')}]`,
    );
    const unfolding = await yaml('/v1/merges/plan', lists.join('\n'));
    expect(unfolding.body).toMatchObject({ code: 'invalid_recipe', detail: expect.stringContaining('alias count') });
    const nested = await yaml('/v1/merges/plan', '['.repeat(100_000));
    expect(nested.body).toMatchObject({ code: 'invalid_recipe', detail: 'the body: is nested deeper than 32 levels' });
    const long = await yaml('/v1/merges/plan', `# ${'x'.repeat(1 << 17)}`);
    expect(long).toMatchObject({ status: 413, body: { code: 'payload_too_large' } });
    const broken = await yaml('/v1/merges/plan', 'a: [1');
    expect(broken.body).toMatchObject({ code: 'invalid_recipe', detail: expect.stringContaining('the body: ') });
  });

  it('YAML is for recipes only', async () => {
    const checkpoint = await yaml('/v1/checkpoints', 'name: x');
    expect(checkpoint).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } });
    const cancel = await yaml('/v1/merges/mrg_01K0000000000000000000000A/cancel', 'a: 1');
    expect(cancel).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } });
    const other = await send('/v1/merges', document(), 'text/plain');
    expect(other).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } });
  });

  it('an Idempotency-Key makes one merge of the same document', async () => {
    const count = async () => (await world.call<List<Merge>>('GET', '/v1/merges?limit=100')).body.data.length;
    const before = await count();
    const headers = { 'idempotency-key': 'the same' };
    const first = await yaml<Merge>('/v1/merges', document(), headers);
    const again = await yaml<Merge>('/v1/merges', document(), headers);
    expect(again.headers['idempotent-replayed']).toBe('true');
    expect(again.body).toEqual(first.body);
    expect(await count()).toBe(before + 1);
    const other = await yaml('/v1/merges', document('out_dtype: float16'), headers);
    expect(other.body.code).toBe('idempotency_key_reused');
  });
});
