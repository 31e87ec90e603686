import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Checkpoint, Merge } from '@amalgam/contracts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startTestService, type TestService } from '../support/service.js';
import { ZOO } from '../support/zoo-service.js';

vi.setConfig({ testTimeout: 120_000 });

const CLI = fileURLToPath(new URL('../../apps/cli/dist/main.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'amalgam-submit-'));

interface Ran {
  code: unknown;
  out: string;
  err: string;
}

describe('the command line speaks with a service', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startTestService();
  });
  afterAll(async () => {
    await service?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const run = (args: string[], env: Record<string, string> = {}): Promise<Ran> =>
    new Promise((resolve) => {
      const settings = { AMALGAM_URL: service.url, AMALGAM_API_KEY: service.apiKey, ...env };
      execFile(process.execPath, [CLI, ...args], { env: { ...process.env, ...settings } }, (error, out, err) =>
        resolve({ code: error === null ? 0 : error.code, out, err }),
      );
    });
  const json = async <T>(...args: string[]): Promise<T> => {
    const { code, out, err } = await run([...args, '--json']);
    expect([code, err]).toEqual([0, '']);
    return JSON.parse(out) as T;
  };
  const lines = (out: string) =>
    out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; reference?: string; id?: string; merge?: Merge });
  const recipe = (name: string, text: object) => {
    const path = join(dir, name);
    writeFileSync(path, JSON.stringify(text));
    return path;
  };
  const zoo = (name: string) => join(ZOO, `${name}.safetensors`);
  const ties = () => ({
    method: 'ties',
    base: zoo('base'),
    models: [{ model: zoo('digits') }, { model: zoo('shapes') }],
  });

  test('submit uploads what lies here, follows the merge, and brings the result', async () => {
    const out = join(dir, 'result');
    const ran = await run(['submit', recipe('ties.json', ties()), '--name', 'from here', '--download', out, '--json']);
    expect([ran.code, ran.err]).toEqual([0, '']);
    const told = lines(ran.out);
    expect(told.filter(({ event }) => event === 'uploaded').map(({ reference }) => reference)).toEqual(
      ['base', 'digits', 'shapes'].map(zoo),
    );
    expect(told.map(({ event }) => event)).toEqual(
      expect.arrayContaining(['submitted', 'merge.queued', 'merge.started', 'merge.succeeded', 'done']),
    );
    const { merge } = told.at(-1)!;
    expect(merge).toMatchObject({ name: 'from here', state: 'succeeded' });
    expect(readdirSync(out)).toEqual(expect.arrayContaining(['model.safetensors', 'recipe.json', 'report.json']));
    const again = join(dir, 'again');
    await json('merges', 'download', merge!.id, '--out', again);
    expect(readFileSync(join(again, 'model.safetensors')).equals(readFileSync(join(out, 'model.safetensors')))).toBe(
      true,
    );
  });

  test('submit sends nothing twice: the same files are found again, and ids stay ids', async () => {
    const [known] = await json<Checkpoint[]>('checkpoints', 'list', '--name', 'shapes');
    const text = { ...ties(), models: [{ model: zoo('digits') }, { model: known!.id }] };
    const ran = await run(['submit', recipe('again.json', text), '--json']);
    expect([ran.code, ran.err]).toEqual([0, '']);
    const told = lines(ran.out);
    expect(told.map(({ event }) => event)).toEqual(['reused', 'reused', 'submitted']);
    expect(told.at(-1)!.merge!.recipe.models.map(({ model }) => model)).toEqual([told[1]!.id, known!.id]);
  });

  test('submit takes tasks: graphs and datasets come along', async () => {
    const text = {
      ...ties(),
      tasks: [
        { name: 'digits', model: zoo('digits'), graph: join(ZOO, 'digits.onnx'), evaluation: zoo('digits.labeled') },
      ],
    };
    const ran = await run(['submit', recipe('tasks.json', text), '--wait']);
    expect([ran.code, ran.code === 0 ? '' : ran.err]).toEqual([0, '']);
    expect(ran.err).toMatch(/^uploaded {4}graph_\w+ {2}.*digits\.onnx$/m);
    expect(ran.out).toMatch(/^mrg_\w+: succeeded; its result is ckpt_\w+$/m);
  });

  test('what is wrong is said in words, with the field, and exit code 2', async () => {
    const refused = await run(['submit', recipe('wrong.json', { ...ties(), method: 'tie' })]);
    expect(refused.code).toBe(2);
    expect(refused.err).toContain('"tie"');
    const nowhere = await run(['submit', recipe('nowhere.json', { ...ties(), base: join(dir, 'nothing') })]);
    expect([nowhere.code, nowhere.err]).toEqual([2, expect.stringContaining('there is no such file or folder')]);
    const keyless = await run(['merges', 'list'], { AMALGAM_API_KEY: '' });
    expect([keyless.code, keyless.err]).toEqual([2, expect.stringContaining('AMALGAM_API_KEY')]);
    const away = await run(['merges', 'show', 'mrg_x', '--json']);
    expect([away.code, JSON.parse(away.err)]).toEqual([2, expect.objectContaining({ code: 'not_found' })]);
    const full = await run(['submit', recipe('ties.json', ties()), '--download', dir]);
    expect([full.code, full.err]).toEqual([2, expect.stringContaining('the folder is not empty')]);
    const typo = await run(['merges', 'list', '--state', 'done']);
    expect([typo.code, typo.err]).toEqual([2, expect.stringContaining('Allowed choices are')]);
  });

  test('what headers tell is said before anything is sent', async () => {
    const text = { method: 'linear', models: [{ model: zoo('location') }, { model: zoo('blobs') }] };
    const ran = await run(['submit', recipe('heads.json', text)]);
    expect([ran.code, ran.out]).toEqual([2, '']);
    expect(ran.err).toMatch(/^amalgam: .*heads\.json: \/models\/1\/model: tensor "head\.bias" has shape /);
    for (const name of ['location', 'blobs']) expect(await json('checkpoints', 'list', '--name', name)).toEqual([]);
  });

  test('events are those of all merges; followed, they come as they are written', async () => {
    const past = await run(['events', '--type', 'merge.queued', 'merge.succeeded']);
    expect([past.code, past.err]).toEqual([0, '']);
    const line = past.out.split('\n').find((text) => text.includes('merge.succeeded')) ?? '';
    const [position = '', , , merge = ''] = line.trim().split(/ {2,}/);
    const settings = { AMALGAM_URL: service.url, AMALGAM_API_KEY: service.apiKey };
    const before = String(Number(position) - 1);
    const child = spawn(process.execPath, [CLI, 'events', '--follow', '--after', before, '--json'], {
      env: { ...process.env, ...settings },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [first] = (await once(child.stdout, 'data')) as [Buffer];
    child.kill();
    expect(JSON.parse(first.toString().split('\n', 1)[0] ?? '')).toMatchObject({
      object: 'event',
      position: Number(position),
      type: 'merge.succeeded',
      merge_id: merge,
    });
    expect((await run(['events', '--type', 'merge.exploded'])).code).toBe(2);
  });

  test('merges are listed and shown with events and report; one that has finished is not canceled', async () => {
    const [newest] = await json<Merge[]>('merges', 'list', '--state', 'succeeded', '--limit', '1');
    expect(await json<Merge>('merges', 'show', newest!.id)).toEqual(newest);
    const shown = await run(['merges', 'show', newest!.id]);
    expect(shown.out).toMatch(/^state {7}succeeded$/m);
    expect((await run(['merges', 'events', newest!.id])).out).toMatch(/merge\.succeeded/);
    expect(await json('merges', 'report', newest!.id)).toMatchObject({ method: 'ties' });
    const finished = await run(['merges', 'cancel', newest!.id]);
    expect([finished.code, finished.err]).toEqual([2, expect.stringContaining('finished')]);
  });

  test('graphs and datasets are uploaded, listed, downloaded and deleted', async () => {
    const folder = join(dir, 'set');
    mkdirSync(folder);
    const first = await json<{ id: string; how: string }>('datasets', 'upload', zoo('shapes.labeled'));
    expect(first.how).toBe('uploaded');
    expect(await json('datasets', 'upload', zoo('shapes.labeled'))).toMatchObject({ id: first.id, how: 'reused' });
    await json('datasets', 'download', first.id, '--out', folder);
    expect(readFileSync(join(folder, 'shapes.labeled.safetensors')).equals(readFileSync(zoo('shapes.labeled')))).toBe(
      true,
    );
    await json('datasets', 'delete', first.id);
    const gone = await run(['datasets', 'show', first.id]);
    expect(gone.code).toBe(2);
    const [graph] = await json<{ id: string }[]>('graphs', 'list');
    expect((await run(['graphs', 'show', graph!.id])).out).toMatch(/digits\.onnx/);
    const [base] = await json<Checkpoint[]>('checkpoints', 'list', '--name', 'base');
    expect((await run(['checkpoints', 'tensors', base!.id])).out).toMatch(/F32/);
  });

  test('webhook endpoints are made, tested and deleted', async () => {
    const made = await json<{ id: string; secret: string }>(
      'webhooks',
      'create',
      'http://127.0.0.1:9/hook',
      '--events',
      'merge.failed',
    );
    expect(made.secret).toMatch(/^whsec_/);
    expect((await run(['webhooks', 'list'])).out).toContain(made.id);
    await json('webhooks', 'test', made.id);
    expect(await json('webhooks', 'deliveries', made.id)).toHaveLength(1);
    await json('webhooks', 'delete', made.id);
    expect(await json('webhooks', 'list')).toEqual([]);
  });
});
