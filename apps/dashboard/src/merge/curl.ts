import type { Merge } from '@amalgam/contracts';

/** A shell command; the key comes from the environment, so that it is in no shell's history. */
export function curlOf({ name, recipe, metadata }: Merge, origin: string): string {
  const body = JSON.stringify({ ...(name === null ? {} : { name }), recipe, metadata }, null, 2);
  return [
    `curl -sS ${origin}/v1/merges \\`,
    '  -H "Authorization: Bearer $AMALGAM_API_KEY" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d '${body.replaceAll("'", "'\\''")}'`,
  ].join('\n');
}
