import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import type { Problem } from '@amalgam/contracts';
import { connect } from '@amalgam/database';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../src/free-port.js';
import { buildApp } from '../src/index.js';
import { useWorld } from './support/world.js';

/** The way to the database, which can be cut. */
class Cable {
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(
    readonly port: number,
    private readonly target: URL,
  ) {}

  async plug(): Promise<void> {
    const server = createServer((socket) => {
      const other = dial(Number(this.target.port), this.target.hostname);
      for (const end of [socket, other]) {
        this.#sockets.add(end);
        end.on('error', () => {}).on('close', () => this.#sockets.delete(end));
      }
      socket.pipe(other).pipe(socket);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
  }

  async cut(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server?.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

describe('while the database is away', () => {
  const world = useWorld();
  let cable: Cable;
  let close: () => Promise<void>;
  let get: (url: string) => Promise<{ status: number; body: Problem }>;
  beforeAll(async () => {
    const url = new URL(world.config.databaseUrl!);
    cable = new Cable(await freePort(), new URL(url));
    await cable.plug();
    url.hostname = '127.0.0.1';
    url.port = String(cable.port);
    const database = await connect({ url: url.href, secretKey: world.config.secretKey });
    const app = await buildApp({ config: world.config, log: world.log, parts: { ...world.parts, database } });
    close = async () => {
      await app.close();
      await database.close();
    };
    get = async (path) => {
      const response = await app.inject({ url: path, headers: { authorization: `Bearer ${world.token}` } });
      return { status: response.statusCode, body: response.json<Problem>() };
    };
  });
  afterAll(async () => {
    await close?.();
    await cable?.cut();
  });

  it('says 503 and nothing about the database, lives on, and is ready again when the database is', async () => {
    expect((await get('/v1/merges')).status).toBe(200);
    await cable.cut();
    const refused = await get('/v1/merges');
    expect({ status: refused.status, code: refused.body.code }).toEqual({ status: 503, code: 'unavailable' });
    expect(JSON.stringify(refused.body)).not.toMatch(/127\.0\.0\.1|ECONN|prisma/i);
    expect(await get('/readyz')).toMatchObject({ status: 503, body: { errors: [{ pointer: '/database' }] } });
    expect((await get('/healthz')).status).toBe(200);
    await cable.plug();
    await expect.poll(async () => (await get('/readyz')).status).toBe(200);
    expect((await get('/v1/merges')).status).toBe(200);
  });
});
