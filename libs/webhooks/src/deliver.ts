import { isAmalgamError } from '@amalgam/contracts';
import { type Dispatcher, request } from 'undici';
import { guardedAgent, type Lookup, parseUrl, type WebhookPolicy } from './guard.js';
import { parseRetryAfter } from './schedule.js';
import { signedHeaders } from './sign.js';

export interface DeliverOptions {
  url: string;
  /** Several while one replaces another. */
  secrets: string | readonly string[];
  /** webhook-id: the same for every attempt. */
  id: string;
  /** The JSON text that is signed and sent, byte for byte. */
  body: string;
  policy: WebhookPolicy;
  /** For the whole attempt. Default 15 s. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** For tests. */
  lookup?: Lookup;
}

/** How one attempt went. */
export interface DeliveryOutcome {
  /** The receiver answered with 2xx. */
  ok: boolean;
  /** Null when there was no answer. */
  status: number | null;
  /** Why it is not ok, for the endpoint's owner to read. */
  error: string | null;
  /** What the receiver's Retry-After asks for. */
  retryAfterMs: number | null;
  /** The first kilobyte of the answer, as text. */
  responseHead: string;
  startedAt: Date;
  durationMs: number;
  /** What was sent, or was to be sent when the connection failed; empty when the URL itself was refused. */
  requestHeaders: Record<string, string>;
  /** 410 Gone: the receiver wants no more. */
  disable: boolean;
}

const USER_AGENT = 'Amalgam/0.1 (webhooks)';
const HEAD_BYTES = 1_024;

/**
 * One attempt to deliver a webhook. Whatever the network or the receiver does becomes an outcome; it throws only
 * the signal's reason, when the caller gave up. Redirects are not followed: a 3xx is a failure.
 */
export async function deliver(options: DeliverOptions): Promise<DeliveryOutcome> {
  options.signal?.throwIfAborted();
  const timeoutMs = options.timeoutMs ?? 15_000;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  const agent = guardedAgent(options.policy, {
    connectTimeoutMs: timeoutMs,
    ...(options.lookup === undefined ? {} : { lookup: options.lookup }),
  });
  const started = performance.now();
  const startedAt = new Date();
  let requestHeaders: Record<string, string> = {};
  const finish = (outcome: Partial<DeliveryOutcome>): DeliveryOutcome => ({
    ok: false,
    status: null,
    error: null,
    retryAfterMs: null,
    responseHead: '',
    startedAt,
    requestHeaders,
    durationMs: Math.round(performance.now() - started),
    disable: false,
    ...outcome,
  });

  try {
    const url = parseUrl(options.url, options.policy);
    requestHeaders = {
      ...signedHeaders(options.secrets, options.id, startedAt, options.body),
      'content-type': 'application/json',
      'user-agent': USER_AGENT,
    };
    const response = await request(url, {
      dispatcher: agent,
      method: 'POST',
      headers: requestHeaders,
      body: options.body,
      signal,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    });
    const status = response.statusCode;
    const ok = status >= 200 && status < 300;
    const retryAfter = response.headers['retry-after'];
    return finish({
      ok,
      status,
      error: ok
        ? null
        : status >= 300 && status < 400
          ? `HTTP ${status}: redirects are not followed`
          : `HTTP ${status}`,
      retryAfterMs: ok ? null : parseRetryAfter(Array.isArray(retryAfter) ? retryAfter[0] : retryAfter, new Date()),
      responseHead: await readHead(response.body),
      durationMs: Math.round(performance.now() - started),
      disable: status === 410,
    });
  } catch (error) {
    options.signal?.throwIfAborted();
    return finish({ error: timeout.aborted ? `no answer within ${timeoutMs} ms` : describe(error) });
  } finally {
    // Nothing is kept open: the next attempt resolves and checks the host anew. Also ends an endless answer.
    await agent.destroy();
  }
}

/** At most a kilobyte; the status is what counts, so a body that breaks off is no failure. */
async function readHead(body: Dispatcher.ResponseData['body']): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body) {
      const part = Buffer.from(chunk as Uint8Array);
      chunks.push(part);
      bytes += part.length;
      if (bytes >= HEAD_BYTES) break;
    }
  } catch {
    // Keep what came.
  }
  const text = new TextDecoder().decode(Buffer.concat(chunks).subarray(0, HEAD_BYTES));
  // Postgres stores no NUL in a text column.
  return text.replaceAll('\0', '\uFFFD');
}

/** An error of the network in a few words. */
function describe(error: unknown): string {
  if (isAmalgamError(error)) return `${error.code}: ${error.detail}`;
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : null;
  // Several refused addresses make an AggregateError without a message.
  const message = error.message || 'the connection failed';
  return code === null || message.includes(code) ? message : `${code}: ${message}`;
}
