import { mkdir, mkdtemp, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { createLogger, createMetrics } from '@amalgam/telemetry';
import { describe, expect, it, onTestFinished } from 'vitest';
import { newIdentity } from '../src/heartbeat.js';
import { Loop } from '../src/loop.js';
import { startMetricsServer } from '../src/metrics-server.js';
import { isPassing, patiently, settlesWithin } from '../src/patience.js';
import { Scratch } from '../src/scratch.js';
import { judge } from '../src/stages/failure.js';
import { canonical } from '../src/stages/plan-digest.js';

const log = createLogger({ name: 'test', level: 'silent' });

describe('patience', () => {
  it.each([
    [true, Object.assign(new Error('x'), { code: 'ECONNREFUSED' })],
    [
      true,
      Object.assign(new Error('Raw query failed'), {
        meta: { driverAdapterError: { cause: { kind: 'ConnectionClosed' } } },
      }),
    ],
    [true, new Error('x', { cause: Object.assign(new Error('y'), { originalCode: '57P01' }) })],
    [true, new AmalgamError('unavailable', 'x')],
    [false, new AmalgamError('storage_error', 'x')],
    [false, Object.assign(new Error('unique'), { code: 'P2002' })],
    [false, Object.assign(new Error('no such file'), { code: 'ENOENT' })],
    [false, 'text'],
  ])('%s: %s', (passing, error) => {
    expect(isPassing(error)).toBe(passing);
  });

  it('asks until it is answered, or told to stop', async () => {
    let tries = 0;
    const work = async () => {
      if (++tries < 3) throw Object.assign(new Error('x'), { code: 'P1001' });
      return tries;
    };
    expect(await patiently(work, { log, what: 'a test' })).toBe(3);
    const stop = new AbortController();
    const never = patiently(() => Promise.reject(new AmalgamError('unavailable', 'x')), {
      log,
      what: 'a test',
      signal: stop.signal,
    });
    stop.abort(new Error('stopped'));
    await expect(never).rejects.toThrow('stopped');
    const short = patiently(() => Promise.reject(new AmalgamError('unavailable', 'x')), { log, what: '', forMs: 150 });
    await expect(short).rejects.toThrow(AmalgamError);
  });

  it('knows when a promise takes too long', async () => {
    expect(await settlesWithin(Promise.reject(new Error('x')), 1_000)).toBe(true);
    expect(await settlesWithin(new Promise(() => {}), 20)).toBe(false);
  });
});

describe('a loop', () => {
  it('takes one turn at a time, survives failures, and stops', async () => {
    let turns = 0;
    let together = 0;
    const loop = new Loop(
      async () => {
        expect(++together).toBe(1);
        turns++;
        await new Promise((resolve) => setTimeout(resolve, 20));
        together--;
        throw new Error('always');
      },
      { name: 'test', everyMs: 60_000, log },
    ).start();
    loop.wake();
    loop.wake();
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(turns).toBe(2);
    loop.wake();
    await loop.stop();
    expect([turns, together]).toEqual([3, 0]);
    loop.wake();
    expect(turns).toBe(3);
  });
});

describe('scratch', () => {
  it('of dead workers is cleared away, of live ones kept', async () => {
    const home = await mkdtemp(join(tmpdir(), 'amalgam-scratch-'));
    onTestFinished(() => rm(home, { recursive: true, force: true }));
    const identity = newIdentity();
    const scratch = new Scratch(home, identity);
    await scratch.make('att_1');
    const host = identity.id.slice(4, identity.id.lastIndexOf(`_${process.pid}_`));
    const dead = [`wrk_${host}_4194300_aa`, `wrk_${host}_${process.pid}_earlier`, 'wrk_elsewhere_1_old'];
    const live = [`wrk_${host}_1_aa`, 'wrk_elsewhere_1_new', identity.id];
    for (const name of [...dead, ...live]) await mkdir(join(home, 'scratch', name, 'att_2'), { recursive: true });
    await utimes(join(home, 'scratch', 'wrk_elsewhere_1_old'), new Date(0), new Date(0));
    expect(await scratch.sweep()).toBe(3);
    expect((await readdir(join(home, 'scratch'))).sort()).toEqual(live.sort());
    await scratch.close();
    expect(await readdir(join(home, 'scratch'))).not.toContain(identity.id);
  });
});

describe('errors', () => {
  it.each([
    ['failed', new AmalgamError('shape_mismatch', 'x'), 'shape_mismatch'],
    ['failed', Object.assign(new Error('x'), { code: 'ENOSPC' }), 'storage_full'],
    ['trouble', new AmalgamError('storage_error', 'x'), 'storage_error'],
    ['trouble', Object.assign(new Error('x'), { code: 'P1017' }), 'unavailable'],
    ['bug', new TypeError('x'), 'internal'],
    ['bug', new AmalgamError('internal', 'ENOENT /secret'), 'internal'],
  ])('are %s: %s', (kind, error, code) => {
    const verdict = judge(error, 'att_1');
    expect([verdict.kind, verdict.error.code]).toEqual([kind, code]);
    expect(verdict.error.detail).not.toContain('secret');
  });
});

it('canonical JSON has one text for one value', () => {
  expect(canonical({ b: [{ d: 1, c: undefined }], a: 'x' })).toBe('{"a":"x","b":[{"d":1}]}');
  expect(canonical({ a: 'x', b: [{ d: 1 }] })).toBe(canonical({ b: [{ d: 1 }], a: 'x' }));
});

it('GET /metrics answers, and nothing else does', async () => {
  const server = await startMetricsServer('127.0.0.1', 0, createMetrics(), log);
  onTestFinished(() => void server.close());
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  expect(await (await fetch(`${url}/metrics`)).text()).toContain('amalgam_merges_total');
  expect((await fetch(url)).status).toBe(404);
});
