import { createHash } from 'node:crypto';
import type { CheckpointRow } from '@amalgam/database';
import type { MergePlan } from '@amalgam/engine';

/**
 * SHA-256 over everything that the bytes of a result depend on: the recipe with its defaults, the version of the
 * software, the inputs' weight files by etag and size, and the layout of the output. Equal digests mean equal bytes,
 * so that an attempt can go on with the shards of another one.
 */
export function planDigest(plan: MergePlan, rows: readonly CheckpointRow[], version: string): string {
  const inputs = plan.inputs.map(({ identity, checkpoint }, i) => ({
    identity,
    files: checkpoint.weightFiles.map((path) => {
      const file = rows[i]?.files.find((candidate) => candidate.path === path);
      // The etag and not the SHA-256, which may become known between two attempts.
      return { path, bytes: String(file?.bytes ?? ''), version: file?.etag ?? file?.sha256 ?? '' };
    }),
  }));
  const files = plan.files.map(({ path, bytes, header }) => ({
    path,
    bytes,
    header: createHash('sha256').update(header).digest('hex'),
  }));
  return createHash('sha256')
    .update(canonical({ version, recipe: plan.recipe, inputs, files }))
    .digest('hex');
}

/** JSON with sorted keys and without spaces: one text for one value. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
