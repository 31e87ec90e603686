import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormatsModule from 'ajv-formats';

// The OpenAPI document as a program that knows nothing else of the service reads it.

export type Json = Record<string, unknown>;

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required: boolean;
  schema: Json;
}

export interface Content {
  [type: string]: { schema?: Json };
}

export interface Operation {
  operationId: string;
  method: string;
  path: string;
  /** Asks for an API key. */
  secured: boolean;
  parameters: Parameter[];
  body: Content | null;
  responses: Record<string, { description: string; content?: Content }>;
}

export interface Document {
  openapi: string;
  paths: Record<string, Record<string, Json>>;
  components: { schemas: Record<string, Json> };
}

const PATH = fileURLToPath(new URL('../../openapi.json', import.meta.url));

/** The committed document. */
export function readDocument(): Document {
  return JSON.parse(readFileSync(PATH, 'utf8')) as Document;
}

export function listOperations({ paths }: Document): Operation[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      operationId: operation['operationId'] as string,
      method: method.toUpperCase(),
      path,
      secured: !Array.isArray(operation['security']) || operation['security'].length > 0,
      parameters: (operation['parameters'] ?? []) as Parameter[],
      body: (operation['requestBody'] as { content: Content } | undefined)?.content ?? null,
      responses: operation['responses'] as Operation['responses'],
    })),
  );
}

/** Says what is wrong with a value by a schema of the document; null: nothing. */
export type Judge = (schema: Json, value: unknown) => string | null;

export function makeJudge(document: Document): Judge {
  const ajv = new Ajv2020({ strict: false, allErrors: false });
  (addFormatsModule as unknown as (ajv: Ajv2020) => void)(ajv);
  ajv.addSchema({ $id: 'openapi', components: document.components });
  const compiled = new Map<Json, ValidateFunction>();
  return (schema, value) => {
    const check = compiled.get(schema) ?? ajv.compile(atDocument(schema) as Json);
    compiled.set(schema, check);
    if (check(value)) return null;
    return ajv.errorsText(check.errors, { dataVar: 'body' });
  };
}

/** References within the document, as a schema of its own makes them. */
function atDocument(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(atDocument);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      key === '$ref' && typeof item === 'string' ? item.replace(/^#/, 'openapi#') : atDocument(item),
    ]),
  );
}
