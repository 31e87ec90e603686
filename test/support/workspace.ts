import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Reference, readReferences } from './imports.js';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const SCOPE = '@amalgam/';

export interface Manifest {
  name: string;
  version: string;
  exports?: Record<string, unknown>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
}

/** A package of this workspace, with what its sources name. */
export interface Package {
  /** Without the scope. */
  name: string;
  /** Relative to the root. */
  folder: string;
  manifest: Manifest;
  /** Names, with the scope, of the packages that its tsconfig.json refers to. */
  references: string[];
  /** Sources; paths relative to the root. */
  files: { path: string; references: Reference[] }[];
}

/** All packages by name, without the scope. */
export function readWorkspace(): Map<string, Package> {
  const folders = ['libs', 'apps'].flatMap((parent) =>
    readdirSync(join(ROOT, parent))
      .map((name) => `${parent}/${name}`)
      .filter((folder) => existsSync(join(ROOT, folder, 'package.json'))),
  );
  return new Map(
    folders.map((folder) => {
      const pack = readPackage(folder);
      return [pack.name, pack];
    }),
  );
}

export function readText(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}

export function readJson<T>(file: string): T {
  return JSON.parse(readText(file)) as T;
}

function readPackage(folder: string): Package {
  const manifest = readJson<Manifest>(`${folder}/package.json`);
  const tsconfig = readJson<{ references?: { path: string }[] }>(`${folder}/tsconfig.json`);
  const references = (tsconfig.references ?? []).map(({ path }) => {
    const target = join(folder, path, 'package.json');
    if (!existsSync(join(ROOT, target))) throw new Error(`${folder}/tsconfig.json refers to ${path}: nothing is there`);
    return readJson<Manifest>(target).name;
  });
  const files = readdirSync(join(ROOT, folder, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.[cm]?tsx?$/.test(name))
    .sort()
    .map((name) => `${folder}/src/${name}`)
    .map((path) => ({ path, references: readReferences(path, readText(path)) }));
  return { name: manifest.name.slice(SCOPE.length), folder, manifest, references, files };
}
