import { setTimeout as sleep } from 'node:timers/promises';
import { AmalgamError, isAmalgamError } from '@amalgam/contracts';
import { HubApiError, type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub';
import { type HubAnswer, type HubPlace, hubError, hubUnreachable, isPassing } from './hub-errors.js';
import { isCommit } from './hub-reference.js';

export const HUB_ENDPOINT = 'https://huggingface.co';

export interface HubConnection {
  /** HF_ENDPOINT: the hub or a mirror of it. Requests begin nowhere else; default: `HUB_ENDPOINT`. */
  endpoint?: string | undefined;
  /** HF_TOKEN; it is sent to the endpoint alone. */
  token?: string | undefined;
}

/** Requests for one thing, before what stands in the way is told. */
const TRIES = 4;
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 20_000;
const MAX_REDIRECTS = 5;
/** Silence after which a connection counts as broken. */
export const SILENCE_MS = 30_000;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

export interface Fetched {
  response: Response;
  /** Where redirects led. */
  url: URL;
}

/** The hub's calls that reading models takes. Failures are told in words; passing ones are tried again first. */
export class HubClient {
  readonly endpoint: URL;
  readonly #token: string | undefined;

  /** @throws invalid_request when the endpoint is no http or https URL */
  constructor({ endpoint = HUB_ENDPOINT, token }: HubConnection = {}) {
    this.endpoint = parseEndpoint(endpoint);
    this.#token = token;
  }

  get withToken(): boolean {
    return this.#token !== undefined;
  }

  /** The commit that a revision stands for now. @throws not_found; hub_refused; storage_error */
  async commitOf(place: HubPlace): Promise<string> {
    if (isCommit(place.revision)) return place.revision;
    const { sha } = await this.#call(place, (fetch) =>
      modelInfo({
        name: place.repo,
        additionalFields: ['sha'],
        hubUrl: this.#base(),
        fetch,
        ...(place.revision === null ? {} : { revision: place.revision }),
      }),
    );
    if (!isCommit(sha)) throw new AmalgamError('storage_error', `${place.label}: the hub named no commit`);
    return sha;
  }

  /** What is in a folder of a commit; at most `most` entries and one. @throws not_found; hub_refused; storage_error */
  list(
    place: HubPlace,
    commit: string,
    folder: string,
    options: { recursive: boolean; most: number },
  ): Promise<ListFileEntry[]> {
    const { recursive, most } = options;
    return this.#call(place, async (fetch) => {
      const entries: ListFileEntry[] = [];
      const path = escapePath(folder);
      const repo = { type: 'model', name: place.repo } as const;
      for await (const entry of listFiles({ repo, revision: commit, path, recursive, hubUrl: this.#base(), fetch })) {
        entries.push(entry);
        if (entries.length > most) break;
      }
      return entries;
    });
  }

  /** Where the bytes of a file are asked for. */
  fileUrl(repo: string, commit: string, path: string): URL {
    return new URL(`${this.#base()}/${repo}/resolve/${commit}/${escapePath(path)}`);
  }

  /**
   * GET with redirects. The token goes to the endpoint only; from https none leads to http.
   * @throws storage_error for a redirect that is not allowed; what fetch throws
   */
  async get(place: HubPlace, from: URL, headers: Record<string, string>, signal: AbortSignal): Promise<Fetched> {
    let url = from;
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const response = await fetch(url, {
        // Compressed, the ranges would not be those of the file.
        headers: { 'user-agent': 'amalgam', 'accept-encoding': 'identity', ...headers, ...this.#authorization(url) },
        redirect: 'manual',
        signal,
      });
      const location = response.headers.get('location');
      if (!REDIRECTS.has(response.status) || location === null) return { response, url };
      await response.body?.cancel();
      const next = URL.canParse(location, url.href) ? new URL(location, url) : null;
      const isAllowed = next?.protocol === 'https:' || next?.protocol === this.endpoint.protocol;
      if (next === null || !isAllowed) {
        throw new AmalgamError('storage_error', `${place.label}: the hub leads to what is no ${url.protocol} address`);
      }
      url = next;
    }
    throw new AmalgamError('storage_error', `${place.label}: the hub leads in circles`);
  }

  /**
   * Runs what asks the hub, again where the failure may pass.
   * @throws AmalgamError in words; the signal's reason
   */
  async patiently<T>(place: HubPlace, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        signal?.throwIfAborted();
        if (isAmalgamError(error)) throw error;
        const answer = error instanceof HubRefusal ? error.answer : null;
        if (tries >= TRIES || (answer !== null && !isPassing(answer))) throw this.#inWords(error, answer, place);
        const pause = answer?.retryAfter != null ? answer.retryAfter * 1000 : FIRST_PAUSE_MS * 2 ** (tries - 1);
        if (pause > MAX_PAUSE_MS) throw this.#inWords(error, answer, place);
        await sleep(pause, undefined, signal === undefined ? {} : { signal });
      }
    }
  }

  #inWords(error: unknown, answer: HubAnswer | null, place: HubPlace): AmalgamError {
    return answer === null
      ? hubUnreachable(error, place, this.endpoint.host)
      : hubError(answer, place, this.#token !== undefined);
  }

  /** One of the library's calls. It gets a `fetch` that asks the endpoint alone, whatever links an answer holds. */
  #call<T>(place: HubPlace, work: (fetch: typeof globalThis.fetch) => Promise<T>): Promise<T> {
    const guarded: typeof globalThis.fetch = async (input) => {
      const asked = new URL(input instanceof Request ? input.url : input);
      this.#assertOwn(place, asked);
      const { response, url } = await this.get(
        place,
        asked,
        { accept: 'application/json' },
        AbortSignal.timeout(SILENCE_MS),
      );
      this.#assertOwn(place, url);
      if (!response.ok) throw await refusal(response);
      return response;
    };
    return this.patiently(place, async () => {
      try {
        return await work(guarded);
      } catch (error) {
        // Not JSON, or not what the hub's client expects.
        if (error instanceof SyntaxError || error instanceof HubApiError) {
          throw new AmalgamError('storage_error', `${place.label}: ${this.endpoint.host} does not answer as a hub`);
        }
        throw error;
      }
    });
  }

  #assertOwn(place: HubPlace, url: URL): void {
    if (url.origin === this.endpoint.origin) return;
    throw new AmalgamError('storage_error', `${place.label}: the hub leads to another server, ${url.host}`);
  }

  #authorization(url: URL): Record<string, string> {
    const isOwn = this.#token !== undefined && url.origin === this.endpoint.origin;
    return isOwn ? { authorization: `Bearer ${this.#token}` } : {};
  }

  #base(): string {
    return this.endpoint.href.replace(/\/+$/, '');
  }
}

/** An answer that is no success, to be told in words by who knows what was asked. */
export class HubRefusal extends Error {
  constructor(readonly answer: HubAnswer) {
    super(`HTTP ${answer.status}`);
    this.name = 'HubRefusal';
  }
}

/** Takes the facts of an answer, and lets its connection go. */
export async function refusal(response: Response): Promise<HubRefusal> {
  await response.body?.cancel();
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  return new HubRefusal({
    status: response.status,
    code: response.headers.get('x-error-code'),
    retryAfter: Number.isFinite(seconds) && seconds >= 0 ? Math.ceil(seconds) : null,
  });
}

function escapePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

function parseEndpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isPlain = url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (!isPlain || !/^https?:$/.test(url.protocol)) {
    throw new AmalgamError('invalid_request', 'HF_ENDPOINT must be an http or https URL, without user or query');
  }
  return url;
}
