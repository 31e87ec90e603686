import type { Problem } from '@amalgam/contracts';
import { beforeAll, describe, expect, test } from 'vitest';
import { npz, storeFile, storeZoo } from '../../apps/api/test/support/data.js';
import { type Answer, useWorld } from '../../apps/api/test/support/world.js';
import { type Document, type Json, listOperations, makeJudge, readDocument } from './document.js';

const document = readDocument();
const judge = makeJudge(document);
const examples = Object.entries(document.components.schemas).flatMap(([title, schema]) =>
  ((schema['examples'] ?? []) as unknown[]).map((example) => ({ title, schema, example })),
);

test.each(examples.map(({ title, schema, example }) => [title, schema, example] as const))(
  'the example of %s is what its schema says',
  (_, schema, example) => {
    expect(judge(schema, example)).toBeNull();
  },
);

describe('openapi.json', () => {
  const world = useWorld();
  /** What is there, for what the examples name: their ids are nobody's, their URIs are of other machines. */
  const mine = new Map<string, string>();
  let endpoint: string;

  const settle = (example: unknown): unknown => {
    const text = JSON.stringify(example);
    return JSON.parse(
      text.replaceAll(/"((?:ckpt|graph|data)_[0-9A-Z]{26}|amk_\w+|s3:[^"]+|https:[^"]+)"/g, (_, name: string) => {
        expect([...mine.keys()]).toContain(name);
        return JSON.stringify(mine.get(name));
      }),
    );
  };

  beforeAll(async () => {
    const add = async (kind: string, prefix: string, uris: string[]) => {
      for (const [i, uri] of uris.entries()) {
        const { status, body } = await world.call<{ id: string }>('POST', `/v1/${kind}`, { body: { uri } });
        expect(status).toBe(201);
        mine.set(`${prefix}_01K0000000000000000000000${'ABCD'[i]}`, body.id);
      }
    };
    const file = async (name: string) => `${await storeZoo(world, name, name)}/${name}`;
    await add(
      'checkpoints',
      'ckpt',
      await Promise.all(['base', 'digits', 'shapes'].map((name) => file(`${name}.safetensors`))),
    );
    await add('graphs', 'graph', await Promise.all(['digits', 'shapes'].map((name) => file(`${name}.onnx`))));
    const sets = ['digits.unlabeled', 'shapes.unlabeled', 'digits.labeled', 'shapes.labeled'];
    await add('datasets', 'data', await Promise.all(sets.map((name) => file(`${name}.safetensors`))));
    mine.set('s3://pipeline/digits/unlabelled.npz', await storeFile(world, 'unlabelled.npz', npz('x', [4, 2])));
    const hook = { url: 'https://93.184.216.34/hooks/merges' };
    endpoint = (await world.call<{ id: string }>('POST', '/v1/webhook-endpoints', { body: hook })).body.id;
    mine.set('amk_0000000000000000000000000000000000000000', world.token);
    mine.set('https://example.com/hooks/merges', 'https://93.184.216.34/hooks/merges');
  });

  test('is the document of the service that runs; after a change: npm run openapi', async () => {
    const { body } = await world.call<Document>('GET', '/openapi.json', { token: null });
    expect(document).toEqual(body);
  });

  const bodies = listOperations(document).flatMap((operation) => {
    const schema = operation.body?.['application/json']?.schema;
    const title = typeof schema?.['$ref'] === 'string' ? schema['$ref'].split('/').at(-1)! : null;
    return title === null ? [] : [{ operation, title }];
  });

  test('has an example of every body', () => {
    const shown = new Set(examples.map(({ title }) => title));
    expect(bodies.map(({ title }) => title).filter((title) => !shown.has(title))).toEqual([]);
  });

  test.each(bodies.map(({ operation, title }) => [operation.operationId, title, operation] as const))(
    '%s takes the example of %s',
    async (_, title, { method, path, responses }) => {
      const { example } = examples.find((one) => one.title === title)!;
      const answer: Answer = await world.call(method, path.replace('{id}', endpoint), { body: settle(example) });
      expect(answer.text.includes('"detail"') ? answer.text : '').toBe('');
      const { content } = responses[answer.status]!;
      expect(judge(content!['application/json']!.schema as Json, answer.body)).toBeNull();
    },
  );

  test('shows a problem as it is answered', async () => {
    const { example } = examples.find(({ title }) => title === 'Problem')!;
    const body = { recipe: { method: 'tie', models: [{ model: mine.get('ckpt_01K0000000000000000000000B') }] } };
    const answer = await world.call<Problem>('POST', '/v1/merges', { body });
    expect({ ...answer.body, request_id: '' }).toEqual({ ...(example as Problem), request_id: '' });
  });
});
