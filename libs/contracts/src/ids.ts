/** Prefixes of public ids; the rest is a ULID, so ids of one kind sort by time. */
export const ID_PREFIXES = {
  project: 'prj',
  apiKey: 'key',
  checkpoint: 'ckpt',
  graph: 'graph',
  dataset: 'data',
  merge: 'mrg',
  attempt: 'att',
  event: 'evt',
  outbox: 'out',
  webhookEndpoint: 'whe',
  delivery: 'dlv',
} as const;

export type IdKind = keyof typeof ID_PREFIXES;

export const ID_PATTERNS = Object.fromEntries(
  Object.entries(ID_PREFIXES).map(([kind, prefix]) => [kind, `^${prefix}_[0-9A-HJKMNP-TV-Z]{26}$`]),
) as Record<IdKind, string>;

export function isId(kind: IdKind, text: string): boolean {
  return new RegExp(ID_PATTERNS[kind]).test(text);
}
