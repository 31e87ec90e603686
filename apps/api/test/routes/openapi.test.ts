import { describe, expect, it } from 'vitest';
import { useWorld } from '../support/world.js';

type Json = Record<string, unknown>;
interface Operation {
  operationId: string;
  summary: string;
  tags: string[];
  security?: unknown[];
  parameters?: { name: string; in: string; required: boolean; schema: Json; style?: string }[];
  requestBody?: { content: Record<string, { schema: Json }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: Json }> }>;
}
interface Document {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Json>; securitySchemes: Json };
}

describe('the OpenAPI document', () => {
  const world = useWorld();
  const load = async () => (await world.call<Document>('GET', '/openapi.json', { token: null })).body;
  const operations = (document: Document) =>
    Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
    );

  it('lists every route', async () => {
    const found = operations(await load()).map(({ path, method }) => `${method.toUpperCase()} ${path}`);
    expect(found.sort()).toEqual(
      [
        'GET /healthz',
        'GET /readyz',
        'GET /metrics',
        'GET /v1/objects/{path}',
        'PUT /v1/objects/{path}',
        'GET /v1/checkpoints',
        'POST /v1/checkpoints',
        'GET /v1/checkpoints/{id}',
        'DELETE /v1/checkpoints/{id}',
        'POST /v1/checkpoints/{id}/complete',
        'POST /v1/checkpoints/{id}/uploads',
        'GET /v1/checkpoints/{id}/tensors',
        'GET /v1/checkpoints/{id}/tensors/{name}/histogram',
        'GET /v1/checkpoints/{id}/files/{path}',
        ...['graphs', 'datasets'].flatMap((plural) => [
          `GET /v1/${plural}`,
          `POST /v1/${plural}`,
          `GET /v1/${plural}/{id}`,
          `DELETE /v1/${plural}/{id}`,
          `POST /v1/${plural}/{id}/complete`,
          `POST /v1/${plural}/{id}/uploads`,
          `GET /v1/${plural}/{id}/files/{path}`,
        ]),
        'GET /v1/merges',
        'GET /v1/merges/counts',
        'POST /v1/merges',
        'POST /v1/merges/plan',
        'GET /v1/merges/{id}',
        'POST /v1/merges/{id}/cancel',
        'POST /v1/merges/{id}/retry',
        'GET /v1/merges/{id}/events',
        'GET /v1/merges/{id}/report',
        'GET /v1/merges/{id}/files',
        'GET /v1/merges/{id}/files/{path}',
        'GET /v1/merges/{id}/deliveries',
        'GET /v1/methods',
        'GET /v1/methods/{name}',
        'GET /v1/webhook-endpoints',
        'POST /v1/webhook-endpoints',
        'GET /v1/webhook-endpoints/{id}',
        'PATCH /v1/webhook-endpoints/{id}',
        'DELETE /v1/webhook-endpoints/{id}',
        'POST /v1/webhook-endpoints/{id}/rotate-secret',
        'POST /v1/webhook-endpoints/{id}/test',
        'POST /v1/webhook-endpoints/{id}/redeliver',
        'GET /v1/webhook-endpoints/{id}/deliveries',
        'GET /v1/deliveries/{id}',
        'POST /v1/deliveries/{id}/redeliver',
        'GET /v1/keys',
        'POST /v1/keys',
        'DELETE /v1/keys/{id}',
        'GET /v1/events',
        'GET /v1/queue',
        'GET /v1/session',
        'POST /v1/session',
        'DELETE /v1/session',
      ].sort(),
    );
  });

  it('is sound: names are unique, parameters are declared, references lead somewhere, answers are described', async () => {
    const document = await load();
    expect(document.openapi).toBe('3.1.0');
    const all = operations(document);
    expect(new Set(all.map(({ operation }) => operation.operationId)).size).toBe(all.length);
    for (const { path, method, operation } of all) {
      const where = `${method} ${path}`;
      const inPath = [...path.matchAll(/\{(.+?)\}/g)].map(([, name]) => name);
      const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      expect({ where, names: declared.map(({ name }) => name) }).toEqual({ where, names: inPath });
      expect(declared.every(({ required }) => required)).toBe(true);
      expect(operation.summary, where).toBeTruthy();
      expect(operation.tags, where).toHaveLength(1);
      const statuses = Object.keys(operation.responses);
      expect(
        statuses.some((status) => /^[23]/.test(status)),
        where,
      ).toBe(true);
      expect(statuses, where).toContain('500');
      if (operation.security === undefined) expect(statuses, where).toEqual(expect.arrayContaining(['401', '429']));
      for (const [status, { description, content }] of Object.entries(operation.responses)) {
        expect(description, `${where} ${status}`).toBeTruthy();
        expect(description, `${where} ${status}`).not.toBe('Default Response');
        if (/^[45]/.test(status))
          expect(Object.keys(content ?? {})).toEqual(status === '416' ? [] : ['application/problem+json']);
      }
    }
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
      ([, name]) => name!,
    );
    expect(references.length).toBeGreaterThan(20);
    for (const name of references) expect(Object.keys(document.components.schemas)).toContain(name);
    expect(document.components.securitySchemes).toMatchObject({ key: { type: 'http', scheme: 'bearer' } });
    expect(Object.keys(document.components.schemas)).toEqual(
      expect.arrayContaining([
        'Checkpoint',
        'Graph',
        'Dataset',
        'CreateMerge',
        'Merge',
        'Plan',
        'Report',
        'Problem',
        'Event',
        'Method',
      ]),
    );
  });

  it('tells about idempotency, filters, streams and examples', async () => {
    const { paths, components } = await load();
    const create = paths['/v1/merges']!['post']!;
    expect(create.parameters?.map(({ name }) => name)).toContain('idempotency-key');
    expect(create.requestBody?.content['application/json']?.schema).toEqual({
      $ref: '#/components/schemas/CreateMerge',
    });
    expect(Object.keys(create.responses)).toEqual(
      expect.arrayContaining(['202', '400', '404', '409', '413', '415', '422']),
    );
    expect(create.responses['422']!.description).toContain('`idempotency_key_reused`');
    expect(create.responses['422']!.description).toContain('`shape_mismatch`');
    const filter = paths['/v1/merges']!['get']!.parameters!.find(({ name }) => name === 'metadata');
    expect(filter?.style).toBe('deepObject');
    const events = paths['/v1/merges/{id}/events']!['get']!;
    expect(Object.keys(events.responses['200']!.content!)).toEqual(['application/json', 'text/event-stream']);
    for (const title of ['CreateCheckpoint', 'CreateGraph', 'CreateDataset', 'CreateMerge', 'PlanMerge']) {
      expect(components.schemas[title]!['examples'], title).toHaveLength(1);
    }
  });

  it('has a page that loads nothing from elsewhere', async () => {
    const page = await world.call<string>('GET', '/docs/', { token: null });
    expect(page.status).toBe(200);
    const sources = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url!);
    expect(sources.length).toBeGreaterThan(3);
    for (const url of sources) expect(url).not.toMatch(/^(https?:)?\/\//);
    expect(page.headers['content-security-policy']).toMatch(/default-src 'self'/);
    expect(page.headers['content-security-policy']).not.toMatch(/https?:/);
    // What the page needs is there; an inline script would be refused by the policy.
    expect(page.text).not.toMatch(/<script(?![^>]*\bsrc=)[^>]*>\s*\S/);
    for (const file of ['swagger-ui-bundle.js', 'swagger-initializer.js', 'swagger-ui.css']) {
      expect((await world.call('GET', `/docs/static/${file}`, { token: null })).status).toBe(200);
    }
    const document = await world.call<Document>('GET', '/docs/json', { token: null });
    expect(document.body.paths).toHaveProperty('/v1/merges/{id}/files/{path}');
  });
});
