import { readdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isAmalgamError } from '@amalgam/contracts';
import { FileStore, verifySignedUrl } from '../src/index.js';
import { tempFolder } from './helpers.js';
import { type Subject, storeContract } from './store.contract.js';

const SECRET = 'a secret of the test';

storeContract('file driver', async (): Promise<Subject> => {
  const root = tempFolder();
  const http = createServer();
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(http.address() as AddressInfo).port}/behind/a/proxy`;
  const store = new FileStore({ root, baseUrl, secret: SECRET });
  serveLinks(http, store);
  return {
    store,
    async leaveUnfinished() {
      writeFileSync(join(root, '.tmp', `left-${readdirSync(join(root, '.tmp')).length}`), 'half of it');
    },
    async stop() {
      await store.close();
      http.closeAllConnections();
      http.close();
    },
  };
});

/** What the API does with the file driver's links, in small. */
function serveLinks(http: Server, store: FileStore): void {
  http.on('request', async (request, response) => {
    try {
      const link = verifySignedUrl(SECRET, request.method ?? '', request.url ?? '');
      if (link.method === 'GET') {
        const name = link.filename === null ? '' : `; filename*=UTF-8''${encodeURIComponent(link.filename)}`;
        response.setHeader('content-disposition', `attachment${name.replace(';', '; filename="x";')}`);
        await pipeline(await store.stream(link.key), response);
      } else if (request.headers['content-length'] !== String(link.bytes)) {
        response.writeHead(400).end();
      } else if (link.part !== null) {
        const upload = await store.findParts(link.key);
        await upload?.put(link.part, request, link.bytes ?? 0);
        response.writeHead(upload === null ? 404 : 200).end();
      } else {
        await store.putStream(link.key, request, { maxBytes: link.bytes ?? 0 });
        response.end();
      }
    } catch (error) {
      response.writeHead(isAmalgamError(error) ? error.status : 500).end();
    }
  });
}
