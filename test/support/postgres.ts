import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { inject } from 'vitest';
import { execute, type TestServer, toDatabase } from './postgres-server.js';

export interface TestDatabase {
  url: string;
  stop(): Promise<void>;
}

let server: Promise<TestServer> | undefined;

/** A fresh database of its own on the server that all tests share. Migrated, unless `migrated: false`. */
export async function startTestDatabase(options: { migrated?: boolean } = {}): Promise<TestDatabase> {
  server ??= askForServer();
  const { url, template } = await server;
  const name = `test_${randomBytes(8).toString('hex')}`;
  await execute(url, `CREATE DATABASE ${name}${options.migrated === false ? '' : ` TEMPLATE ${template}`}`);
  let stopped: Promise<void> | undefined;
  return {
    url: toDatabase(url, name),
    stop: () => {
      stopped ??= execute(url, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      return stopped;
    },
  };
}

async function askForServer(): Promise<TestServer> {
  const answer = JSON.parse(await text(connect(inject('postgresSocket')))) as TestServer | { error: string };
  if ('error' in answer) throw new Error(`no PostgreSQL for tests: ${answer.error}`);
  return answer;
}
