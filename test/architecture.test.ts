import { isBuiltin } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readReferences } from './support/imports.js';
import { type Manifest, type Package, ROOT, readJson, readText, readWorkspace, SCOPE } from './support/workspace.js';

/** Which package of the workspace may import which: docs/architecture.md in one table. Arrows point down only. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  contracts: [],
  telemetry: [],
  tensors: ['contracts'],
  architecture: ['contracts', 'tensors'],
  kernels: ['contracts'],
  tokenizers: ['contracts', 'tensors'],
  adapters: ['contracts', 'tensors', 'kernels'],
  onnx: ['contracts'],
  autodiff: ['contracts', 'onnx'],
  storage: ['contracts'],
  database: ['contracts'],
  queue: ['contracts'],
  webhooks: ['contracts'],
  client: ['contracts'],
  methods: ['contracts', 'tensors', 'kernels'],
  mergekit: ['contracts', 'methods'],
  engine: ['contracts', 'tensors', 'tokenizers', 'architecture', 'adapters', 'kernels', 'methods'],
  tuning: ['contracts', 'tensors', 'onnx', 'autodiff', 'kernels', 'methods', 'engine'],
  runtime: libraries().filter((name) => name !== 'client' && name !== 'runtime'),
  dashboard: ['contracts', 'client'],
  // It serves what the dashboard is built into.
  api: [...libraries(), 'dashboard'],
  worker: libraries(),
  // It starts these two as programs of their own.
  cli: [...libraries(), 'api', 'worker'],
};

function libraries(): string[] {
  return [
    'contracts',
    'tensors',
    'tokenizers',
    'adapters',
    'kernels',
    'onnx',
    'autodiff',
    'methods',
    'mergekit',
    'engine',
    'tuning',
    'storage',
    'database',
    'queue',
  ]
    .concat(['webhooks', 'telemetry', 'client', 'runtime'])
    .sort();
}

/** Dependencies that no source names, with the reason why they are declared nevertheless. */
const NEEDED_UNNAMED: Record<string, string> = {};

const EXACT = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/;

const packages = readWorkspace();

describe('architecture', () => {
  it('knows every package', () => {
    expect([...packages.keys()].filter((name) => !(name in MAY_IMPORT))).toEqual([]);
  });

  it('names every package in docs/architecture.md', () => {
    const table =
      readText('docs/architecture.md')
        .match(/^\|.*$/gm)
        ?.join('\n') ?? '';
    const missing = [...packages.values()].filter(({ folder }) => !new RegExp(`\\b${folder}\\b`).test(table));
    expect(missing.map(({ folder }) => folder)).toEqual([]);
  });

  it('lets no package import what lies above it', () => expect(checkAll(layering)).toEqual([]));

  it('lets no import reach into the inside of another package', () => expect(checkAll(reach)).toEqual([]));

  it('has every import declared in package.json and tsconfig.json', () => expect(checkAll(declared)).toEqual([]));

  it('declares nothing that is not imported', () => {
    expect([...packages.values()].flatMap(unused)).toEqual([]);
  });

  it('has no cycle among packages', () => {
    const edges = new Map([...packages].map(([name, pack]) => [name, [...imported(pack), ...declaredInside(pack)]]));
    expect(cycle(edges)).toBeNull();
  });

  it('pins every dependency to an exact version', () => {
    const manifests: [string, Manifest][] = [...packages.values()].map((pack) => [pack.folder, pack.manifest]);
    manifests.push(['.', readJson<Manifest>('package.json')]);
    expect(manifests.flatMap(([folder, manifest]) => inexact(folder, manifest))).toEqual([]);
  });
});

describe('the rules of architecture', () => {
  const see = (name: string, source: string, rule: Rule) => {
    const pack = packages.get(name);
    if (pack === undefined) throw new Error(`no package ${name}`);
    const path = `${pack.folder}/src/example.ts`;
    return check(rule, pack, { path, references: readReferences(path, source) });
  };

  it('see imports of every kind, with their lines', () => {
    const source = [
      "import a from '@amalgam/database'; // import x from '@amalgam/no'",
      "import type { B } from '@amalgam/queue';",
      "export * from '@amalgam/storage';",
      "type C = import('@amalgam/webhooks').C;",
      "const d = await import('@amalgam/telemetry');",
      "const e = import.meta.resolve('@amalgam/api/main');",
      "import {\n  f,\n} from '@amalgam/worker';",
    ].join('\n');
    const lines = see('tensors', source, layering).map((message) => message.split(' ')[0]);
    const path = 'libs/tensors/src/example.ts';
    expect(lines).toEqual([1, 2, 3, 4, 5, 6, 9].map((line) => `${path}:${line}:`));
  });

  it('name file, line and rule', () => {
    expect(see('methods', "\nimport '@amalgam/database';", layering)).toEqual([
      'libs/methods/src/example.ts:2: methods may not import database, only contracts, tensors, kernels',
    ]);
  });

  it.each([
    ["import '../../tensors/src/index.js';", 'leads out of libs/methods/src'],
    ["import '@amalgam/tensors/dist/index.js';", 'is not an export of @amalgam/tensors'],
    ["import '@amalgam/tensors/src/index.ts';", 'is not an export of @amalgam/tensors'],
    ["import '/etc/passwd';", 'leads out of libs/methods/src'],
    ['await import(name);', 'a dynamic import needs a literal'],
  ])('refuse %s', (source, message) => {
    const [violation, ...more] = see('methods', source, reach);
    expect(violation).toContain(message);
    expect(more).toEqual([]);
  });

  it.each([
    ["import 'left-pad';", 'left-pad is not in the dependencies of libs/methods/package.json'],
    ["import type { A } from '@scope/left-pad/deep';", '@scope/left-pad is not in the dependencies'],
    ["createRequire(import.meta.url).resolve('left-pad');", 'left-pad is not in the dependencies'],
    ["import { readFile } from 'fs';", 'fs is written node:fs'],
    [
      "import '@amalgam/queue';",
      'is not in the dependencies of libs/methods/package.json and not in the references of libs/methods/tsconfig.json',
    ],
  ])('refuse undeclared %s', (source, message) => {
    expect(see('methods', source, declared).join('\n')).toContain(message);
  });

  it('see cycles', () => {
    const edges = new Map([
      ['a', ['b']],
      ['b', ['c', 'd']],
      ['c', []],
      ['d', ['a']],
    ]);
    expect(cycle(edges)).toBe('a > b > d > a');
    edges.set('d', ['c']);
    expect(cycle(edges)).toBeNull();
  });

  it.each(['^1.0.0', '~1.0.0', '*', 'latest', '>=1.0.0', '1.x', 'file:../x', ''])('refuse version "%s"', (version) => {
    const manifest = { name: 'x', version: '1.0.0', dependencies: { a: version } };
    expect(inexact('libs/x', manifest)).toEqual([`libs/x/package.json: a is "${version}", not an exact version`]);
  });
});

/** What is wrong with a module that a file of the package names (null when it is computed), or null. */
type Rule = (pack: Package, specifier: string | null, path: string) => string | null;

function checkAll(rule: Rule): string[] {
  return [...packages.values()].flatMap((pack) => pack.files.flatMap((file) => check(rule, pack, file)));
}

function check(rule: Rule, pack: Package, file: Package['files'][number]): string[] {
  return file.references.flatMap(({ specifier, line }) => {
    const message = rule(pack, specifier, file.path);
    return message === null ? [] : [`${file.path}:${line}: ${message}`];
  });
}

function layering(pack: Package, specifier: string | null): string | null {
  const target = inside(specifier ?? '');
  if (target === null || target === pack.name) return null;
  const allowed = MAY_IMPORT[pack.name] ?? [];
  if (allowed.includes(target)) return null;
  return `${pack.name} may not import ${target}, only ${allowed.join(', ') || 'nothing of the workspace'}`;
}

function reach(pack: Package, specifier: string | null, path: string): string | null {
  // What is computed, no check can see.
  if (specifier === null) return 'a dynamic import needs a literal';
  if (specifier.startsWith('.') || specifier.startsWith('/')) {
    const target = relative(join(ROOT, pack.folder, 'src'), resolve(ROOT, dirname(path), specifier));
    return target.startsWith('..') ? `${specifier} leads out of ${pack.folder}/src` : null;
  }
  const name = inside(specifier);
  if (name === null) return null;
  if (name === pack.name) return `${specifier} is this very package: import the file`;
  const target = packages.get(name);
  if (target === undefined) return `${specifier}: there is no package ${name}`;
  const subpath = `.${specifier.slice(SCOPE.length + name.length)}`;
  return subpath in (target.manifest.exports ?? {}) ? null : `${specifier} is not an export of ${SCOPE}${name}`;
}

function declared(pack: Package, specifier: string | null): string | null {
  if (specifier === null || /^[./]/.test(specifier) || specifier.startsWith('node:')) return null;
  const name = packageOf(specifier);
  if (isBuiltin(name)) return `${specifier} is written node:${specifier}`;
  const wrong = [
    name in (pack.manifest.dependencies ?? {}) ? null : `in the dependencies of ${pack.folder}/package.json`,
    !name.startsWith(SCOPE) || pack.references.includes(name)
      ? null
      : `in the references of ${pack.folder}/tsconfig.json`,
  ].filter((place) => place !== null);
  return wrong.length === 0 ? null : `${name} is not ${wrong.join(' and not ')}`;
}

function unused(pack: Package): string[] {
  const named = new Set(
    pack.files.flatMap(({ references }) => references.map(({ specifier }) => packageOf(specifier ?? ''))),
  );
  const file = `${pack.folder}/package.json`;
  const text = readText(file);
  const dependencies = Object.keys(pack.manifest.dependencies ?? {})
    .filter((name) => !named.has(name) && !(name in NEEDED_UNNAMED))
    .map((name) => `${file}:${lineOf(text, `"${name}"`)}: ${name} is declared and imported nowhere`);
  const references = pack.references
    .filter((name) => !named.has(name))
    .map((name) => `${pack.folder}/tsconfig.json: ${name} is referenced and imported nowhere`);
  return [...dependencies, ...references];
}

function inexact(folder: string, manifest: Manifest): string[] {
  const { dependencies, devDependencies, optionalDependencies, peerDependencies } = manifest;
  return Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies, ...peerDependencies })
    .filter(([, version]) => !EXACT.test(version))
    .map(([name, version]) => `${join(folder, 'package.json')}: ${name} is "${version}", not an exact version`);
}

/** The first cycle found, written `a > b > a`. */
function cycle(edges: ReadonlyMap<string, readonly string[]>): string | null {
  const done = new Set<string>();
  const walk = (name: string, path: string[]): string | null => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name].join(' > ');
    if (done.has(name)) return null;
    for (const next of edges.get(name) ?? []) {
      const found = walk(next, [...path, name]);
      if (found !== null) return found;
    }
    done.add(name);
    return null;
  };
  for (const name of edges.keys()) {
    const found = walk(name, []);
    if (found !== null) return found;
  }
  return null;
}

/** Packages of the workspace that its sources name. */
function imported(pack: Package): string[] {
  const names = pack.files.flatMap(({ references }) => references.map(({ specifier }) => inside(specifier ?? '')));
  return names.filter((name) => name !== null && name !== pack.name).map(String);
}

function declaredInside(pack: Package): string[] {
  return [...Object.keys(pack.manifest.dependencies ?? {}), ...pack.references].flatMap((name) => inside(name) ?? []);
}

/** The package of the workspace that a specifier names, without the scope. */
function inside(specifier: string): string | null {
  return specifier.startsWith(SCOPE) ? (specifier.slice(SCOPE.length).split('/')[0] ?? null) : null;
}

function packageOf(specifier: string): string {
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '');
}

function lineOf(text: string, part: string): number {
  return text.slice(0, text.indexOf(part)).split('\n').length;
}
