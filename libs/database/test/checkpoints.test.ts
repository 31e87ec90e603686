import { Checkpoint, validate } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { toCheckpointResource } from '../src/index.js';
import { contents, makeCheckpoint, mergeOf, range, useWorld } from './fixtures.js';

const world = useWorld();
const HOUR = 3_600_000;

async function begin(name = 'up', expiresAt = new Date(Date.now() + HOUR)) {
  return world.db.checkpoints.createUpload(world.projectId, {
    name,
    storePrefix: `checkpoints/${name}/`,
    files: [
      { path: 'model.safetensors', bytes: 72, sha256: 'cd'.repeat(32) },
      { path: 'config.json', bytes: 2 },
    ],
    metadata: { team: 'a' },
    expiresAt,
  });
}

describe('uploads', () => {
  it('go from pending to ready with what was seen', async () => {
    const { id, state, files } = await begin();
    expect(state).toBe('pending');
    expect(files.map((file) => [file.path, file.expectedSha256, file.uploaded])).toEqual([
      ['model.safetensors', 'cd'.repeat(32), false],
      ['config.json', null, false],
    ]);
    expect(await world.db.checkpoints.setFileDigest(world.projectId, id, 'config.json', { uploaded: true })).toBe(true);
    expect(await world.db.checkpoints.setFileDigest(world.projectId, id, 'other', { uploaded: true })).toBe(false);
    const seen = { ...contents(), files: [...contents().files, { path: 'config.json', bytes: 2 }] };
    const ready = await world.db.checkpoints.markReady(world.projectId, id, seen);
    expect(ready).toMatchObject({ state: 'ready', expiresAt: null, tensors: 1, parameters: 4n, bytes: 74n });
    const resource = toCheckpointResource(ready);
    expect(validate(Checkpoint, resource)).toMatchObject({ ok: true });
    expect(resource.files).toEqual([
      { path: 'model.safetensors', bytes: 72, sha256: 'ab'.repeat(32) },
      { path: 'config.json', bytes: 2, sha256: null },
    ]);
    expect(await world.db.checkpoints.inventory(world.projectId, id)).toEqual({
      tensors: contents().inventory,
      configs: contents().configs,
    });
  });

  it('are completed once: the second time nothing changes', async () => {
    const { id } = await begin();
    const all = await Promise.all(
      range(5).map((at) => world.db.checkpoints.markReady(world.projectId, id, { ...contents(), tensors: at + 1 })),
    );
    expect(new Set(all.map(({ tensors }) => tensors)).size).toBe(1);
  });

  it('are given up when their time is over', async () => {
    const { id } = await begin('late', new Date(Date.now() - 1000));
    const { id: open } = await begin('open');
    const expired = await world.db.checkpoints.expirePending();
    expect(expired.map((row) => row.id)).toEqual([id]);
    expect(await world.db.checkpoints.get(world.projectId, id)).toBeNull();
    expect(await world.db.checkpoints.get(world.projectId, open)).not.toBeNull();
    await expect(world.db.checkpoints.markReady(world.projectId, id, contents())).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

describe('deletion', () => {
  it('is refused while an unfinished merge reads the checkpoint', async () => {
    const { id } = await makeCheckpoint(world);
    const merge = await world.db.merges.create(world.projectId, mergeOf(id));
    await expect(world.db.checkpoints.softDelete(world.projectId, id)).rejects.toMatchObject({
      code: 'checkpoint_in_use',
      message: expect.stringContaining(merge.id),
    });
    await world.db.control.requestCancel(world.projectId, merge.id);
    expect((await world.db.checkpoints.softDelete(world.projectId, id)).state).toBe('deleted');
    await expect(world.db.checkpoints.softDelete(world.projectId, id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(world.db.control.retry(world.projectId, merge.id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('and the creation of a merge cannot both win', async () => {
    for (const _ of range(10)) {
      const { id } = await makeCheckpoint(world);
      const [merge, deletion] = await Promise.allSettled([
        world.db.merges.create(world.projectId, mergeOf(id)),
        world.db.checkpoints.softDelete(world.projectId, id),
      ]);
      expect([merge.status, deletion.status].sort()).toEqual(['fulfilled', 'rejected']);
    }
  });
});

describe('what is kept', () => {
  it('is only what Postgres can keep', async () => {
    for (const name of ['a\0b', 'a\ud800b']) {
      await expect(makeCheckpoint(world, name)).rejects.toMatchObject({
        code: 'invalid_request',
        errors: [{ pointer: '/name' }, { pointer: '/uri' }],
      });
    }
    expect((await makeCheckpoint(world, '模型 😀')).name).toBe('模型 😀');
  });

  it('may be larger than 32 bits', async () => {
    const big = { ...contents(), files: [{ path: 'a', bytes: 2 ** 45 }], parameters: 2 ** 44 };
    const row = await world.db.checkpoints.createRegistered(world.projectId, { ...big, name: 'big', uri: 's3://b/p' });
    expect(toCheckpointResource(row)).toMatchObject({ bytes: 2 ** 45, parameters: 2 ** 44 });
  });
});

describe('lists', () => {
  it('are complete and stable while new ones arrive, newest first', async () => {
    const { id: projectId } = await world.db.projects.ensure('lists');
    const own = { ...world, projectId };
    for (const at of range(7)) await makeCheckpoint(own, `c${at}`);
    const names: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await world.db.checkpoints.list(projectId, {
        limit: 3,
        ...(cursor === undefined ? {} : { cursor }),
      });
      names.push(...page.data.map(({ name }) => name));
      cursor = page.next_cursor ?? undefined;
      expect(page.has_more).toBe(cursor !== undefined);
      await makeCheckpoint(own, 'new');
    } while (cursor !== undefined);
    expect(names).toEqual(['c6', 'c5', 'c4', 'c3', 'c2', 'c1', 'c0']);
  });

  it('filter by state, metadata and name', async () => {
    const { id } = await begin('50%_odd');
    const ids = async (filter: Parameters<typeof world.db.checkpoints.list>[1]) =>
      (await world.db.checkpoints.list(world.projectId, filter)).data.map((row) => row.id);
    expect(await ids({ name: '50%_O' })).toEqual([id]);
    expect(await ids({ name: '50__odd' })).toEqual([]);
    expect(await ids({ state: 'ready', metadata: { team: 'a' }, name: 'odd' })).toEqual([]);
    expect(await ids({ state: 'pending', metadata: { team: 'a' }, name: 'odd' })).toEqual([id]);
    expect(await ids({ metadata: { team: 'b' } })).toEqual([]);
  });

  it.each([{ limit: 0 }, { limit: 101 }, { limit: 1.5 }, { cursor: 'x' }, { cursor: 'mrg_01' }])(
    'refuse %o',
    async (page) => {
      await expect(world.db.checkpoints.list(world.projectId, page)).rejects.toMatchObject({ code: 'invalid_request' });
    },
  );
});

describe('configs', () => {
  it('are kept whatever text they hold, and are not read for lists', async () => {
    const configs = { config: { nul: 'a\0b', half: '\ud800', __proto__x: [1, null] }, adapterConfig: { r: 8 } };
    const uri = 'file:///models/configs';
    const row = await world.db.checkpoints.createRegistered(world.projectId, {
      ...contents(),
      configs,
      name: 'configs',
      uri,
    });
    expect(row).not.toHaveProperty('configs');
    expect((await world.db.checkpoints.inventory(world.projectId, row.id))?.configs).toEqual(configs);
  });

  it('are null for checkpoints that were described before they were kept', async () => {
    const { id } = await makeCheckpoint(world);
    await world.db.prisma.$executeRaw`UPDATE assets SET configs = NULL WHERE id = ${id}`;
    const kept = await world.db.checkpoints.inventory(world.projectId, id);
    expect(kept?.configs).toEqual({ config: null, adapterConfig: null });
  });
});

describe('another project', () => {
  it('sees and changes nothing', async () => {
    const { id } = await begin();
    const { checkpoints } = world.db;
    expect(await checkpoints.get(world.strangerId, id)).toBeNull();
    expect(await checkpoints.inventory(world.strangerId, id)).toBeNull();
    expect((await checkpoints.list(world.strangerId)).data).toEqual([]);
    expect(await checkpoints.setFileDigest(world.strangerId, id, 'config.json', { uploaded: true })).toBe(false);
    await expect(checkpoints.markReady(world.strangerId, id, contents())).rejects.toMatchObject({ code: 'not_found' });
    await expect(checkpoints.softDelete(world.strangerId, id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(world.db.merges.create(world.strangerId, mergeOf(id))).rejects.toMatchObject({ code: 'not_found' });
    expect((await checkpoints.get(world.projectId, id))?.state).toBe('pending');
  });
});
