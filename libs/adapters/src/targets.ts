import { AmalgamError, quote } from '@amalgam/contracts';

/** Finds the base's name for a tensor that an adapter names. */
export type Rename = (name: string) => string;

/**
 * How an adapter's names become the base's. Mostly they are the same; but an adapter that was trained on a model with a head says
 * "model.layers.0…" where a base saved without its head says "layers.0…", and the other way round. Another first part is taken only
 * when the names as they stand fit nothing at all, and when exactly one change makes every target fit.
 *
 * @throws AmalgamError `tensor_missing` when several changes would do
 */
export function findRename(
  targets: readonly string[],
  base: ReadonlyMap<string, unknown>,
  labels: { adapter: string; base: string },
): Rename {
  const same: Rename = (name) => name;
  if (targets.length === 0 || targets.some((target) => base.has(target))) return same;

  const without: Rename = (name) => name.slice(name.indexOf('.') + 1);
  const heads = new Set(
    [...base.keys()].flatMap((name) => (name.includes('.') ? [name.slice(0, name.indexOf('.'))] : [])),
  );
  const changes: { what: string; rename: Rename }[] = [{ what: 'without their first part', rename: without }];
  for (const head of heads) changes.push({ what: `behind ${quote(head)}`, rename: (name) => `${head}.${name}` });
  const fitting = changes.filter(({ rename }) => targets.every((target) => base.has(rename(target))));
  const [only, ...others] = fitting;
  if (only === undefined) return same;
  if (others.length > 0) {
    const ways = fitting.map(({ what }) => what).join(' or ');
    throw new AmalgamError(
      'tensor_missing',
      `${labels.adapter}: ${quote(targets[0] ?? '')} is no tensor of ${labels.base}, and its targets fit there ${ways}: ` +
        'which of them is meant cannot be told',
    );
  }
  return only.rename;
}
