import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  at: number;
}

export interface Receiver {
  url: string;
  received: Received[];
  /** Waits until so many have come. */
  until(count: number, ms?: number): Promise<void>;
  close(): Promise<void>;
}

/** A webhook receiver on the loopback address. `answer` gives the status, and headers if need be. */
export async function startReceiver(
  answer: (received: Received, index: number) => { status: number; headers?: Record<string, string>; waitMs?: number },
): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const one = { headers: request.headers, body: Buffer.concat(chunks).toString(), at: Date.now() };
    const { status, headers, waitMs = 0 } = answer(one, received.push(one) - 1);
    await sleep(waitMs);
    response.writeHead(status, headers).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    until: async (count, ms = 20_000) => {
      for (const deadline = Date.now() + ms; received.length < count; await sleep(20)) {
        if (Date.now() > deadline) throw new Error(`${received.length} of ${count} webhooks came`);
      }
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
