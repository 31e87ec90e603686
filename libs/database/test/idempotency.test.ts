import { describe, expect, it } from 'vitest';
import { toMergeResource } from '../src/index.js';
import { makeCheckpoint, mergeOf, range, useWorld } from './fixtures.js';

const world = useWorld();
const request = { route: 'POST /v1/merges', requestHash: 'aa' };
const response = { status: 202, headers: { location: '/x' }, body: { z: 1, a: { secret: 'whsec_shown_once' } } };

async function begin(key: string, other = {}) {
  return world.db.idempotency.begin(world.projectId, key, { ...request, ...other });
}

async function token(key: string): Promise<string> {
  const begun = await begin(key);
  if (begun.kind !== 'new') throw new Error('not new');
  return begun.token;
}

async function age(key: string): Promise<void> {
  await world.db.prisma.$executeRaw`
    UPDATE idempotency_keys SET locked_at = now() - interval '61 seconds' WHERE key = ${key}`;
}

describe('an Idempotency-Key', () => {
  it('replays the first answer, byte for byte', async () => {
    const held = await token('replay');
    await expect(begin('replay')).rejects.toMatchObject({ code: 'idempotency_in_progress' });
    expect(await world.db.idempotency.complete(world.projectId, 'replay', held, response)).toBe(true);
    const again = await begin('replay');
    expect(again).toEqual({ kind: 'replay', ...response });
    expect(again.kind === 'replay' && JSON.stringify(again.body)).toBe(JSON.stringify(response.body));
    const rows = await world.db.prisma.$queryRaw<{ text: string }[]>`
      SELECT idempotency_keys::text AS text FROM idempotency_keys WHERE key = 'replay'`;
    expect(rows[0]?.text).not.toContain('whsec_shown_once');
  });

  it('belongs to one request: another body or route is refused', async () => {
    await token('reused');
    for (const other of [{ requestHash: 'bb' }, { route: 'POST /v1/checkpoints' }]) {
      await expect(begin('reused', other)).rejects.toMatchObject({ code: 'idempotency_key_reused' });
    }
  });

  it('belongs to one project', async () => {
    await token('shared');
    expect(await world.db.idempotency.begin(world.strangerId, 'shared', request)).toMatchObject({ kind: 'new' });
  });

  it('goes to one of 20 requests', async () => {
    const all = await Promise.allSettled(range(20).map(() => begin('race')));
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of all) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'idempotency_in_progress' });
    }
  });

  it('is free again when the request was not valid', async () => {
    const held = await token('invalid');
    await world.db.idempotency.abandon(world.projectId, 'invalid', held);
    expect(await begin('invalid', { requestHash: 'corrected' })).toMatchObject({ kind: 'new' });
    await world.db.idempotency.abandon(world.projectId, 'invalid', held); // of no effect: another holds it
    await expect(begin('invalid', { requestHash: 'corrected' })).rejects.toMatchObject({
      code: 'idempotency_in_progress',
    });
  });

  it('goes to one later request when the first was cut off, which cannot answer any more', async () => {
    const dead = await token('stale');
    await age('stale');
    const all = await Promise.allSettled(range(10).map(() => begin('stale')));
    const won = all.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(won).toHaveLength(1);
    expect(await world.db.idempotency.complete(world.projectId, 'stale', dead, response)).toBe(false);
    const held = won[0]?.kind === 'new' ? won[0].token : '';
    expect(await world.db.idempotency.complete(world.projectId, 'stale', held, response)).toBe(true);
  });

  it('is forgotten after its time', async () => {
    await token('old');
    await world.db.prisma.$executeRaw`
      UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'old'`;
    expect(await world.db.idempotency.purge(24 * 3_600_000)).toBe(1);
    expect(await begin('old', { requestHash: 'other' })).toMatchObject({ kind: 'new' });
  });
});

describe('a merge with an Idempotency-Key', () => {
  it('and its answer are written together', async () => {
    const { id } = await makeCheckpoint(world);
    const held = await token('merge');
    const merge = await world.db.merges.create(world.projectId, mergeOf(id), {
      idempotency: {
        key: 'merge',
        token: held,
        respond: (row) => ({ status: 202, headers: {}, body: toMergeResource(row) }),
      },
    });
    expect(await begin('merge')).toEqual({ kind: 'replay', status: 202, headers: {}, body: toMergeResource(merge) });
  });

  it('is not made when a later request took the key over', async () => {
    const { id } = await makeCheckpoint(world);
    const dead = await token('late');
    await age('late');
    await begin('late');
    const before = await world.db.prisma.merge.count();
    await expect(
      world.db.merges.create(world.projectId, mergeOf(id), {
        idempotency: { key: 'late', token: dead, respond: () => response },
      }),
    ).rejects.toMatchObject({ code: 'idempotency_in_progress' });
    expect(await world.db.prisma.merge.count()).toBe(before);
  });
});
