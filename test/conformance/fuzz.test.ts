import { pathToFileURL } from 'node:url';
import type { Checkpoint, Merge } from '@amalgam/contracts';
import fc from 'fast-check';
import type { InjectOptions } from 'fastify';
import { beforeAll, describe, expect, test } from 'vitest';
import { npz, storeFile, storeZoo } from '../../apps/api/test/support/data.js';
import { claim, queueMerge, register, store, succeed, useWorld, weights } from '../../apps/api/test/support/world.js';
import { Values } from './arbitrary.js';
import { listOperations, makeJudge, type Operation, readDocument } from './document.js';
import { type Draft, knownField, requestsFor, settle } from './requests.js';

/** The same requests in every run; AMALGAM_FUZZ_SEED gives others. A failure prints seed and path for fast-check. */
const SEED = Number(process.env['AMALGAM_FUZZ_SEED'] ?? 20_261_123);
const REQUESTS = Number(process.env['AMALGAM_FUZZ_REQUESTS'] ?? 30);
/** For all operations; on a machine that is busy the last ones get fewer requests. */
const LONGEST_MS = 40_000;
const LEAST_MS = 500;

const document = readDocument();
/** What deletes comes last: the others need what is there. */
const operations = listOperations(document).sort(
  (a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'),
);
const judge = makeJudge(document);

describe('every operation answers as openapi.json says, whatever it is asked', () => {
  const world = useWorld({ env: { AMALGAM_RATE_LIMIT: '1000000', AMALGAM_WEBHOOK_ALLOW_HTTP: 'true' } });
  const ids = new Map<string, string[]>();
  const good = new Set<string>();
  let reader = '';
  let values: Values;
  const began = performance.now();

  const learn = (id: unknown) => {
    const [, prefix] = typeof id === 'string' ? (/^([a-z]+)_[0-9A-Z]{26}$/.exec(id) ?? []) : [];
    if (prefix === undefined) return;
    const known = ids.get(prefix) ?? [];
    if (known.includes(id as string)) return;
    // The first ones are what was made with care; of the others, the newest.
    ids.set(prefix, [...known.slice(0, 6), ...known.slice(6).slice(-5), id as string]);
  };

  beforeAll(async () => {
    const roots = [await store(world, 'root'), await storeZoo(world, 'zoo', 'digits.onnx')];
    roots.push(await storeFile(world, 'x.npz', npz('x', [4, 2])), pathToFileURL(world.root).href);
    values = new Values(document, knownField(roots));
    for (const name of ['one', 'two', 'three']) learn((await register(world, name, weights(name.length))).id);
    for (const [kind, uri] of [
      ['graphs', roots[1]],
      ['datasets', roots[2]],
    ]) {
      learn((await world.call<Checkpoint>('POST', `/v1/${kind}`, { body: { uri } })).body.id);
    }
    const done = await queueMerge(world);
    await succeed(world, await claim(world, done.id));
    const canceled = await queueMerge(world);
    await world.call<Merge>('POST', `/v1/merges/${canceled.id}/cancel`);
    for (const { id } of [done, canceled, await queueMerge(world)]) learn(id);
    const key = await world.parts.database.apiKeys.createKey(world.projectId, { name: 'reader', scopes: ['read'] });
    reader = key.token;
  });

  async function send(operation: Operation, draft: Draft) {
    const find = (text: string) => settle(text, (prefix) => ids.get(prefix) ?? []);
    const path = draft.path.reduce((url, { name, value, raw }) => {
      const segment = raw ? value : encodeURIComponent(Buffer.from(find(value)).toString());
      return url.replace(`{${name}}`, () => segment);
    }, operation.path);
    const query = new URLSearchParams(
      draft.query.map(([name, value]): [string, string] => [name, find(value)]),
    ).toString();
    const tokens = { good: world.token, reader, wrong: 'amk_wrong', none: null };
    const token = tokens[draft.key];
    return world.app.inject({
      method: operation.method as NonNullable<InjectOptions['method']>,
      url: query === '' ? path : `${path}?${query}`,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...draft.headers,
        ...(draft.body === null ? {} : { 'content-type': draft.body.type }),
      },
      ...(draft.body === null ? {} : { payload: find(draft.body.text) }),
    });
  }

  /** What breaks the document, in words; null: nothing. */
  function findFault(operation: Operation, { statusCode, headers, payload }: Awaited<ReturnType<typeof send>>) {
    if (statusCode >= 500) return `answered ${statusCode}`;
    const stated = operation.responses[statusCode];
    if (stated === undefined) return `answered ${statusCode}, which the document does not have`;
    if (headers['x-request-id'] === undefined) return 'the answer has no x-request-id';
    if (statusCode < 400) good.add(operation.operationId);
    const type = String(headers['content-type'] ?? '').split(';')[0]!;
    if (stated.content === undefined || payload === '') {
      return payload === '' || stated.content !== undefined ? null : `${statusCode} must have no body`;
    }
    const content = stated.content[type] ?? stated.content['*/*'];
    if (content === undefined) return `${statusCode} is ${type}, which the document does not have`;
    const body: unknown = /json$/.test(type) && content !== stated.content['*/*'] ? JSON.parse(payload) : payload;
    const wrong = content.schema === undefined ? null : judge(content.schema, body);
    if (wrong !== null) return `${statusCode}: ${wrong}`;
    if (statusCode < 400) {
      if (typeof body === 'object' && body !== null && 'id' in body) learn(body.id);
      return null;
    }
    const problem = body as { status: number; code: string };
    if (problem.status !== statusCode) return `the problem says ${problem.status}, the answer ${statusCode}`;
    const named = stated.description.includes(`\`${problem.code}\``) || statusCode === 416;
    return named ? null : `the document does not say that ${statusCode} may be ${problem.code}`;
  }

  test.each(operations.map((operation) => [operation.operationId, operation] as const))('%s', async (_, operation) => {
    const left = LONGEST_MS - (performance.now() - began);
    await fc.assert(
      fc.asyncProperty(requestsFor(operation, values), async (draft) => {
        const answer = await send(operation, draft);
        const fault = findFault(operation, answer);
        if (fault !== null) throw new Error(`${fault}\n${answer.payload.slice(0, 600)}`);
      }),
      { seed: SEED, numRuns: REQUESTS, interruptAfterTimeLimit: Math.max(left, LEAST_MS), endOnFailure: true },
    );
  });

  test('nine in ten operations were also asked in a way that they like', () => {
    const never = operations.map(({ operationId }) => operationId).filter((id) => !good.has(id));
    expect(never.length, `never: ${never.join(', ')}`).toBeLessThan(operations.length / 10);
  });
});
