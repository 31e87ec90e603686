import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Recipe, validate } from '@amalgam/contracts';
import { describeMethod, getMethod, resolveRecipe } from '@amalgam/methods';
import { afterAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { startTestService } from './support/service.js';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'amalgam-docs-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const blocks = (path: string, language: string) =>
  [...read(path).matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map((match) => match[1]!);

function bash(script: string, env: Record<string, string>): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const options = { cwd: ROOT, env: { ...process.env, ...env }, timeout: 180_000 };
    execFile('bash', ['-euo', 'pipefail', '-c', script], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

const hasCurl = spawnSync('curl', ['--version']).status === 0;
if (!hasCurl) console.warn('SKIPPED: the quickstart’s commands — curl is not installed');

describe('the examples in docs/ run as they stand', () => {
  test.skipIf(!hasCurl)('quickstart (SKIPPED without curl)', async () => {
    const service = await startTestService({ AMALGAM_ALLOWED_ROOTS: `file://${join(ROOT, 'examples')}` });
    try {
      const script = blocks('docs/quickstart.md', 'sh').join('\n');
      const ran = await bash(script, { URL: service.url, KEY: service.apiKey });
      expect(ran.stderr).toBe('');
      expect(ran.code).toBe(0);
      expect(ran.stdout).toContain('event: merge.succeeded');
      expect(ran.stdout.trim().split('\n').at(-1)).toContain('model.safetensors');
    } finally {
      await service.stop();
    }
  });

  test.skipIf(!hasCurl)('AdaMerging (SKIPPED without curl)', { timeout: 240_000 }, async () => {
    const roots = { AMALGAM_ALLOWED_ROOTS: `file://${join(ROOT, 'examples')}` };
    const service = await startTestService({ ...roots, AMALGAM_DEVICE: 'cpu', AMALGAM_TUNING_THREADS: '1' });
    try {
      const ran = await bash(blocks('docs/adamerging.md', 'sh').join('\n'), { URL: service.url, KEY: service.apiKey });
      expect([ran.code, ran.stderr]).toEqual([0, '']);
      expect(ran.stdout).toContain('event: merge.succeeded');
      expect(ran.stdout).toMatch(/"step":\d+,"steps":40,"loss":/);
      expect(ran.stdout).toMatch(/^digits 0\.\d+ 0\.\d+ 0\.\d+$/m);
    } finally {
      await service.stop();
    }
  });

  test('command line', async () => {
    const ran = await bash(blocks('docs/cli.md', 'sh').join('\n'), { OUT: dir });
    expect([ran.code, ran.stderr.includes('error')]).toEqual([0, false]);
    expect(ran.stdout).toContain('model.safetensors');
  });

  test('recipes', () => {
    const recipes = blocks('docs/recipes.md', 'yaml');
    expect(recipes.length).toBeGreaterThan(0);
    for (const text of recipes) {
      const checked = validate(Recipe, parse(text));
      expect(checked).toMatchObject({ ok: true });
      if (checked.ok) expect(resolveRecipe(checked.value).recipe.models[0]!.parameters).toBeTypeOf('object');
    }
  });
});

test.each(['docs/adamerging.md', 'docs/recipes.md'])('%s has AdaMerging’s parameters and their defaults', (page) => {
  const { parameters } = describeMethod(getMethod('adamerging'));
  const { properties } = parameters as { properties: Record<string, { default: unknown }> };
  const stated = Object.entries(properties).map(([name, schema]) => [name, JSON.stringify(schema.default)]);
  // The table that begins with granularity.
  const [, rows = ''] = /^(\| `granularity`.*?)\n\n/ms.exec(read(page)) ?? [];
  const documented = [...rows.matchAll(/^\| `(\w+)` +\| ([^|]+?) +\|/gm)].map(([, name, value]) => [
    name,
    /^[a-z]/.test(value!) && value !== 'false' ? JSON.stringify(value) : value!.replaceAll(' ', ''),
  ]);
  expect(documented.sort()).toEqual(stated.sort());
});

test('the Python of docs/adamerging.md is taken from the example', () => {
  const example = read('examples/python/adamerging.py');
  const parts = blocks('docs/adamerging.md', 'python');
  expect(parts.length).toBeGreaterThan(5);
  for (const part of parts) expect(example).toContain(part);
});

test('every setting is documented, and every documented one exists', () => {
  const used = new Set<string>();
  for (const file of readdirSync(ROOT, { recursive: true, encoding: 'utf8' })) {
    if (!/^(apps|libs)\/[^/]+\/src\/.*\.ts$/.test(file)) continue;
    for (const [, name] of read(file).matchAll(/['"`]((?:AMALGAM|S3|AWS|HF)_[A-Z_0-9]+|DATABASE_URL|REDIS_URL)['"`]/g))
      used.add(name!);
  }
  const documented = new Set(
    [...read('docs/configuration.md').matchAll(/`((?:AMALGAM|S3|AWS|HF)_[A-Z_0-9]+|DATABASE_URL|REDIS_URL)`/g)].map(
      (match) => match[1]!,
    ),
  );
  expect([...documented].sort()).toEqual([...used].sort());
});

test('links between pages lead somewhere', () => {
  const pages = [
    'README.md',
    'CHANGELOG.md',
    ...readdirSync(join(ROOT, 'docs'))
      .filter((f) => f.endsWith('.md'))
      .map((f) => `docs/${f}`),
  ];
  for (const page of pages) {
    const prose = read(page).replace(/^```.*?^```/gms, '');
    for (const [, target] of prose.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      const path = join(ROOT, dirname(page), target!);
      expect(() => readFileSync(path), `${page} → ${target}`).not.toThrow(/ENOENT/);
    }
  }
});
