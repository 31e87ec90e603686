import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** What happens to one request: an S3 error instead of it, its answer lost, or the answer's body cut after some bytes. */
export type Fault = { status: number; code: string } | 'lose the answer' | { cutAfter: number };

export interface FaultProxy {
  endpoint: string;
  /** Asked for each request, by verb and target; null lets it through. */
  fault: (verb: string, target: string) => Fault | null;
  stop(): Promise<void>;
}

/** A server between the driver and an S3 service that breaks what it is told to. */
export async function faultProxy(upstream: string): Promise<FaultProxy> {
  const server = createServer((incoming, outgoing) => {
    forward(incoming, outgoing).catch(() => outgoing.destroy());
  });
  const { hostname, port } = new URL(upstream);
  const proxy: FaultProxy = {
    endpoint: '',
    fault: () => null,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  async function forward(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = incoming;
    const body = await buffer(incoming);
    const fault = proxy.fault(method, url);
    if (fault !== null && typeof fault === 'object' && 'status' in fault) {
      outgoing.writeHead(fault.status, { 'content-type': 'application/xml' });
      outgoing.end(`<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>made up</Message></Error>`);
      return;
    }
    // The client signed the proxy's Host header, so that is what the service gets to see.
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ hostname, port, method, path: url, headers }, resolve).on('error', reject).end(body);
    });
    const bytes = await buffer(answer);
    if (fault === 'lose the answer') {
      outgoing.destroy();
      return;
    }
    outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
    if (fault === null) outgoing.end(bytes);
    else outgoing.write(bytes.subarray(0, fault.cutAfter), () => outgoing.destroy());
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return proxy;
}
