import { expect, it } from 'vitest';
import { Vault } from '../src/crypto.js';
import { statementNames } from '../src/statement-names.js';
import { inTransaction } from '../src/transaction.js';
import { makeCheckpoint, range, useWorld } from './fixtures.js';

const world = useWorld();

it('runs the victim of a deadlock again, also when plain SQL met it', async () => {
  const [a, b] = await Promise.all([makeCheckpoint(world, 'a'), makeCheckpoint(world, 'b')]);
  const context = { prisma: world.db.prisma, vault: new Vault([]) };
  let arrived = 0;
  let tries = 0;
  let meet: () => void = () => {};
  const met = new Promise<void>((resolve) => {
    meet = resolve;
  });
  const lockBoth = (first: string, second: string) =>
    inTransaction(context, async (tx) => {
      tries++;
      await tx.$executeRaw`SELECT 1 FROM assets WHERE id = ${first} FOR UPDATE`;
      if (++arrived === 2) meet();
      await met;
      await tx.$executeRaw`SELECT 1 FROM assets WHERE id = ${second} FOR UPDATE`;
    });
  await Promise.all([lockBoth(a.id, b.id), lockBoth(b.id, a.id)]);
  expect(tries).toBe(3);
});

it('names statements by their text, and not without end', () => {
  const name = statementNames();
  const names = range(400).map((i) => name({ sql: `SELECT ${i}` }));
  expect(names[0]).not.toBe('');
  expect(name({ sql: 'SELECT 0' })).toBe(names[0]);
  const given = names.filter((text) => text !== '');
  expect(new Set(given).size).toBe(given.length);
  expect(given.length).toBeLessThan(400);
});
