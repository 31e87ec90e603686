import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, createClient } from '@amalgam/client';
import type { Merge, Recipe, Report } from '@amalgam/contracts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startTestService, type TestService } from '../support/service.js';
import { uploadZoo } from '../support/zoo-service.js';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 }); // processes start slowly on a busy machine

/** Some ten seconds: states are kept every three. */
const STEPS = 300;

let service: TestService;
let client: Client;
let recipe: Recipe;
let undisturbed: Report;
let weights: string;
beforeAll(async () => {
  service = await startTestService({ AMALGAM_DEVICE: 'cpu', AMALGAM_TUNING_THREADS: '1' });
  client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
  recipe = await uploadZoo(client, ['digits', 'blobs'], {
    method: 'adamerging',
    // The seed's shuffling is part of what must go on.
    parameters: { granularity: 'layer', steps: STEPS, seed: 7 },
  });
  const { id } = await client.merges.create({ recipe });
  const done = await client.merges.waitFor(id);
  expect(done.error).toBeNull();
  undisturbed = await client.merges.report(id);
  weights = digestOf(done);
});
afterAll(() => service?.stop());

function digestOf(merge: Merge): string {
  return merge.result!.files.find(({ path }) => path === 'model.safetensors')!.sha256!;
}

/** A merge that has told of at least so many steps. */
async function tunedFor(steps: number): Promise<string> {
  const { id } = await client.merges.create({ recipe });
  for await (const { data } of client.merges.events(id)) {
    const tuning = data['tuning'] as { step: number } | undefined;
    if (tuning !== undefined && tuning.step >= steps) return id;
  }
  throw new Error('the tuning told nothing on its way');
}

/** Until an attempt that follows could go on from what this one has kept. */
async function stateIsKept(id: string): Promise<void> {
  const folder = join(service.home, 'objects', 'results', id, 'tuning');
  for (;;) {
    const names = await readdir(folder).catch(() => []);
    if (names.some((name) => name.endsWith('.json'))) return;
    await sleep(50);
  }
}

describe('a tuning that is interrupted', () => {
  it('goes on where it was when its worker is killed, and ends with the same coefficients and bytes', async () => {
    const id = await tunedFor(1);
    await stateIsKept(id);
    for (const pid of service.workers()) process.kill(pid, 'SIGKILL');
    const done = await client.merges.waitFor(id);
    expect(done.state).toBe('succeeded');
    expect(done.attempts.map(({ state }) => state)).toEqual(['lost', 'succeeded']);
    const report = await client.merges.report(id);
    expect(report.coefficients).toEqual(undisturbed.coefficients);
    expect(report.losses).toEqual(undisturbed.losses);
    expect(report.tasks).toEqual(undisturbed.tasks);
    expect(digestOf(done)).toBe(weights);
    expect(report.tuning!.resumed_at).toHaveLength(1);
  });

  it('ends within seconds when it is canceled, and can be retried', async () => {
    const id = await tunedFor(5);
    const asked = performance.now();
    await client.merges.cancel(id);
    expect((await client.merges.waitFor(id)).state).toBe('canceled');
    expect(performance.now() - asked).toBeLessThan(3_000);
    await client.merges.retry(id);
    const done = await client.merges.waitFor(id);
    expect(done.state).toBe('succeeded');
    expect(digestOf(done)).toBe(weights);
  });
});

describe('what a tuning leaves', () => {
  it('is told in the merge and its report', async () => {
    expect(undisturbed.loss).toHaveLength(STEPS);
    expect(undisturbed.coefficients!.values).toHaveLength(undisturbed.tensors.length);
    expect(undisturbed.tuning).toMatchObject({ provider: 'cpu', threads: 1, steps: STEPS, resumed_at: [] });
    expect(undisturbed.tasks!.map(({ name }) => name)).toEqual(['digits', 'blobs']);
    for (const { accuracy, individual, base } of undisturbed.tasks!) {
      expect(individual.accuracy).toBeGreaterThan(base!.accuracy!);
      expect(accuracy).toBeGreaterThan(base!.accuracy!);
    }
    const { planning, tuning, evaluating, merging, total } = undisturbed.seconds;
    expect(total).toBeGreaterThan(planning! + tuning! + evaluating! + merging!);
  });
});
