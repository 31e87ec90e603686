import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join, sep } from 'node:path';

/** A file of the dashboard, in memory: all of them together are some hundred kilobytes. */
export interface Page {
  /** Where it is served. */
  url: string;
  bytes: Buffer;
  type: string;
  etag: string;
  /** The name holds a digest of the bytes, so they never change. */
  immutable: boolean;
  /** What the build has compressed, the smallest first. */
  encodings: { name: 'br' | 'gzip'; bytes: Buffer }[];
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const ENCODINGS = [
  ['br', '.br'],
  ['gzip', '.gz'],
] as const;

/** The files of a built dashboard; null when nothing was built in that folder. */
export function readPages(folder: string): Page[] | null {
  if (!existsSync(join(folder, 'index.html'))) return null;
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => extname(name) in TYPES);
  return names.map((name) => {
    const path = join(folder, name);
    const bytes = readFileSync(path);
    const digest = createHash('sha256').update(bytes).digest('base64url').slice(0, 22);
    const url = name === 'index.html' ? '/' : `/${name.split(sep).join('/')}`;
    return {
      url,
      bytes,
      type: TYPES[extname(name)] ?? 'application/octet-stream',
      // Weak: the same for every encoding.
      etag: `W/"${digest}"`,
      immutable: url.startsWith('/assets/'),
      encodings: ENCODINGS.flatMap(([encoding, suffix]) => {
        return existsSync(path + suffix) ? [{ name: encoding, bytes: readFileSync(path + suffix) }] : [];
      }),
    };
  });
}
