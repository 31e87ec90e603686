import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { showBytes } from './show.js';

/** What `amalgam inspect` prints: for machines and for people. */
export interface Inspected {
  data: object;
  text: string;
}

export interface InspectedFile {
  path: string;
  bytes: number;
  /** Null unless digests were asked for. */
  sha256: string | null;
}

/** A file that the path is made of; `shown` is what it is called there. */
export async function inspectFile(path: string, shown: string, digests: boolean): Promise<InspectedFile> {
  const { size } = await stat(path);
  return { path: shown, bytes: size, sha256: digests ? await digest(path) : null };
}

export function showFiles(files: readonly InspectedFile[]): string[] {
  return files.map(({ path, bytes, sha256 }) => `${path}  ${showBytes(bytes)}${sha256 === null ? '' : `  ${sha256}`}`);
}

export function showShape(shape: readonly (number | string | null)[] | null): string {
  return shape === null ? '?' : `[${shape.map((size) => size ?? '?').join(', ')}]`;
}

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}
