import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeSafetensors } from '@amalgam/tensors';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { COMMIT, TestHub } from '../../../test/support/hub.js';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'amalgam-cli-hub-'));
const cache = join(dir, 'cache');
const CONFIG = Buffer.from('{"model_type":"x"}');

function model(value: number): Record<string, Uint8Array> {
  const data = new Uint8Array(new Float32Array(64).fill(value).buffer);
  return {
    'config.json': CONFIG,
    'model.safetensors': encodeSafetensors([{ name: 'w', dtype: 'F32', shape: [8, 8], data }]),
  };
}

const hub = await TestHub.start({
  'org/a': { files: model(1), revisions: ['v1'] },
  'org/b': { files: model(3) },
  'org/private': { files: model(5), access: 'private' },
});
afterAll(async () => {
  await hub.close();
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(() => {
  hub.take();
});

interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

function amalgam(args: string[], env: Record<string, string> = {}): Promise<Ran> {
  const all = { ...process.env, HF_TOKEN: '', HF_ENDPOINT: hub.endpoint, AMALGAM_HUB_CACHE: cache, ...env };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { env: all, cwd: dir }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

function recipe(text: string): string {
  const path = join(mkdtempSync(join(dir, 'recipe-')), 'recipe.yaml');
  writeFileSync(path, text);
  return path;
}

const values = (out: string): Float32Array => {
  const bytes = readFileSync(join(out, 'model.safetensors'));
  const begin = bytes.byteOffset + 8 + Number(bytes.readBigUInt64LE(0));
  return new Float32Array(bytes.buffer.slice(begin, begin + 64 * 4));
};
const weightsAsked = () => hub.take().filter(({ at, range }) => at === 'store' && range !== undefined);

describe('models of the Hugging Face hub', () => {
  test('are planned from their headers', async () => {
    const ran = await amalgam([
      'plan',
      recipe('method: linear\nmodels: [{ model: hf://org/a@v1 }, { model: hf://org/b }]\n'),
    ]);
    expect(ran.stderr).toBe('');
    expect(ran.stdout).toContain('1 merged');
    expect(ran.stdout).toContain(`"hf://org/a@v1" is commit ${COMMIT}`);
    const read = weightsAsked().map(({ range }) => /bytes=(\d+)-(\d+)/.exec(range!)!.slice(1).map(Number));
    const header = Number(Buffer.from(model(1)['model.safetensors']!).readBigUInt64LE(0)) + 8;
    for (const [, last] of read) expect(last).toBeLessThan(header);
    expect(readdirSync(dir)).not.toContain('cache');
  });

  test('are merged, and fetched once', async () => {
    const path = recipe('method: linear\nmodels: [{ model: hf://org/a }, { model: hf://org/b }]\n');
    for (const run of [1, 2]) {
      const out = join(dir, `out-${run}`);
      const ran = await amalgam(['merge', path, '--out', out]);
      expect(ran.code, ran.stderr).toBe(0);
      expect(values(out)).toEqual(new Float32Array(64).fill(2));
      expect(JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))).toMatchObject({ model_type: 'x' });
      const length = model(1)['model.safetensors']!.length;
      expect(weightsAsked().filter(({ range }) => range === `bytes=0-${length - 1}`)).toHaveLength(run === 1 ? 2 : 0);
    }
    expect(readdirSync(join(cache, 'files'))).toHaveLength(2);
  });

  test('are found by the names of mergekit’s recipes, where nothing lies at that path, and that is said', async () => {
    const path = recipe('merge_method: passthrough\nmodels: [{ model: org/a@v1 }]\n');
    const ran = await amalgam(['plan', path]);
    expect(ran.code, ran.stderr).toBe(0);
    expect(ran.stdout).toContain(
      '"org/a@v1" is no path here, so the model of that name on the Hugging Face hub is taken',
    );
    expect(ran.stdout).toContain(COMMIT);
  });

  test('are not asked for where a folder has the name, or could have had it', async () => {
    const path = recipe('merge_method: passthrough\nmodels: [{ model: org/a }]\n');
    const folder = join(path, '../org/a');
    mkdirSync(join(folder, '..'));
    const missing = await amalgam(['plan', path]);
    expect(missing.stderr).toContain('org/a: there is no such file or folder');
    expect(missing.code).toBe(2);
    mkdirSync(folder);
    writeFileSync(join(folder, 'model.safetensors'), model(7)['model.safetensors']!);
    expect((await amalgam(['plan', path])).code).toBe(0);
    expect(hub.take()).toEqual([]);
  });

  test('that cannot be had are told in words, without the token', async () => {
    const path = recipe('method: linear\nmodels: [{ model: hf://org/private }]\n');
    const refused = await amalgam(['plan', path]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('set HF_TOKEN');
    const wrong = await amalgam(['plan', path], { HF_TOKEN: 'hf_wrong' });
    expect(wrong.stderr).toContain('does not take HF_TOKEN');
    expect(wrong.stderr).not.toContain('hf_wrong');
    expect((await amalgam(['plan', path], { HF_TOKEN: hub.token })).code).toBe(0);
    const bare = await amalgam(['plan', recipe('method: linear\nmodels: [{ model: org/none }]\n')]);
    expect(bare.stderr).toContain('org/none: there is no such file or folder');
    expect(bare.stderr).toContain('hub shows no model org/none');
  });

  test('are inspected', async () => {
    const { stdout, stderr } = await amalgam(['inspect', 'hf://org/a', '--digests', '--json']);
    expect(stderr).toBe('');
    const shown = JSON.parse(stdout) as { parameters: number; files: { path: string; sha256: string }[] };
    expect(shown).toMatchObject({ parameters: 64, files: [{ path: 'model.safetensors' }] });
    expect(shown.files[0]!.sha256).toMatch(/^[0-9a-f]{64}$/);
  });
});
