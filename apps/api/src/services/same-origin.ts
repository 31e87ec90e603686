import { AmalgamError } from '@amalgam/contracts';
import type { FastifyRequest } from 'fastify';

const READING = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * A browser sends the session's cookie by itself, so another site's page could make it send requests: SameSite=Strict keeps
 * the cookie back, and this refuses what comes with it nevertheless. Writing needs an Origin header that names this service.
 *
 * @throws AmalgamError `forbidden`
 */
export function assertSameOrigin(request: FastifyRequest, publicUrl: string): void {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') throw foreign(`Sec-Fetch-Site: ${site}`);
  if (READING.has(request.method)) return;
  const { origin } = request.headers;
  if (origin === undefined) throw foreign('no Origin header');
  if (!isOurs(origin, request.headers.host, publicUrl)) throw foreign(`Origin: ${origin}`);
}

/** Whether a page of that origin is ours: of the host that was asked, or of the address that clients are told. */
export function isOurs(origin: string, host: string | undefined, publicUrl: string): boolean {
  if (!URL.canParse(origin)) return false;
  return new URL(origin).host === host || origin === new URL(publicUrl).origin;
}

function foreign(what: string): AmalgamError {
  return new AmalgamError('forbidden', `a session serves only the service’s own pages (${what.slice(0, 200)})`);
}
