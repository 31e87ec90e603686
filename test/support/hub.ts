import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const COMMIT = '0123456789abcdef0123456789abcdef01234567';
/** Files of this size and more are kept as Git LFS does: named by SHA-256, on another server. */
const LFS_BYTES = 100;
const PAGE = 3;

export interface HubRequest {
  /** 'hub' answers questions, 'store' has the bytes of large files. */
  at: 'hub' | 'store';
  path: string;
  authorization: string | undefined;
  range: string | undefined;
}

export interface TestRepo {
  files: Record<string, Uint8Array>;
  /** Names of the commit besides its own. */
  revisions?: string[];
  /** Who may read it: everybody, whoever has the token, or nobody who did not accept its terms. */
  access?: 'public' | 'private' | 'gated';
}

/** What happens to a request instead of the usual; false: the usual. */
export type Fault = (request: HubRequest, response: ServerResponse) => boolean;

/**
 * Speaks the hub's calls as its documentation and huggingface_hub have them: a model's revision, listings by pages, and
 * /resolve/ with redirects to a second server, whose links end.
 */
export class TestHub {
  readonly requests: HubRequest[] = [];
  readonly token = 'hf_secret';
  fault: Fault = () => false;
  /** Bytes that the store gives, where they are to differ from the listed ones. */
  tamper: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes;
  #generation = 0;

  private constructor(
    private readonly repos: Record<string, TestRepo>,
    private readonly hub: Server,
    private readonly store: Server,
  ) {}

  static async start(repos: Record<string, TestRepo>): Promise<TestHub> {
    const hub = createServer((request, response) => self.#answerHub(request, response));
    const store = createServer((request, response) => self.#answerStore(request, response));
    const self = new TestHub(repos, hub, store);
    for (const server of [hub, store]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    }
    return self;
  }

  get endpoint(): string {
    return urlOf(this.hub);
  }

  /** Makes the store's links of before useless. */
  expireLinks(): void {
    this.#generation++;
  }

  /** What was asked since the last call. */
  take(): HubRequest[] {
    return this.requests.splice(0);
  }

  async close(): Promise<void> {
    for (const server of [this.hub, this.store]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  #answerHub(message: IncomingMessage, response: ServerResponse): ServerResponse {
    const request = this.#note('hub', message);
    if (this.fault(request, response)) return response;
    const url = new URL(request.path, this.endpoint);
    const path = decodeURIComponent(url.pathname);
    const api = /^\/api\/models\/([^/]+\/[^/]+)\/(revision|tree)\/(.*)$/.exec(path);
    const resolve = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    const name = api?.[1] ?? resolve?.[1] ?? '';
    const repo = this.repos[name];
    if (repo === undefined) return refuse(response, request.authorization ? 404 : 401, 'RepoNotFound');
    const isKnown = request.authorization === `Bearer ${this.token}`;
    if (repo.access === 'private' && !isKnown) return refuse(response, 401, 'RepoNotFound');
    if (api !== null && api[2] === 'revision') return this.#answerRevision(repo, name, api[3]!, response);
    if (repo.access === 'gated' && resolve !== null) return refuse(response, isKnown ? 403 : 401, 'GatedRepo');
    if (api !== null) return this.#answerTree(repo, url, api[3]!, response);
    const file = resolve?.[2] === COMMIT ? repo.files[resolve[3]!] : undefined;
    if (file === undefined) return refuse(response, 404, 'EntryNotFound');
    if (file.byteLength < LFS_BYTES) return sendRange(response, file, request.range);
    const location = `${urlOf(this.store)}/${this.#generation}/${encodeURIComponent(`${name}:${resolve![3]}`)}?sig=x`;
    return response.writeHead(302, { location, 'x-linked-size': file.byteLength }).end();
  }

  #answerRevision(repo: TestRepo, name: string, revision: string, response: ServerResponse): ServerResponse {
    if (![COMMIT, 'HEAD', 'main', ...(repo.revisions ?? [])].includes(revision)) {
      return refuse(response, 404, 'RevisionNotFound');
    }
    return sendJson(response, { _id: '1', id: name, sha: COMMIT, gated: repo.access === 'gated', private: false });
  }

  #answerTree(repo: TestRepo, url: URL, place: string, response: ServerResponse): ServerResponse {
    const [, commit, folder = ''] = /^([^/]+)\/?(.*)$/.exec(place) ?? [];
    const prefix = folder === '' ? '' : `${folder}/`;
    const below = Object.keys(repo.files).filter((path) => path.startsWith(prefix));
    if (commit !== COMMIT || below.length === 0) return refuse(response, 404, 'EntryNotFound');
    const isDeep = url.searchParams.get('recursive') === 'true';
    const entries = new Map<string, object>();
    for (const path of below) {
      const parts = path.slice(prefix.length).split('/');
      const folders = parts.slice(0, -1).map((_, i) => prefix + parts.slice(0, i + 1).join('/'));
      for (const directory of isDeep ? folders : folders.slice(0, 1)) {
        entries.set(directory, { type: 'directory', oid: 'f00', size: 0, path: directory });
      }
      if (isDeep || parts.length === 1) entries.set(path, describe(path, repo.files[path]!));
    }
    const from = Number(url.searchParams.get('cursor') ?? 0);
    const page = [...entries.values()].slice(from, from + PAGE);
    if (from + PAGE < entries.size) {
      url.searchParams.set('cursor', String(from + PAGE));
      response.setHeader('link', `<${url.href}>; rel="next"`);
    }
    return sendJson(response, page);
  }

  #answerStore(message: IncomingMessage, response: ServerResponse): ServerResponse {
    const request = this.#note('store', message);
    if (this.fault(request, response)) return response;
    const [, generation, key] = new URL(request.path, this.endpoint).pathname.split('/');
    if (Number(generation) !== this.#generation) return response.writeHead(403).end('<Error>expired</Error>');
    const [name, path] = decodeURIComponent(key ?? '').split(':');
    const file = this.repos[name ?? '']?.files[path ?? ''];
    if (file === undefined) return response.writeHead(404).end();
    return sendRange(response, this.tamper(file), request.range);
  }

  #note(at: HubRequest['at'], { url = '', headers }: IncomingMessage): HubRequest {
    const request = { at, path: url, authorization: headers.authorization, range: headers.range };
    this.requests.push(request);
    return request;
  }
}

const described = new WeakMap<Uint8Array, object>();

/** An entry of a listing. Hashing is slow, so it is done once. */
function describe(path: string, bytes: Uint8Array): object {
  const known = described.get(bytes) ?? digests(bytes);
  described.set(bytes, known);
  return { type: 'file', path, size: bytes.byteLength, ...known };
}

function digests(bytes: Uint8Array): object {
  if (bytes.byteLength < LFS_BYTES) return { oid: gitId(bytes) };
  return { oid: '0ff', lfs: { oid: sha256(bytes), size: bytes.byteLength, pointerSize: 130 } };
}

function sendRange(response: ServerResponse, bytes: Uint8Array, range: string | undefined): ServerResponse {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
  if (first === undefined || last === undefined) return response.writeHead(200).end(bytes);
  const part = bytes.subarray(Number(first), Number(last) + 1);
  const contentRange = `bytes ${first}-${last}/${bytes.byteLength}`;
  return response.writeHead(206, { 'content-range': contentRange, 'content-length': part.byteLength }).end(part);
}

function sendJson(response: ServerResponse, body: unknown): ServerResponse {
  return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(response: ServerResponse, status: number, code: string): ServerResponse {
  response.setHeader('x-error-code', code);
  return response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error: 'refused' }));
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function gitId(bytes: Uint8Array): string {
  return createHash('sha1').update(`blob ${bytes.byteLength}\0`).update(bytes).digest('hex');
}
