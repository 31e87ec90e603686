import { createHash } from 'node:crypto';
import type { AssetRow } from '@amalgam/database';
import type { MergePlan } from '@amalgam/engine';
import { configsOf } from './inputs.js';

/** What a result is made from besides the plan itself. */
export interface Origins {
  /** The checkpoints' rows, in the order of `plan.inputs`. */
  rows: readonly AssetRow[];
  /** Rows of the graphs and datasets that coefficients are learned from; none where nothing is learned. */
  tasks: readonly AssetRow[];
  /** What they are learned on: another provider rounds otherwise. Null where nothing is learned. */
  provider: string | null;
  /** Of the software. */
  version: string;
}

/**
 * SHA-256 over everything that the bytes of a result depend on: the recipe with its defaults, the version of the
 * software, the inputs' weight files and configs by etag and size, what coefficients are learned from and on, and the layout of the output.
 * Equal digests mean equal bytes, so that an attempt can go on with what another one has done.
 */
export function planDigest(plan: MergePlan, { rows, tasks, provider, version }: Origins): string {
  const inputs = plan.inputs.map(({ identity, checkpoint }, i) => ({
    identity,
    files: [...checkpoint.weightFiles, ...configsOf(rows[i]!)].map((path) => versionOf(rows[i], path)),
  }));
  const learned = tasks.map((row) => ({
    identity: row.id,
    files: row.files.map(({ path }) => versionOf(row, path)),
  }));
  const files = plan.files.map(({ path, bytes, header }) => ({
    path,
    bytes,
    header: createHash('sha256').update(header).digest('hex'),
  }));
  return createHash('sha256')
    .update(canonical({ version, recipe: plan.recipe, inputs, files, learned, provider, tokens: digestTokens(plan) }))
    .digest('hex');
}

/** Of the small files only what comes of them matters: which row is whose. */
function digestTokens({ tokens }: MergePlan): string | null {
  if (tokens === null) return null;
  const { vocabulary, ...rest } = tokens;
  const hash = createHash('sha256').update(canonical({ ...rest, rows: vocabulary?.rows ?? null }));
  for (const picks of vocabulary?.picks ?? []) {
    for (const numbers of picks === null ? [] : [picks.starts, picks.begins, picks.inputs, picks.firstRows]) {
      hash.update(`${numbers.length} `).update(numbers);
    }
    hash.update(';');
  }
  return hash.digest('hex');
}

function versionOf(row: AssetRow | undefined, path: string) {
  const file = row?.files.find((candidate) => candidate.path === path);
  // The etag and not the SHA-256, which may become known between two attempts.
  return { path, bytes: String(file?.bytes ?? ''), version: file?.etag ?? file?.sha256 ?? '' };
}

/** JSON with sorted keys and without spaces: one text for one value. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
