import {
  AmalgamError,
  ERRORS,
  type ErrorCode,
  type IdKind,
  isId,
  Metadata,
  Problem,
  type TSchema,
  Type,
} from '@amalgam/contracts';

/** Ids are checked by `assertId`, so that a malformed one is as missing as any other. */
export const IdParams = Type.Object({ id: Type.String() });
export const FileParams = Type.Object({ id: Type.String(), '*': Type.String() });

export const Paging = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, description: 'Items of a page; default 20' })),
  after: Type.Optional(Type.String({ maxLength: 4096, description: 'The next_cursor of the page before' })),
};

export const MetadataFilter = Type.Optional(
  Type.Unsafe<Record<string, string>>({ ...Metadata, description: 'metadata[key]=value; all of them must be there' }),
);

export const NameFilter = Type.Optional(
  Type.String({ minLength: 1, maxLength: 200, description: 'A part of the name, whatever its case' }),
);

/** An answer without a body. */
export const nothing = (description: string) => Type.Unsafe<void>({ type: 'null', description });

/** A route's answers: its own, and the errors that it can give, by status. Only its own are part of the type. */
export function answers<T extends Record<number, TSchema>>(own: T, ...codes: ErrorCode[]): T {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = ERRORS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const problems = [...byStatus].map(([status, list]) => [status, problemAnswer(list)]);
  return { ...own, ...Object.fromEntries(problems) } as T;
}

export function problemAnswer(codes: ErrorCode[]) {
  const description = codes.map((code) => `\`${code}\`: ${ERRORS[code].title}`).join('; ');
  return { description, content: { 'application/problem+json': { schema: Problem } } };
}

/** @throws AmalgamError `not_found` for what cannot be an id of this kind */
export function assertId(kind: IdKind, id: string): void {
  if (!isId(kind, id)) throw missing(kind, id);
}

/** The row, or `not_found`. */
export function found<T>(row: T | null, kind: IdKind, id: string): T {
  if (row === null) throw missing(kind, id);
  return row;
}

const NOUNS: Partial<Record<IdKind, string>> = { apiKey: 'API key', webhookEndpoint: 'webhook endpoint' };

function missing(kind: IdKind, id: string): AmalgamError {
  const noun = NOUNS[kind] ?? kind;
  return new AmalgamError('not_found', `there is no ${noun} ${JSON.stringify(id.slice(0, 100))}`);
}

/** The repositories' page, without what was not asked for. */
export function page(query: { limit?: number | undefined; after?: string | undefined }) {
  return {
    ...(query.limit === undefined ? {} : { limit: query.limit }),
    ...(query.after === undefined ? {} : { cursor: query.after }),
  };
}

/** A time that was sent. The format lets through leap seconds, which dates lack, and years that the database lacks. */
export function timeOf(text: string, pointer: string): Date {
  const time = new Date(text);
  if (time.getTime() >= 0 && time.getUTCFullYear() <= 9999) return time;
  const detail = 'must be a time between the years 1970 and 9999';
  throw new AmalgamError('invalid_request', `${pointer} ${detail}`, { errors: [{ pointer, detail }] });
}
