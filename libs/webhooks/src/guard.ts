import { lookup as systemLookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { AmalgamError } from '@amalgam/contracts';
import { Agent, buildConnector } from 'undici';
import { notPublic, rangeHolds } from './addresses.js';

/** Where webhooks may go. The default (`PUBLIC_ONLY`) is the public internet over https. */
export interface WebhookPolicy {
  allowHttp: boolean;
  /** CIDRs, addresses or host names that may be reached although they are not public; `127.0.0.1`, say. */
  allowedPrivate: string[];
  /**
   * Default: 443, and 80 when http is allowed, for public hosts; any port for hosts that `allowedPrivate` names.
   */
  allowedPorts?: number[];
}

export const PUBLIC_ONLY: WebhookPolicy = { allowHttp: false, allowedPrivate: [] };

export interface ResolvedAddress {
  address: string;
  family: number;
}

/** Resolves a host name to all its addresses. */
export type Lookup = (hostname: string) => Promise<ResolvedAddress[]>;

const LOOKUP_TIMEOUT_MS = 10_000;
const BLOCKED_NAMES = new Set(['localhost', 'metadata', 'metadata.goog', 'instance-data']);
const BLOCKED_SUFFIXES = ['.localhost', '.internal', '.local', '.localdomain'];

/**
 * Checks a URL when it is registered: scheme, credentials, name, every address of the host, port. Throws
 * `webhook_not_allowed` with the rule that is broken. An answer of the DNS may change later, which is why
 * deliveries go through `guardedAgent`.
 */
export async function checkUrl(text: string, policy: WebhookPolicy, lookup: Lookup = resolveAll): Promise<URL> {
  const url = parseUrl(text, policy);
  await checkHost(url.hostname, portOf(url), policy, lookup);
  return url;
}

/** The checks that need no DNS. */
export function parseUrl(text: string, policy: WebhookPolicy): URL {
  if (!URL.canParse(text)) throw notAllowed('the webhook URL cannot be parsed');
  const url = new URL(text);
  if (url.protocol !== 'https:' && !(policy.allowHttp && url.protocol === 'http:')) {
    throw notAllowed(`the scheme must be ${policy.allowHttp ? 'https or http' : 'https'}, not ${url.protocol}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw notAllowed('the webhook URL must not hold a user name or password');
  }
  return url;
}

/**
 * An undici agent that resolves a host once, checks every address, and connects to those very addresses: a name
 * that resolves differently a moment later (DNS rebinding) gains nothing. Literal addresses are checked too.
 */
export function guardedAgent(
  policy: WebhookPolicy,
  { lookup = resolveAll, connectTimeoutMs = 10_000 }: { lookup?: Lookup; connectTimeoutMs?: number } = {},
): Agent {
  return new Agent({
    pipelining: 0,
    connect: (options, callback) => {
      const https = options.protocol === 'https:';
      const port = Number(options.port || (https ? 443 : 80));
      checkHost(options.hostname, port, policy, lookup).then(
        (addresses) => connectTo(addresses, connectTimeoutMs)(options, callback),
        (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), null),
      );
    },
  });
}

/** A connector that knows no other addresses than the given ones. The host name stays, for TLS to verify. */
function connectTo(addresses: ResolvedAddress[], timeout: number): buildConnector.connector {
  return buildConnector({
    timeout,
    lookup: (_hostname, options, callback) => {
      const [first] = addresses;
      if (options.all === true) callback(null, addresses);
      else callback(null, first?.address ?? '', first?.family);
    },
  });
}

/** The addresses of a host, all of which the policy allows to be reached on the port. */
async function checkHost(
  hostname: string,
  port: number,
  policy: WebhookPolicy,
  lookup: Lookup,
): Promise<ResolvedAddress[]> {
  // In URLs IPv6 addresses have brackets, and a final dot makes a name absolute without changing it.
  const host = hostname
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase();
  const allowed = allowList(policy);
  const named = allowed.hosts.has(host);
  if (!named && (BLOCKED_NAMES.has(host) || BLOCKED_SUFFIXES.some((suffix) => host.endsWith(suffix)))) {
    throw notAllowed(`the host ${host} is a name of this machine or its network`);
  }

  const literal = isIP(host);
  const addresses = literal !== 0 ? [{ address: host, family: literal }] : await resolve(host, lookup);
  let trusted = true;
  for (const { address } of addresses) {
    if (named || allowed.ranges.some((holds) => holds(address))) continue;
    trusted = false;
    const reason = notPublic(address);
    // The address itself stays out of the message: it would tell strangers about the network here.
    if (reason !== null) throw notAllowed(`the host ${host} ${literal !== 0 ? 'is' : 'resolves to'} ${reason}`);
  }

  const ports = policy.allowedPorts ?? (trusted ? null : policy.allowHttp ? [443, 80] : [443]);
  if (ports !== null && !ports.includes(port)) {
    throw notAllowed(`the port must be ${ports.join(' or ')}, not ${port}`);
  }
  return addresses;
}

async function resolve(host: string, lookup: Lookup): Promise<ResolvedAddress[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('timeout')), LOOKUP_TIMEOUT_MS);
  });
  try {
    const addresses = await Promise.race([lookup(host), late]);
    if (addresses.length === 0) throw new Error('no addresses');
    return addresses;
  } catch (error) {
    throw new AmalgamError('webhook_not_allowed', `the host ${host} does not resolve`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function resolveAll(hostname: string): Promise<ResolvedAddress[]> {
  return systemLookup(hostname, { all: true });
}

function allowList(policy: WebhookPolicy): { hosts: Set<string>; ranges: ((address: string) => boolean)[] } {
  const hosts = new Set<string>();
  const ranges: ((address: string) => boolean)[] = [];
  for (const entry of policy.allowedPrivate) {
    const text = entry
      .trim()
      .replace(/^\[(.*)\]$/, '$1')
      .toLowerCase();
    const holds = rangeHolds(text);
    if (holds !== null) ranges.push(holds);
    else if (/^[a-z0-9_]([a-z0-9._-]*[a-z0-9])?$/.test(text)) hosts.add(text);
    else throw new TypeError(`allowedPrivate: "${entry}" is no CIDR, address or host name`);
  }
  return { hosts, ranges };
}

function portOf(url: URL): number {
  return Number(url.port || (url.protocol === 'https:' ? 443 : 80));
}

function notAllowed(rule: string): AmalgamError {
  return new AmalgamError('webhook_not_allowed', rule);
}
