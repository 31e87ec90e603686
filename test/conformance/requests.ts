import fc from 'fast-check';
import { nasty, spoiled, type Values } from './arbitrary.js';
import type { Json, Operation, Parameter } from './document.js';

/** A request as it is generated: what stands for an id is replaced when it is sent, by one that is there by then. */
export interface Draft {
  /** Values of the path's parameters; encoded, or sent as they are. */
  path: { name: string; value: string; raw: boolean }[];
  query: [string, string][];
  headers: Record<string, string>;
  body: { type: string; text: string } | null;
  key: 'good' | 'reader' | 'wrong' | 'none';
}

const weighted = fc.oneof;

/** `‹ckpt 3›`: some id with that prefix; every second time one of the first, which were made with care. */
export function standIn(prefix: string): fc.Arbitrary<string> {
  return fc.oneof(fc.nat(2), fc.nat(50)).map((n) => `‹${prefix} ${n}›`);
}

const STAND_IN = /‹(\w+) (\d+)›/g;

/** Ids in place of what stands for them; what there is none of becomes an id that is nowhere. */
export function settle(text: string, ids: (prefix: string) => readonly string[]): string {
  return text.replace(STAND_IN, (_, prefix: string, n: string) => {
    const known = ids(prefix);
    return known[Number(n) % known.length] ?? `${prefix}_00000000000000000000000000`;
  });
}

const METHODS = ['ties', 'linear', 'task_arithmetic', 'dare_ties', 'slerp', 'adamerging', 'ti es'];

/** Fields of bodies that mean something only when they name what is there. */
export function knownField(roots: readonly string[]): (field: string) => fc.Arbitrary<unknown> | null {
  const known: Record<string, fc.Arbitrary<unknown>> = {
    model: standIn('ckpt'),
    base: standIn('ckpt'),
    adapter: standIn('ckpt'),
    graph: standIn('graph'),
    data: standIn('data'),
    evaluation: standIn('data'),
    method: fc.constantFrom(...METHODS),
    parameters: fc.oneof(
      fc.constant({}),
      fc.dictionary(fc.constantFrom('weight', 'density', 'lambda', 't'), fc.double()),
    ),
    uri: fc.constantFrom(...roots, 'file:///nowhere', 's3://models/shared/x', 'hf://a/b', 'gopher://x'),
    recipe: fc.record({
      method: fc.constantFrom('linear', 'ties', 'task_arithmetic'),
      base: standIn('ckpt'),
      models: fc.uniqueArray(fc.record({ model: standIn('ckpt') }), { minLength: 1, maxLength: 2 }),
    }),
    webhook: fc.constant({ url: 'https://93.184.216.34/hook' }),
    url: fc.constantFrom('https://93.184.216.34/hook', 'http://127.0.0.1/', 'https://[::1]/', 'nonsense'),
    key: fc.constantFrom('amk_wrong', 'x'),
  };
  return (field) => (Object.hasOwn(known, field) ? known[field]! : null);
}

const PREFIXES: Record<string, string> = {
  checkpoints: 'ckpt',
  graphs: 'graph',
  datasets: 'data',
  merges: 'mrg',
  keys: 'key',
  'webhook-endpoints': 'whe',
  deliveries: 'dlv',
};

const FILES = [
  'model.safetensors',
  'model.safetensors',
  'model.safetensors',
  'config.json',
  'a/b.json',
  'digits.onnx',
  'x.npz',
];

/** Requests for an operation: valid ones, and ones with something wrong in the path, query, headers, body or key. */
export function requestsFor(operation: Operation, values: Values): fc.Arbitrary<Draft> {
  const byPlace = (place: Parameter['in']) => operation.parameters.filter((parameter) => parameter.in === place);
  return fc.record({
    path: fc.tuple(...byPlace('path').map(({ name }) => pathValue(operation, name))),
    query: fc
      .tuple(...byPlace('query').map((parameter) => queryValue(parameter, values)), strangeQuery)
      .map((all) => all.flat()),
    headers: fc
      .tuple(...byPlace('header').map((parameter) => headerValue(parameter, values)), further)
      .map((all) => Object.assign({}, ...all) as Record<string, string>),
    body: bodyOf(operation, values),
    key: weighted(
      { weight: 17, arbitrary: fc.constant('good' as const) },
      { weight: 1, arbitrary: fc.constantFrom('reader' as const, 'wrong' as const, 'none' as const) },
    ),
  });
}

function pathValue({ path }: Operation, name: string): fc.Arbitrary<Draft['path'][number]> {
  const prefix = PREFIXES[path.split('/')[2] ?? ''] ?? 'nothing';
  const good =
    name === 'id' ? standIn(prefix) : fc.constantFrom(...(path.includes('/methods/') ? METHODS : [...FILES, 'w', 'b']));
  const anything = nasty.filter((text) => !/^\.{0,2}$/.test(text));
  return weighted(
    { weight: 12, arbitrary: good.map((value) => ({ name, value, raw: false })) },
    { weight: 2, arbitrary: anything.map((value) => ({ name, value, raw: false })) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('%zz', '%00', '%ff', 'a%2Fb', '%2e%2e').map((value) => ({ name, value, raw: true })),
    },
  );
}

function queryValue({ name, schema, required }: Parameter, values: Values): fc.Arbitrary<[string, string][]> {
  const valid = values.of(schema).map((value): [string, string][] => {
    if (Array.isArray(value)) return value.map((item) => [name, String(item)]);
    if (typeof value !== 'object' || value === null) return [[name, String(value)]];
    return Object.entries(value as Json).map(([key, item]) => [`${name}[${key}]`, String(item)]);
  });
  const wrong = nasty.map((value): [string, string][] => [[name, value]]);
  return weighted(
    { weight: required ? 0 : 6, arbitrary: fc.constant<[string, string][]>([]) },
    { weight: 5, arbitrary: valid },
    { weight: 1, arbitrary: wrong },
  );
}

const strangeQuery = weighted(
  { weight: 19, arbitrary: fc.constant<[string, string][]>([]) },
  { weight: 1, arbitrary: fc.tuple(nasty, nasty).map((pair): [string, string][] => [pair]) },
);

/** What a header can hold at all: bytes above 126 and control characters never reach a handler. */
const isSendable = (text: string) => /^[\x20-\x7e]*$/.test(text);

function headerValue({ name, schema }: Parameter, values: Values): fc.Arbitrary<Record<string, string>> {
  const valid = values.of(schema).map(String).filter(isSendable);
  return weighted(
    { weight: 8, arbitrary: fc.constant({}) },
    { weight: 3, arbitrary: valid.map((value) => ({ [name]: value })) },
    { weight: 1, arbitrary: nasty.filter(isSendable).map((value) => ({ [name]: value })) },
  );
}

const further = weighted(
  { weight: 9, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Record<string, string>>(
      { range: 'bytes=0-3' },
      { range: 'bytes=999999-' },
      { range: 'pages=1' },
      { 'if-none-match': '*' },
      { 'x-request-id': 'mine' },
      { 'x-request-id': '{}' },
      { accept: 'text/html' },
      { origin: 'https://elsewhere.example' },
    ),
  },
);

function bodyOf({ body, method }: Operation, values: Values): fc.Arbitrary<Draft['body']> {
  if (method === 'GET') return fc.constant(null);
  const json = (value: unknown) => ({ type: 'application/json', text: JSON.stringify(value) ?? '' });
  const unasked = weighted(
    { weight: 9, arbitrary: fc.constant(null) },
    {
      weight: 1,
      arbitrary: fc.constantFrom({ type: 'application/json', text: '' }, { type: 'application/json', text: '{}' }),
    },
  );
  const schema = body?.['application/json']?.schema;
  if (schema === undefined) return body === null ? unasked : fc.string().map((text) => ({ type: 'text/plain', text }));
  const valid = values.of(schema);
  return weighted(
    { weight: 10, arbitrary: valid.map(json) },
    { weight: 6, arbitrary: spoiled(valid).map(json) },
    { weight: 1, arbitrary: nasty.map((text) => ({ type: 'application/json', text })) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom('text/plain', 'application/xml', 'nonsense', 'application/yaml'), nasty)
        .map(([type, text]) => ({ type, text })),
    },
    { weight: 1, arbitrary: fc.constant(null) },
  );
}
