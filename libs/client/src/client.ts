import type {
  ApiKey,
  AssetFile,
  AssetKind,
  AssetResources,
  AssetState,
  CreateApiKey,
  CreateAsset,
  CreateMerge,
  Delivery,
  List,
  Merge,
  MergeCounts,
  MergeEvent,
  MergeState,
  Method,
  Plan,
  ProjectEvent,
  QueueStatus,
  Recipe,
  Report,
  Session,
  TensorHistogram,
  TensorInfo,
} from '@amalgam/contracts';
import { type DownloadOptions, downloadBytes, downloadFile } from './download.js';
import { type EventOptions, followEvents } from './events.js';
import { followProject, type ProjectEventOptions, type ProjectEventQuery, toEventQuery } from './project-events.js';
import { type ClientOptions, type Query, type RequestOptions, Transport } from './transport.js';
import { type UploadOptions, uploadAsset } from './upload.js';
import { webhookCalls } from './webhooks.js';

export interface AssetQuery {
  state?: AssetState;
  name?: string;
  metadata?: Record<string, string>;
}

export interface MergeQuery {
  state?: MergeState | MergeState[];
  method?: string;
  name?: string;
  metadata?: Record<string, string>;
  /** Checkpoints, graphs and datasets that it takes, all of them. */
  input?: string[];
  created_after?: string;
  created_before?: string;
}

export interface PageQuery {
  /** Items of the page, at most 100; default 20. */
  limit?: number;
  after?: string;
}

export interface WaitOptions {
  signal?: AbortSignal;
  /** Rejects with a TimeoutError after this long; default: never. */
  timeoutMs?: number;
  onEvent?(event: MergeEvent): void;
}

/** A file's bytes, or into a file of this machine. */
export interface Download {
  (id: string, path: string): Promise<Uint8Array>;
  (id: string, path: string, toFile: string, more?: DownloadOptions): Promise<void>;
}

type Abortable = Pick<RequestOptions, 'signal'>;
export type Client = ReturnType<typeof createClient>;

/** The API's calls, with its types. Lists are async iterators that fetch page after page. */
export function createClient(options: ClientOptions) {
  const transport = new Transport(options);
  const get = <T>(path: string, more?: RequestOptions) => transport.json<T>('GET', path, more);
  const post = <T>(path: string, body?: unknown, more?: Abortable) =>
    transport.json<T>('POST', path, { ...more, ...(body === undefined ? {} : { body }) });
  const remove = async (path: string, more?: Abortable) => {
    await transport.send('DELETE', path, more);
  };
  const pages = <T>(path: string, query: object = {}, more: Abortable = {}) =>
    allPages<T>(transport, path, query as Query, more);
  const downloads = (kind: string) => makeDownload(transport, kind);

  const assets = <K extends AssetKind>(plural: string) => {
    const path = `/v1/${plural}`;
    return {
      /** Registers a URI, or begins an upload by hand. */
      create: (body: CreateAsset, more?: Abortable) => post<AssetResources[K]>(path, body, more),
      /** Begins an upload, sends every file, and completes it. */
      upload: (upload: UploadOptions) => uploadAsset<AssetResources[K]>(transport, path, upload),
      complete: (id: string, more?: Abortable) => post<AssetResources[K]>(`${path}/${id}/complete`, undefined, more),
      get: (id: string, more?: Abortable) => get<AssetResources[K]>(`${path}/${id}`, more),
      list: (query?: AssetQuery) => pages<AssetResources[K]>(path, query),
      /** One page, for whoever shows pages; `next_cursor` is the next one's `after`. */
      page: (query: AssetQuery & PageQuery = {}, more?: Abortable) =>
        get<List<AssetResources[K]>>(path, { ...more, query: query as Query }),
      /** A pending upload, with new links for the files that have not arrived. */
      resumeUpload: (id: string, more?: Abortable) => post<AssetResources[K]>(`${path}/${id}/uploads`, undefined, more),
      /** Into a file, or as bytes when none is named. */
      download: downloads(plural),
      delete: (id: string, more?: Abortable) => remove(`${path}/${id}`, more),
    };
  };

  const checkpoints = {
    ...assets<'checkpoint'>('checkpoints'),
    tensors: (id: string, query?: { q?: string }) => pages<TensorInfo>(`/v1/checkpoints/${id}/tensors`, query),
    /** One page, of up to 10 000 tensors. */
    tensorPage: (id: string, query: { q?: string } & PageQuery = {}, more?: Abortable) =>
      get<List<TensorInfo>>(`/v1/checkpoints/${id}/tensors`, { ...more, query: query as Query }),
    /** How a tensor's values are spread; in 64 bins unless told. */
    histogram: (id: string, tensor: string, query: { bins?: number } = {}, more?: Abortable) =>
      get<TensorHistogram>(`/v1/checkpoints/${id}/tensors/${encodeURIComponent(tensor)}/histogram`, { ...more, query }),
  };

  const merges = {
    create: (body: CreateMerge, more?: Abortable) => post<Merge>('/v1/merges', body, more),
    plan: (recipe: Recipe, more?: Abortable) => post<Plan>('/v1/merges/plan', { recipe }, more),
    get: (id: string, more?: Abortable) => get<Merge>(`/v1/merges/${id}`, more),
    list: (query?: MergeQuery) => pages<Merge>('/v1/merges', query),
    /** One page, for whoever shows pages; `next_cursor` is the next one's `after`. */
    page: (query: MergeQuery & PageQuery = {}, more?: Abortable) =>
      get<List<Merge>>('/v1/merges', { ...more, query: query as Query }),
    /** How many there are, by state. */
    counts: (more?: Abortable) => get<MergeCounts>('/v1/merges/counts', more),
    cancel: (id: string, more?: Abortable) => post<Merge>(`/v1/merges/${id}/cancel`, undefined, more),
    retry: (id: string, more?: Abortable) => post<Merge>(`/v1/merges/${id}/retry`, undefined, more),
    report: (id: string, more?: Abortable) => get<Report>(`/v1/merges/${id}/report`, more),
    files: async (id: string, more?: Abortable) => (await get<List<AssetFile>>(`/v1/merges/${id}/files`, more)).data,
    deliveries: (id: string, more?: Abortable) => pages<Delivery>(`/v1/merges/${id}/deliveries`, {}, more),
    /** Into a file, or as bytes when none is named. */
    download: downloads('merges'),
    /** Those that were, page by page. */
    pastEvents: (id: string) => pages<MergeEvent>(`/v1/merges/${id}/events`),
    /** Those that were and those to come, until the merge has ended; comes back by itself after a break. */
    events: (id: string, more?: EventOptions) => followEvents(transport, id, more),
    /** The merge, when it has ended. */
    waitFor: async (id: string, { signal, timeoutMs, onEvent }: WaitOptions = {}): Promise<Merge> => {
      const limits = [signal ?? [], timeoutMs === undefined ? [] : AbortSignal.timeout(timeoutMs)].flat();
      const until = limits.length === 0 ? undefined : AbortSignal.any(limits);
      for await (const event of followEvents(transport, id, until === undefined ? {} : { signal: until })) {
        onEvent?.(event);
      }
      return merges.get(id, { signal: until });
    },
  };

  return {
    checkpoints,
    graphs: assets<'graph'>('graphs'),
    datasets: assets<'dataset'>('datasets'),
    merges,
    /** What happens in the project, as it happens; comes back by itself after a break. */
    events: (more?: ProjectEventOptions) => followProject(transport, more),
    /** What has happened in it, the oldest first, page by page. */
    pastEvents: (query: ProjectEventQuery & { after?: number } = {}) =>
      pages<ProjectEvent>('/v1/events', { ...toEventQuery(query), after: query.after }),
    methods: {
      list: (more?: Abortable) => get<List<Method>>('/v1/methods', more).then(({ data }) => data),
      get: (name: string, more?: Abortable) => get<Method>(`/v1/methods/${encodeURIComponent(name)}`, more),
    },
    keys: {
      /** The answer is the only one that holds the key's token. */
      create: (body: CreateApiKey, more?: Abortable) => post<ApiKey>('/v1/keys', body, more),
      list: (more?: Abortable) => get<List<ApiKey>>('/v1/keys', more).then(({ data }) => data),
      revoke: (id: string, more?: Abortable) => remove(`/v1/keys/${id}`, more),
    },
    ...webhookCalls(transport),
    /** For browsers, which keep the session in a cookie that scripts cannot read. */
    session: {
      create: (key: string, more?: Abortable) => post<Session>('/v1/session', { key }, more),
      get: (more?: Abortable) => get<Session>('/v1/session', more),
      end: (more?: Abortable) => remove('/v1/session', more),
    },
    queue: (more?: Abortable) => get<QueueStatus>('/v1/queue', more),
  };
}

async function* allPages<T>(transport: Transport, path: string, query: Query, more: Abortable): AsyncGenerator<T> {
  for (let after = query['after']; ; ) {
    const page: List<T> = await transport.json<List<T>>('GET', path, {
      ...more,
      query: { limit: 100, ...query, after },
    });
    yield* page.data;
    if (page.next_cursor === null) return;
    after = page.next_cursor;
  }
}

function makeDownload(transport: Transport, kind: string): Download {
  function download(id: string, path: string): Promise<Uint8Array>;
  function download(id: string, path: string, toFile: string, more?: DownloadOptions): Promise<void>;
  async function download(id: string, path: string, toFile?: string, more: DownloadOptions = {}) {
    const url = `/v1/${kind}/${id}/files/${path.split('/').map(encodeURIComponent).join('/')}`;
    return toFile === undefined ? downloadBytes(transport, url, more) : downloadFile(transport, url, toFile, more);
  }
  return download;
}
