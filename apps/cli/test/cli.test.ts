import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { writeSafetensors } from '@amalgam/tensors';
import { afterAll, describe, expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const EXAMPLES = fileURLToPath(new URL('../../../examples/', import.meta.url));
const TIES = join(EXAMPLES, 'recipes/ties.yaml');
const dir = mkdtempSync(join(tmpdir(), 'amalgam-cli-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

function amalgam(...args: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** A recipe in a file of its own, over models of four float32. */
async function recipe(text: string): Promise<string> {
  const folder = mkdtempSync(join(dir, 'recipe-'));
  for (const name of ['base', 'a', 'b']) {
    const data = new Uint8Array(Float32Array.from([1, 2, 3, name.length + name.charCodeAt(0)]).buffer);
    await writeSafetensors(join(folder, `${name}.safetensors`), [{ name: 'w', dtype: 'F32', shape: [4], data }]);
  }
  writeFileSync(join(folder, 'recipe.yaml'), text);
  return join(folder, 'recipe.yaml');
}

describe('amalgam merge', () => {
  test('leaves the whole result, the same bytes for any number of threads, and digests that are true', async () => {
    const digests = new Set<string>();
    for (const threads of ['1', '2']) {
      const out = join(dir, `zoo-${threads}`);
      const ran = await amalgam('merge', TIES, '--out', out, '--threads', threads, '--json');
      expect(ran.stderr).toBe('');
      expect(ran.code).toBe(0);
      const done = JSON.parse(ran.stdout.trim().split('\n').at(-1)!) as {
        event: string;
        files: { path: string; sha256: string }[];
      };
      expect(done.event).toBe('done');
      expect(readdirSync(out).sort()).toEqual([
        'README.md',
        'heads',
        'model.safetensors',
        'recipe.json',
        'report.json',
      ]);
      for (const file of done.files) expect(sha256(join(out, file.path))).toBe(file.sha256);
      digests.add(sha256(join(out, 'model.safetensors')));
      const { inputs } = JSON.parse(readFileSync(join(out, 'recipe.json'), 'utf8')) as {
        inputs: { files: { sha256: string }[] }[];
      };
      expect(inputs[0]!.files[0]!.sha256).toBe(sha256(join(EXAMPLES, 'zoo/vit6/base.safetensors')));
    }
    expect(digests.size).toBe(1);
    expect(readdirSync(dir).filter((name) => name.includes('partial'))).toEqual([]);
  });

  test('refuses a folder that is not empty, unless forced', async () => {
    const out = join(dir, 'taken');
    mkdirSync(out);
    writeFileSync(join(out, 'mine.txt'), 'mine');
    const refused = await amalgam('merge', TIES, '--out', out);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('the folder is not empty');
    expect(readdirSync(out)).toEqual(['mine.txt']);
    expect((await amalgam('merge', TIES, '--out', out, '--force')).code).toBe(0);
    expect(readdirSync(out)).toContain('model.safetensors');
    expect(readdirSync(out)).not.toContain('mine.txt');
  });

  test('never replaces a folder that holds the recipe or an input', async () => {
    const path = await recipe('method: linear\nmodels: [{ model: a.safetensors }]\n');
    const folder = join(path, '..');
    const elsewhere = join(dir, 'elsewhere.yaml');
    writeFileSync(elsewhere, JSON.stringify({ method: 'linear', models: [{ model: join(folder, 'a.safetensors') }] }));
    const before = readdirSync(folder);
    for (const from of [path, elsewhere]) {
      const ran = await amalgam('merge', from, '--out', folder, '--force');
      expect(ran.stderr).toContain('which the merge reads');
      expect(ran.code).toBe(2);
    }
    expect(readdirSync(folder)).toEqual(before);
  });

  test('follows a link to a folder', async () => {
    const path = await recipe('method: linear\nmodels: [{ model: a.safetensors }]\n');
    const link = join(path, '../link');
    mkdirSync(join(path, '../target'));
    symlinkSync('target', link);
    const ran = await amalgam('merge', path, '--out', link);
    expect(ran.code).toBe(0);
    expect(readdirSync(link)).toContain('model.safetensors');
    expect(readdirSync(join(path, '../target'))).toContain('model.safetensors');
  });

  test('a place that cannot be written to is named, without a stack', async () => {
    const path = await recipe('method: linear\nmodels: [{ model: a.safetensors }]\n');
    const ran = await amalgam('merge', path, '--out', join(path, 'out'));
    expect(ran.stderr).toMatch(/^amalgam: .*--out .*recipe\.yaml\/out: is not a folder/);
    expect(ran.code).toBe(2);
    // A name that is too long for the file system gets past the first look.
    const long = await amalgam('merge', path, '--out', join(dir, 'x'.repeat(250)));
    expect(long.stderr).toMatch(/amalgam: .*--out .*ENAMETOOLONG/);
    expect(long.code).toBe(2);
  });

  test('a place where no folder can be made is named, and parents are made where they can', async () => {
    const nowhere = await amalgam('merge', TIES, '--out', '/proc/amalgam/out');
    expect([nowhere.code, nowhere.stderr]).toEqual([2, expect.stringContaining('--out /proc/amalgam/out')]);
    expect((await amalgam('merge', TIES, '--out', join(dir, 'some/where/deep'))).code).toBe(0);
    expect(readdirSync(join(dir, 'some/where'))).toEqual(['deep']);
  });

  test('a signal ends it with code 1, and nothing is left', async () => {
    const folder = mkdtempSync(join(dir, 'large-'));
    const N = 30_000_000;
    const data = new Uint8Array(N * 4);
    for (const name of ['base', 'a']) {
      data[5] = name.length;
      await writeSafetensors(join(folder, `${name}.safetensors`), [{ name: 'w', dtype: 'F32', shape: [N], data }]);
    }
    const file = join(folder, 'recipe.yaml');
    writeFileSync(file, 'method: ties\nbase: base.safetensors\nmodels: [{ model: a.safetensors }]\n');
    const child = spawn(process.execPath, [
      MAIN,
      'merge',
      file,
      '--out',
      join(folder, 'out'),
      '--threads',
      '1',
      '--json',
    ]);
    const exit = once(child, 'exit');
    await once(child.stdout, 'data'); // the first progress line: it runs
    child.kill('SIGINT');
    expect((await exit)[0]).toBe(1);
    await sleep(100);
    expect(readdirSync(folder).sort()).toEqual(['a.safetensors', 'base.safetensors', 'recipe.yaml']);
  });
});

describe('wrong input ends with code 2 and says what is wrong', () => {
  const models = 'base: base.safetensors\nmodels: [{ model: a.safetensors }]\n';
  test.each([
    ['an unknown method', `method: tise\n${models}`, 'there is no method "tise"; did you mean "ties"?'],
    ['an unknown key', `method: ties\nbse: x\n${models}`, '/bse: unknown key "bse"; did you mean "base"?'],
    [
      'a density outside its range',
      `method: ties\nparameters: { density: 0 }\n${models}`,
      '/parameters/density: must be > 0, not 0',
    ],
    [
      'NaN',
      `method: ties\nparameters: { lambda: .nan }\n${models}`,
      '/parameters/lambda: must be a finite number, not NaN',
    ],
    ['no models', 'method: ties\nbase: base.safetensors\nmodels: []\n', '/models: must NOT have fewer than 1 items'],
    [
      'a base among the models',
      'method: ties\nbase: a.safetensors\nmodels: [{ model: a.safetensors }]\n',
      'is the base: its task vector would be zero',
    ],
    [
      'a file that is not there',
      'method: linear\nmodels: [{ model: nowhere.safetensors }]\n',
      'recipe.yaml: /models/0/model: nowhere.safetensors: there is no such file or folder',
    ],
    [
      'what only the headers tell',
      'merge_method: passthrough\nslices: [{ sources: [{ model: a.safetensors, layer_range: [0, 99] }] }]\n',
      'recipe.yaml: /slices: "a.safetensors" has no layers',
    ],
    [
      'a typo in mergekit’s language',
      `merge_method: linear\n${models}paramters: {}\n`,
      '/paramters: unknown key "paramters"; did you mean "parameters"?',
    ],
    ['a key twice', `method: ties\nmethod: linear\n${models}`, 'Map keys must be unique'],
    ['no YAML', 'method: [ties\n', 'recipe.yaml'],
    [
      'a glob without quotes',
      `method: ties\n${models}merge: { exclude: [*.bias] }\n`,
      'Unresolved alias (the anchor must be set before the alias): .bias; a text that begins with * needs quotes',
    ],
    [
      'aliases of aliases',
      `a: &a [1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c]\n`,
      'Excessive alias count',
    ],
  ])('%s', async (_, text, expected) => {
    const ran = await amalgam('plan', await recipe(text));
    expect(ran.stderr).toContain(expected);
    expect(ran.code).toBe(2);
    expect(ran.stdout).toBe('');
  });

  test('a checkpoint or a folder in the place of a recipe', async () => {
    const path = await recipe('');
    const weights = await amalgam('plan', join(path, '../base.safetensors'));
    expect(weights).toMatchObject({ code: 2, stdout: '' });
    expect(weights.stderr).toMatch(/base\.safetensors: is not text, so it is no recipe\n$/);
    const folder = await amalgam('plan', join(path, '..'));
    expect(folder.code).toBe(2);
    expect(folder.stderr).toContain('is a folder, not a recipe');
  });

  test('with --json the error is JSON', async () => {
    const ran = await amalgam('plan', await recipe(`method: ties\nparameters: { densty: 1 }\n${models}`), '--json');
    expect(JSON.parse(ran.stderr)).toMatchObject({
      code: 'invalid_recipe',
      errors: [{ pointer: '/parameters/densty', detail: 'unknown key "densty"; did you mean "density"?' }],
    });
  });

  test('a truncated checkpoint, and one that can run code', async () => {
    const file = await recipe('method: linear\nmodels: [{ model: cut.safetensors }]\n');
    const folder = join(file, '..');
    writeFileSync(join(folder, 'cut.safetensors'), readFileSync(join(folder, 'a.safetensors')).subarray(0, -3));
    const cut = await amalgam('plan', file);
    expect([cut.code, cut.stderr]).toEqual([2, expect.stringContaining('cut.safetensors')]);
    writeFileSync(join(folder, 'pytorch_model.bin'), Buffer.from([0x80, 2, 0x7d]));
    const pickle = await amalgam('inspect', join(folder, 'pytorch_model.bin'));
    expect([pickle.code, pickle.stderr]).toEqual([2, expect.stringContaining('can run code')]);
  });
});

test('plan, inspect, methods and help print what they promise', async () => {
  const plan = await amalgam('plan', TIES, '--json');
  expect(JSON.parse(plan.stdout)).toMatchObject({ object: 'plan', tensors: { merged: 86, copied: 0, heads: 12 } });
  const inspect = await amalgam('inspect', join(EXAMPLES, 'zoo/vit6/base.safetensors'), '--json', '--digests');
  const described = JSON.parse(inspect.stdout) as { parameters: number; files: { sha256: string }[] };
  expect(described.parameters).toBe(193_440);
  expect(described.files[0]!.sha256).toBe(sha256(join(EXAMPLES, 'zoo/vit6/base.safetensors')));
  expect((await amalgam('methods')).stdout).toContain('task_arithmetic');
  expect((await amalgam('methods', 'ties')).stdout).toContain('Yadav');
  expect((await amalgam('methods', 'tyes')).code).toBe(2);
  expect(await amalgam('--help')).toMatchObject({ code: 0, stdout: expect.stringContaining('Exit codes') });
  expect((await amalgam('frobnicate')).code).toBe(2);
});
