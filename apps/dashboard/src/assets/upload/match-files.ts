import type { AssetFile } from '@amalgam/contracts';
import { showBytes } from '../../format.js';
import type { Picked } from './picked.js';

/** The digest of a larger file is not worked out: browsers want all of it in memory for that. */
const MOST_HASHED = 256 * 2 ** 20;

/**
 * The chosen files as those that an upload was begun with, or what is wrong with them, in words. Those that have arrived need
 * not be there; where they are, their size and, up to 256 MiB, their digest must be those that arrived. `changedAt` tells when a
 * file was last changed as it was sent, where that is known: parts of two files would make one that nobody meant.
 */
export async function matchFiles(
  wanted: readonly AssetFile[],
  missing: ReadonlySet<string>,
  picked: readonly Picked[],
  changedAt: (path: string) => number | undefined,
): Promise<{ files: Picked[]; problems: string[] }> {
  const byPath = new Map(picked.map(({ path, file }) => [path, file]));
  // A folder was chosen, and its own name is on the paths.
  for (const { path, file } of picked) {
    const inside = path.slice(path.indexOf('/') + 1);
    if (!byPath.has(inside)) byPath.set(inside, file);
  }
  const files: Picked[] = [];
  const problems: string[] = [];
  for (const { path, bytes, sha256 } of wanted) {
    const file = byPath.get(path);
    if (file === undefined) {
      if (missing.has(path)) problems.push(`"${path}" is not among them`);
    } else if (file.size !== bytes) {
      problems.push(
        `"${path}" has ${showBytes(file.size)} (${file.size} bytes), and had ${bytes} when the upload began`,
      );
    } else if (!missing.has(path) && sha256 !== null && (await differs(file, sha256))) {
      problems.push(`"${path}" is not the file that has arrived under this name`);
    } else if ((changedAt(path) ?? file.lastModified) !== file.lastModified) {
      problems.push(`"${path}" was changed after a part of it had been sent; begin a new upload`);
    } else files.push({ path, file });
  }
  return { files, problems };
}

async function differs(file: File, sha256: string): Promise<boolean> {
  // Missing on pages that came over plain HTTP from another machine.
  if (crypto.subtle === undefined || file.size > MOST_HASHED) return false;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('') !== sha256;
}
