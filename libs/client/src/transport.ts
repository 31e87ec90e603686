import { AmalgamError, ERRORS, type ErrorCode, type FieldError, type Problem } from '@amalgam/contracts';
import { backoff, pause, retryAfterMs } from './pause.js';

export interface ClientOptions {
  /** Where the service is; `http://127.0.0.1:8080`, say. */
  baseUrl: string;
  /** `amk_…`; without one only the methods of an open service answer. */
  apiKey?: string;
  /** Further tries of a request that met the network's or the service's trouble; default 4. */
  retries?: number;
  fetch?: typeof fetch;
}

export type Query = Record<string, string | number | boolean | readonly string[] | Record<string, string> | undefined>;

export interface RequestOptions {
  query?: Query;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/** What the service answered, besides what an AmalgamError says. */
export class ApiError extends AmalgamError {
  /** For whoever looks into the service's log. */
  readonly requestId: string | undefined;

  constructor(code: ErrorCode, detail: string, options: { errors?: FieldError[]; requestId?: string | undefined }) {
    super(code, detail, options.errors === undefined ? {} : { errors: options.errors });
    this.requestId = options.requestId;
  }
}

/** What fetch sends. */
export type Body = NonNullable<RequestInit['body']>;

const RETRIED = new Set([429, 502, 503, 504]);

/**
 * Requests with bounded retries: on network errors, 429, 502, 503 and 504, and while an earlier try of the same POST still
 * runs. Each POST has an Idempotency-Key of its own, so trying again never does a thing twice.
 */
export class Transport {
  readonly #base: string;
  readonly #key: string | undefined;
  readonly #retries: number;
  readonly #fetch: typeof fetch;

  constructor(options: ClientOptions) {
    this.#base = options.baseUrl.replace(/\/+$/, '');
    this.#key = options.apiKey;
    this.#retries = options.retries ?? 4;
    // Browsers refuse to have their fetch called as a method of something else.
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
  }

  /** The JSON of a good answer. @throws ApiError what the service says; AmalgamError `unavailable` when it does not answer */
  async json<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const response = await this.send(method, path, options);
    return (await response.json()) as T;
  }

  /** A good answer, its body unread. */
  async send(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    const headers: Record<string, string> = { accept: 'application/json', ...options.headers };
    if (this.#key !== undefined) headers['authorization'] = `Bearer ${this.#key}`;
    if (method === 'POST') headers['idempotency-key'] ??= randomKey();
    if (options.body !== undefined) headers['content-type'] = 'application/json';
    return this.retrying(options.signal, () =>
      this.#fetch(this.#base + path + toQuery(options.query), {
        method,
        headers,
        ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      }),
    );
  }

  /** A request to a signed link, which needs no key. `body` is called for each try. */
  async put(url: string, bytes: number, body: () => Promise<Body>, signal?: AbortSignal): Promise<void> {
    const response = await this.retrying(signal, async () =>
      this.#fetch(url, {
        method: 'PUT',
        headers: { 'content-length': String(bytes), 'content-type': 'application/octet-stream' },
        body: await body(),
        // A body that is a stream needs it; the types of fetch do not know it.
        ...{ duplex: 'half' },
        ...(signal === undefined ? {} : { signal }),
      }),
    );
    await response.arrayBuffer();
  }

  /** Tries until the answer is good, or the error is one that trying again does not mend. */
  async retrying(signal: AbortSignal | undefined, attempt: () => Promise<Response>): Promise<Response> {
    for (let tries = 1; ; tries++) {
      let wait: number | undefined;
      let failure: unknown;
      try {
        const response = await attempt();
        if (response.ok) return response;
        const error = await toError(response);
        failure = error;
        if (RETRIED.has(response.status) || error.code === 'idempotency_in_progress') {
          wait = retryAfterMs(response.headers.get('retry-after')) ?? backoff(tries);
        }
      } catch (error) {
        signal?.throwIfAborted();
        failure = unreachable(this.#base, error);
        wait = backoff(tries);
      }
      if (wait === undefined || tries > this.#retries) throw failure;
      await pause(wait, signal);
    }
  }
}

/** 128 random bits; crypto.randomUUID is missing on pages that came over plain HTTP. */
function randomKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function toQuery(query: Query | undefined): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined) continue;
    if (Array.isArray(value)) for (const item of value) params.append(name, String(item));
    else if (typeof value === 'object') {
      for (const [key, item] of Object.entries(value)) params.append(`${name}[${key}]`, String(item));
    } else params.append(name, String(value));
  }
  const text = params.toString();
  return text === '' ? '' : `?${text}`;
}

/** The problem of an answer; something else in front of the service may not speak problem+json. */
async function toError(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => '');
  try {
    const problem = JSON.parse(text) as Partial<Problem>;
    if (problem.code !== undefined && Object.hasOwn(ERRORS, problem.code)) {
      return new ApiError(problem.code, problem.detail ?? ERRORS[problem.code].title, {
        ...(problem.errors === undefined ? {} : { errors: problem.errors }),
        requestId: problem.request_id,
      });
    }
  } catch {
    // no JSON
  }
  const requestId = response.headers.get('x-request-id') ?? undefined;
  const code = (Object.keys(ERRORS) as ErrorCode[]).find((name) => ERRORS[name].status === response.status);
  return new ApiError(code ?? 'internal', `the service answered ${response.status} ${response.statusText}`, {
    requestId,
  });
}

function unreachable(base: string, error: unknown): unknown {
  if (error instanceof AmalgamError) return error;
  const cause = (error as { cause?: { code?: unknown; message?: unknown } } | null)?.cause;
  const reason = cause?.code ?? cause?.message ?? (error instanceof Error ? error.message : String(error));
  return new AmalgamError('unavailable', `${base} cannot be reached: ${String(reason)}`, { cause: error });
}
