import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { ObjectStore } from '@amalgam/storage';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Page, readPages } from '../services/dashboard-files.js';
import type { Api } from '../types.js';

/**
 * Its own files and the API only; nothing inline, nothing from elsewhere, in nobody's frame. Where objects lie in S3, files are
 * sent and read there.
 */
async function policyOf(store: ObjectStore): Promise<string> {
  // Only a link tells: the bucket may be in the host's name, and its public address another one.
  const link = store.kind === 'file' ? null : await store.signedGetUrl('checkpoints', { expiresSeconds: 60 });
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `connect-src 'self'${link === null ? '' : ` ${new URL(link).origin}`}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join(';');
}

const NOT_BUILT = `Amalgam

The dashboard is not built: npm run build makes it. The API is there all the same, and /docs describes it.
`;

/** The dashboard at `/`, one route for each of its files: they are few, and paths that are nothing stay 404. */
export async function dashboardRoutes(app: Api, options: { folder?: string | undefined }): Promise<void> {
  const pages = readPages(options.folder ?? builtDashboard());
  if (pages === null) {
    app.get('/', { schema: { hide: true } }, async (_request, reply) =>
      reply.code(503).header('cache-control', 'no-store').type('text/plain; charset=utf-8').send(NOT_BUILT),
    );
    return;
  }
  const policy = await policyOf(app.parts.store);
  for (const page of pages) {
    app.get(page.url, { schema: { hide: true } }, async (request, reply) => sendPage(request, reply, page, policy));
  }
}

function sendPage(request: FastifyRequest, reply: FastifyReply, page: Page, policy: string): FastifyReply {
  reply.headers({
    etag: page.etag,
    vary: 'accept-encoding',
    'cache-control': page.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
    'content-security-policy': policy,
  });
  if (request.headers['if-none-match'] === page.etag) return reply.code(304).send();
  const accepted = String(request.headers['accept-encoding'] ?? '').split(/\s*,\s*/);
  const packed = page.encodings.find(({ name }) => accepted.includes(name));
  if (packed !== undefined) reply.header('content-encoding', packed.name);
  return reply.type(page.type).send(packed?.bytes ?? page.bytes);
}

function builtDashboard(): string {
  return join(dirname(createRequire(import.meta.url).resolve('@amalgam/dashboard/package.json')), 'dist/web');
}
