import { escapePointer, type Recipe, referenceOf, suggest, type TokenSource } from '@amalgam/contracts';
import type { Reader } from './reader.js';
import { readReference } from './reference.js';

/** `tokenizer_source`, or `tokenizer`; the models must be among those that the document names. */
export function readTokenizer(
  reader: Reader,
  fields: Record<string, unknown>,
  models: readonly string[],
): Recipe['tokenizer'] {
  const model = (value: unknown, pointer: string): string | undefined => {
    const reference = readReference(reader, value, pointer);
    if (reference === undefined) return undefined;
    const named = referenceOf(reference);
    if (models.includes(named)) return named;
    return reader.fail(pointer, `"${named}" is none of the models that are merged${suggest(named, models)}`);
  };
  const source = (value: unknown, pointer: string) =>
    value === 'union' || value === 'base' ? value : model(value, pointer);

  const legacy = fields['tokenizer_source'];
  const own = reader.object(fields['tokenizer'], '/tokenizer', ['source', 'tokens', 'pad_to_multiple_of']);
  if (own === undefined) {
    const found = source(legacy, '/tokenizer_source');
    return found === undefined ? undefined : { source: found };
  }
  if (legacy !== undefined && legacy !== null) {
    return reader.fail('/tokenizer_source', 'a document has tokenizer or tokenizer_source, not both');
  }
  const tokens = reader.mapping(own['tokens'], '/tokenizer/tokens');
  const padTo = reader.count(own['pad_to_multiple_of'], '/tokenizer/pad_to_multiple_of', 1);
  return {
    source: source(own['source'], '/tokenizer/source') ?? 'union',
    ...(tokens !== undefined && {
      tokens: Object.fromEntries(
        Object.entries(tokens).flatMap(([token, value]) => readToken(reader, token, value, model)),
      ),
    }),
    ...(padTo !== undefined && { pad_to_multiple_of: padTo }),
  };
}

type ReadModel = (value: unknown, pointer: string) => string | undefined;
type Tokens = NonNullable<NonNullable<Recipe['tokenizer']>['tokens']>;

function readToken(reader: Reader, token: string, value: unknown, model: ReadModel): [string, Tokens[string]][] {
  const pointer = `/tokenizer/tokens/${escapePointer(token)}`;
  const fields = reader.object(value, pointer, ['source', 'force']) ?? {};
  if (!reader.required(fields['source'], `${pointer}/source`, '"source"')) return [];
  const source = readTokenSource(reader, fields['source'], `${pointer}/source`, model);
  const { force } = fields;
  if (force !== undefined && typeof force !== 'boolean') reader.fail(`${pointer}/force`, 'must be true or false');
  return source === undefined ? [] : [[token, { source, ...(typeof force === 'boolean' && { force }) }]];
}

function readTokenSource(reader: Reader, value: unknown, pointer: string, model: ReadModel): TokenSource | undefined {
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined;
  if (kind === undefined) return model(value, pointer);
  if (kind === 'zero') {
    reader.object(value, pointer, ['kind']);
    return { kind };
  }
  if (kind !== 'model_token') return reader.fail(`${pointer}/kind`, 'must be model_token or zero');
  const fields = reader.object(value, pointer, ['kind', 'model', 'token', 'token_id']) ?? {};
  if (!reader.required(fields['model'], `${pointer}/model`, '"model"')) return undefined;
  const named = model(fields['model'], `${pointer}/model`);
  const token = reader.text(fields['token'], `${pointer}/token`);
  const id = reader.count(fields['token_id'], `${pointer}/token_id`, 0);
  if ((token === undefined) === (id === undefined)) return reader.fail(pointer, 'needs one of token and token_id');
  if (named === undefined) return undefined;
  return { kind, model: named, ...(token !== undefined && { token }), ...(id !== undefined && { token_id: id }) };
}
