import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Delivery, Merge, WebhookEndpoint } from '@amalgam/contracts';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startTestService, type TestService } from '../support/service.js';
import { ZOO } from '../support/zoo-service.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const CLI = fileURLToPath(new URL('../../apps/cli/dist/main.js', import.meta.url));
/** Each look is a program that has to start. */
const SOON = { timeout: 60_000 };
const zoo = (name: string) => join(ZOO, `${name}.safetensors`);

describe('commands for what a service is doing', () => {
  const dir = mkdtempSync(join(tmpdir(), 'amalgam-remote-'));
  let service: TestService;
  beforeAll(async () => {
    service = await startTestService({
      AMALGAM_DEVICE: 'cpu',
      AMALGAM_TUNING_THREADS: '1',
      AMALGAM_ALLOWED_ROOTS: `file://${ZOO}`,
    });
  });
  afterAll(async () => {
    await service?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const run = (...args: string[]): Promise<{ code: unknown; out: string; err: string }> =>
    new Promise((resolve) => {
      const env = { ...process.env, AMALGAM_URL: service.url, AMALGAM_API_KEY: service.apiKey };
      execFile(process.execPath, [CLI, ...args], { env }, (error, out, err) =>
        resolve({ code: error === null ? 0 : error.code, out, err }),
      );
    });
  const json = async <T>(...args: string[]): Promise<T> => {
    const { code, out, err } = await run(...args, '--json');
    expect([code, err]).toEqual([0, '']);
    return JSON.parse(out) as T;
  };
  /** Submits a recipe of the zoo with one task; returns the merge's id. */
  const submit = async (name: string, graphOf: string, more: object) => {
    const path = join(dir, `${name}.json`);
    const task = {
      name: 'digits',
      model: zoo('digits'),
      graph: join(ZOO, `${graphOf}.onnx`),
      data: zoo('digits.unlabeled'),
    };
    const recipe = { base: zoo('base'), models: [{ model: zoo('digits') }], tasks: [task], ...more };
    writeFileSync(path, JSON.stringify(recipe));
    const { out, code, err } = await run('submit', path, '--name', name, '--json');
    expect([code, err]).toEqual([0, '']);
    return (JSON.parse(out.trim().split('\n').at(-1)!) as { merge: Merge }).merge.id;
  };

  describe('merges', () => {
    test('cancel and retry: what runs is stopped, runs again, and is followed to its end', async () => {
      const id = await submit('endless', 'digits', { method: 'adamerging', parameters: { steps: 100_000 } });
      const state = async () => (await json<Merge>('merges', 'show', id)).state;
      await expect.poll(state, SOON).toBe('running');
      expect((await run('merges', 'cancel', id)).out).toMatch(
        /^id {10}mrg_[\s\S]*^state {7}running.*, to be canceled$/m,
      );
      await expect.poll(state, SOON).toBe('canceled');
      const over = await run('merges', 'wait', id);
      expect([over.code, over.err]).toEqual([1, expect.stringContaining(`${id}: canceled`)]);

      expect(['queued', 'running']).toContain((await json<Merge>('merges', 'retry', id)).state);
      const waiting = run('merges', 'wait', id);
      await expect.poll(state, SOON).toBe('running');
      await run('merges', 'cancel', id);
      expect((await waiting).code).toBe(1);
    });

    test('wait: one that fails is exit code 1, and says why', async () => {
      // Found by no check of headers: the graph has another model's heads.
      const id = await submit('mismatched', 'shapes', { method: 'ties' });
      const ended = await run('merges', 'wait', id);
      expect([ended.code, ended.out]).toEqual([1, '']);
      expect(ended.err).toMatch(new RegExp(`^amalgam: ${id}: failed: .+`, 'm'));
      const { err } = await run('merges', 'wait', id, '--json');
      expect(err).toBe('');
      expect((await run('merges', 'show', id)).out).toMatch(/^error {7}.+$/m);
      const report = await run('merges', 'report', id);
      expect([report.code, report.err]).toEqual([2, expect.stringContaining('it is failed')]);
    });
  });

  describe('checkpoints', () => {
    test('register: what lies below an allowed root, and nothing beside it', async () => {
      const made = await json<{ id: string }>('checkpoints', 'register', `file://${zoo('blobs')}`);
      expect((await run('checkpoints', 'show', made.id)).out).toContain('blobs.safetensors');
      const refused = await run('checkpoints', 'register', `file://${join(dir, 'x.safetensors')}`);
      expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('is not below an allowed root')]);
    });
  });

  describe('webhooks', () => {
    const seen: { headers: Record<string, string>; body: string }[] = [];
    let answer = 204;
    let receiver: Server;
    let id: string;
    let secret: string;
    beforeAll(async () => {
      receiver = createServer(async (request, response) => {
        let body = '';
        for await (const chunk of request) body += String(chunk);
        seen.push({ headers: request.headers as Record<string, string>, body });
        response.writeHead(answer).end();
      });
      await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
      const { port } = receiver.address() as AddressInfo;
      const made = await run('webhooks', 'create', `http://127.0.0.1:${port}/hook`, '--description', 'of the test');
      id = /^id +(\S+)$/m.exec(made.out)![1]!;
      secret = /^secret +(\S+)$/m.exec(made.out)![1]!;
    });
    afterAll(() => {
      receiver?.close().closeAllConnections();
    });
    const deliveries = (...more: string[]) => json<Delivery[]>('webhooks', 'deliveries', id, ...more);

    test('test: the receiver gets it, signed with the secret that was shown', async () => {
      expect((await run('webhooks', 'test', id)).out).toMatch(/^\w+\n$/);
      await expect.poll(() => seen.length, SOON).toBe(1);
      const { headers, body } = seen[0]!;
      expect(new Webhook(secret).verify(body, headers)).toMatchObject({ type: 'webhook.test' });
      await expect.poll(async () => (await deliveries('--state', 'succeeded')).length, SOON).toBe(1);
    });

    test('rotate: both secrets sign, the new one is shown', async () => {
      const rotated = await json<WebhookEndpoint>('webhooks', 'rotate', id);
      expect(rotated.secret).toMatch(/^whsec_/);
      expect(rotated.secret).not.toBe(secret);
      await run('webhooks', 'test', id);
      await expect.poll(() => seen.length, SOON).toBe(2);
      for (const one of [secret, rotated.secret!]) {
        expect(new Webhook(one).verify(seen[1]!.body, seen[1]!.headers)).toMatchObject({ type: 'webhook.test' });
      }
    });

    test('deliveries and redeliver: what failed is shown with its answer, and sent again', async () => {
      answer = 410;
      const sent = (await run('webhooks', 'test', id)).out.trim();
      await expect.poll(async () => (await deliveries('--state', 'failed')).map((one) => one.id), SOON).toEqual([sent]);
      expect((await run('webhooks', 'deliveries', id)).out).toMatch(new RegExp(`^${sent} +failed .*410`, 'm'));

      answer = 204;
      expect((await run('webhooks', 'redeliver', sent)).out).toMatch(new RegExp(`^${sent}: \\w+$`, 'm'));
      const stateOf = async () => (await json<Delivery>('webhooks', 'delivery', sent)).state;
      await expect.poll(stateOf, SOON).toBe('succeeded');
    });

    test('redeliver-failed: whatever has failed since a time is sent again', async () => {
      answer = 410;
      const sent = (await run('webhooks', 'test', id)).out.trim();
      await expect.poll(async () => (await deliveries('--state', 'failed')).map((one) => one.id), SOON).toEqual([sent]);
      answer = 204;
      const again = (...more: string[]) => run('webhooks', 'redeliver-failed', id, '--type', 'webhook.test', ...more);
      expect((await again('--since', '2100-01-01T00:00:00Z')).out).toBe('sent again: 0\n');
      // Disabled it gets nothing, tests that are asked for one by one apart.
      await run('webhooks', 'enable', id);
      expect((await again('--since', '2020-01-01T00:00:00Z')).out).toBe('sent again: 1\n');
      await expect.poll(async () => (await deliveries('--state', 'failed')).length, SOON).toBe(0);
    });

    test('disable, enable, delete: the list says how it stands', async () => {
      const listed = async () => new RegExp(`^${id} +(.+?) +http`, 'm').exec((await run('webhooks', 'list')).out)?.[1];
      expect((await run('webhooks', 'disable', id)).out).toMatch(/^state +disabled \(user\)$/m);
      expect(await listed()).toBe('disabled (user)');
      expect((await run('webhooks', 'enable', id)).out).toMatch(/^state +enabled$/m);
      expect(await listed()).toBe('enabled');
      expect((await run('webhooks', 'delete', id)).code).toBe(0);
      const gone = await run('webhooks', 'show', id);
      expect([gone.code, gone.err]).toEqual([2, expect.stringContaining(id)]);
    });
  });
});
