import { expect } from 'vitest';
import type { Stack } from '../../apps/worker/test/stack.js';

/** A merge that succeeded once, whatever happened on the way: the bytes, the events, the one result. */
export async function expectOneSuccess(stack: Stack, id: string, weights: Record<string, string>): Promise<void> {
  const merge = await stack.merge(id);
  expect(merge).toMatchObject({ state: 'succeeded', error: null });
  expect(await stack.weightDigests(id)).toEqual(weights);
  const digests = await stack.resultDigests(id);
  for (const { path, sha256 } of merge.result?.files ?? []) expect([path, digests.get(path)]).toEqual([path, sha256]);

  const events = await stack.events(id);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
  expect(events.filter(({ type }) => type === 'merge.succeeded')).toHaveLength(1);
  expect(events.at(-1)?.type).toBe('merge.succeeded');
  expect(merge.attempts.filter(({ state }) => state === 'succeeded')).toHaveLength(1);
  expect(await results(stack, id)).toHaveLength(1);
  // Nothing lies beside the result, and what the row says of its objects is true.
  const row = await stack.parts.database.checkpoints.get(stack.projectId, merge.result?.checkpoint_id ?? '');
  const keys = row?.files.map(({ path }) => `${row.storePrefix}/${path}`).sort();
  expect(await stack.keys(`results/${id}/`)).toEqual(keys);
  for (const { path, etag } of row?.files ?? []) {
    expect([path, (await stack.parts.store.head(`${row?.storePrefix}/${path}`))?.etag]).toEqual([path, etag]);
  }
}

/** While a merge is not over nobody may see a result, and once there is one it must be whole. */
export async function expectNothingHalf(stack: Stack, id: string): Promise<void> {
  const merge = await stack.merge(id);
  if (merge.result === null) {
    expect(merge.state).not.toBe('succeeded');
    return;
  }
  expect(merge.state).toBe('succeeded');
  const row = await stack.parts.database.checkpoints.get(stack.projectId, merge.result.checkpoint_id);
  for (const { path, bytes } of row?.files ?? []) {
    const object = await stack.parts.store.head(`${row?.storePrefix}/${path}`);
    expect([path, object?.bytes]).toEqual([path, Number(bytes)]);
  }
}

function results(stack: Stack, mergeId: string): Promise<unknown[]> {
  return stack.parts.database.prisma.asset.findMany({ where: { mergeId }, select: { id: true } });
}

/** The weights of a run that nothing disturbs. */
export async function undisturbed(stack: Stack, create: () => Promise<string>): Promise<Record<string, string>> {
  const worker = await stack.startWorker();
  const id = await create();
  await stack.untilFinal(id);
  const weights = await stack.weightDigests(id);
  await worker.close();
  return weights;
}
