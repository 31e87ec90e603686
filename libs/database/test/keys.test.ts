import { describe, expect, it } from 'vitest';
import { range, useWorld } from './fixtures.js';

const world = useWorld();

describe('projects', () => {
  it('are made once by name, however many ask', async () => {
    const made = await Promise.all(range(10).map(() => world.db.projects.ensure('one')));
    expect(new Set(made.map(({ id }) => id)).size).toBe(1);
    expect((await world.db.projects.ensureDefaultProject()).id).toBe(world.projectId);
  });
});

describe('API keys', () => {
  it('open their project, and are kept only as a digest', async () => {
    const { key, token } = await world.db.apiKeys.createKey(world.projectId, { name: 'ci', scopes: ['merges:write'] });
    expect(token).toMatch(/^amk_[0-9A-Z]{26}_[0-9a-f]{48}$/);
    const found = await world.db.apiKeys.authenticate(token);
    expect(found).toMatchObject({ id: key.id, projectId: world.projectId, name: 'ci', scopes: ['merges:write'] });
    expect(found).not.toHaveProperty('secretSha256');
    const secret = token.split('_')[2] as string;
    const rows = await world.db.prisma.$queryRaw<{ row: string }[]>`SELECT api_keys::text AS row FROM api_keys`;
    expect(rows.map(({ row }) => row).join('\n')).not.toContain(secret);
  });

  it.each([
    ['nothing', ''],
    ['another shape', 'Bearer x'],
    ['an unknown key', `amk_${'0'.repeat(26)}_${'0'.repeat(48)}`],
    ['a NUL', 'amk_\0'],
  ])('refuses %s', async (_, token) => {
    await expect(world.db.apiKeys.authenticate(token)).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('refuses a right key with a wrong secret, also when it is revoked or expired', async () => {
    const { key, token } = await world.db.apiKeys.createKey(world.projectId, { name: 'x', expiresAt: new Date(0) });
    const wrong = `${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`;
    await expect(world.db.apiKeys.authenticate(token)).rejects.toMatchObject({ code: 'key_expired' });
    await expect(world.db.apiKeys.authenticate(wrong)).rejects.toMatchObject({ code: 'unauthorized' });
    await world.db.apiKeys.revoke(world.projectId, key.id);
    await expect(world.db.apiKeys.authenticate(token)).rejects.toMatchObject({ code: 'key_revoked' });
    await expect(world.db.apiKeys.authenticate(wrong)).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('notes the last use, once a minute', async () => {
    const { token } = await world.db.apiKeys.createKey(world.projectId, { name: 'used' });
    const lastUsed = async () => (await world.db.apiKeys.list(world.projectId)).at(-1)?.lastUsedAt;
    expect(await lastUsed()).toBeNull();
    await world.db.apiKeys.authenticate(token);
    const first = await lastUsed();
    expect(first).toBeInstanceOf(Date);
    await world.db.apiKeys.authenticate(token);
    expect(await lastUsed()).toEqual(first);
  });

  it('are revoked, listed and counted by their own project only', async () => {
    const { key } = await world.db.apiKeys.createKey(world.strangerId, { name: 'theirs' });
    await expect(world.db.apiKeys.revoke(world.projectId, key.id)).rejects.toMatchObject({ code: 'not_found' });
    expect(await world.db.apiKeys.list(world.strangerId)).toHaveLength(1);
    expect(await world.db.apiKeys.countKeys(world.strangerId)).toBe(1);
    const { revokedAt } = await world.db.apiKeys.revoke(world.strangerId, key.id);
    expect((await world.db.apiKeys.revoke(world.strangerId, key.id)).revokedAt).toEqual(revokedAt);
    expect(await world.db.apiKeys.countKeys(world.strangerId)).toBe(0);
    expect(await world.db.apiKeys.countKeys()).toBeGreaterThan(0);
  });
});
