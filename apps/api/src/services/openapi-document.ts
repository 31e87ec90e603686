import { ERRORS, type ErrorCode } from '@amalgam/contracts';
import type { FastifySchema } from 'fastify';
import { problemAnswer } from '../routes/schemas.js';
import { EXAMPLES } from './openapi-examples.js';

type Json = Record<string, unknown>;

const WITH_KEY: ErrorCode[] = ['unauthorized', 'key_expired', 'key_revoked', 'forbidden', 'rate_limited'];
/** What a body, or any POST, can be refused for before its handler sees it. */
const WITH_BODY: ErrorCode[] = ['invalid_request', 'payload_too_large', 'unsupported_media_type'];
const WITH_IDEMPOTENCY: ErrorCode[] = [...WITH_BODY, 'idempotency_key_reused', 'idempotency_in_progress'];
/** A path that cannot be decoded. */
const WITH_PARAMS: ErrorCode[] = ['invalid_request'];

/** A route's schema with the errors that come of being a route: key, rate, path, body, and what nobody expects. */
export function withCommonAnswers(schema: FastifySchema | undefined): FastifySchema {
  if (schema === undefined || schema.hide === true) return schema ?? { hide: true };
  const open = schema.security !== undefined && schema.security.length === 0;
  const codes = new Set<ErrorCode>([
    ...(open ? [] : WITH_KEY),
    ...(schema.params === undefined ? [] : WITH_PARAMS),
    ...(schema.body === undefined ? [] : WITH_BODY),
    ...(schema.headers === undefined ? [] : WITH_IDEMPOTENCY),
    'internal',
  ]);
  const response: Json = { ...(schema.response as Json | undefined) };
  for (const status of new Set([...codes].map((code) => ERRORS[code].status))) {
    const here = [...codes].filter((code) => ERRORS[code].status === status);
    const own = response[status] as { description: string } | undefined;
    const common = problemAnswer(here);
    const more = here
      .map((code) => `\`${code}\`: ${ERRORS[code].title}`)
      .filter((text) => !own?.description.includes(text));
    response[status] = own === undefined ? common : { ...common, description: [own.description, ...more].join('; ') };
  }
  return { ...schema, response };
}

/** Names for the wildcards, shared schemas in one place, examples. */
export function finishDocument(document: object): Json {
  const { paths, components, ...rest } = document as { paths: Record<string, Json>; components: Json };
  const schemas: Json = {};
  const named: Record<string, Json> = {};
  for (const [path, operations] of Object.entries(paths)) {
    const { head: _head, ...shown } = operations;
    named[path.replace('{*}', '{path}').replace(/\*$/, '{path}')] = hoist(shown, schemas) as Json;
  }
  for (const operations of Object.values(named)) {
    for (const operation of Object.values(operations)) tidy(operation as Json);
  }
  for (const [title, example] of Object.entries(EXAMPLES)) {
    if (schemas[title] !== undefined) schemas[title] = { ...(schemas[title] as Json), examples: [example] };
  }
  return { ...rest, paths: named, components: { ...components, schemas } };
}

function tidy(operation: Json): void {
  const { operationId } = operation;
  for (const parameter of (operation['parameters'] ?? []) as Json[]) {
    if (parameter['name'] === '*') parameter['name'] = 'path';
    if (parameter['name'] === 'metadata') Object.assign(parameter, { style: 'deepObject', explode: true });
  }
  const answers = operation['responses'] as Record<string, Json>;
  for (const answer of Object.values(answers)) {
    if (answer['description'] === 'Default Response') answer['description'] = operation['summary'];
  }
  if (operationId === 'listMergeEvents' || operationId === 'listEvents') {
    const list = answers['200'] as { content: Json };
    list.content['text/event-stream'] = { schema: { type: 'string' } };
  }
  if (operationId === 'listMergeEvents') {
    answers['204'] = { description: 'Nothing more will come: the merge has ended' };
  }
  if (typeof operationId === 'string' && BINARY.has(operationId)) {
    const content = { '*/*': { schema: { type: 'string', format: 'binary' } } };
    answers['200'] = { description: 'The bytes', content };
    answers['206'] = { description: 'The range that was asked for', content };
    answers['304'] = { description: 'Not modified' };
    if (operationId !== 'getObject') answers['302'] = { description: 'The bytes are there' };
    answers['416'] = { description: 'The range is not in the file' };
  }
  if (operationId === 'putObject') {
    operation['requestBody'] = { required: true, content: { '*/*': { schema: { type: 'string', format: 'binary' } } } };
  }
}

const BINARY = new Set(['getCheckpointFile', 'getGraphFile', 'getDatasetFile', 'getResultFile', 'getObject']);

/** Replaces every schema that has a title by a reference to it. */
function hoist(value: unknown, schemas: Json): unknown {
  if (Array.isArray(value)) return value.map((item) => hoist(item, schemas));
  if (typeof value !== 'object' || value === null) return value;
  const copy = toNewerTuple(
    Object.fromEntries(Object.entries(value).map(([key, item]) => [key, hoist(item, schemas)])),
  );
  const { title } = copy;
  if (typeof title !== 'string' || copy['type'] !== 'object') return copy;
  schemas[title] ??= copy;
  return { $ref: `#/components/schemas/${title}` };
}

/** A tuple as JSON Schema 2020-12 writes it, which OpenAPI 3.1 speaks; TypeBox writes those of draft 7. */
function toNewerTuple(schema: Json): Json {
  if (schema['type'] !== 'array' || !Array.isArray(schema['items'])) return schema;
  const { items, additionalItems, ...rest } = schema;
  return { ...rest, prefixItems: items, items: additionalItems ?? true };
}
