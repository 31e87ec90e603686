import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chunksOf } from '../src/index.js';

/** Answers with `head` and then falls silent, but for /all, which ends. */
const server = createServer((request, response) => {
  response.writeHead(200).write('head');
  if (request.url === '/all') response.end(' and rest');
});
let address = '';
let collectGarbage: () => void;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  setFlagsFromString('--expose_gc');
  collectGarbage = runInNewContext('gc') as () => void;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function read(path: string, signal?: AbortSignal, onChunk = () => {}): Promise<string> {
  const { body } = await fetch(address + path, signal === undefined ? {} : { signal });
  let text = '';
  for await (const chunk of chunksOf(body!, signal)) {
    text += new TextDecoder().decode(chunk);
    onChunk();
  }
  return text;
}

describe('chunks of a body', () => {
  it('are all of them', async () => {
    expect(await read('/all')).toBe('head and rest');
    expect(await read('/all', new AbortController().signal)).toBe('head and rest');
  });

  it('end with the reason when the signal is aborted, also when nothing holds the request any more', async () => {
    const stop = new AbortController();
    let came = () => {};
    const first = new Promise<void>((resolve) => {
      came = resolve;
    });
    const reading = read('/', stop.signal, came);
    await first;
    for (let i = 0; i < 5; i++) {
      await sleep(20);
      collectGarbage();
    }
    stop.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
  });

  it('release the connection of who reads no further', async () => {
    const { body } = await fetch(`${address}/`);
    for await (const chunk of chunksOf(body!, undefined)) {
      expect(chunk.byteLength).toBe(4);
      break;
    }
    while ((await connections()) > 0) await sleep(10);
  });
});

function connections(): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}
