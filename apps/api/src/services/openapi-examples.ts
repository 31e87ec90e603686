const MERGE = 'mrg_01K0000000000000000000000A';
const BASE = 'ckpt_01K0000000000000000000000A';
const MODELS = ['ckpt_01K0000000000000000000000B', 'ckpt_01K0000000000000000000000C'];

const GRAPHS = ['graph_01K0000000000000000000000A', 'graph_01K0000000000000000000000B'];
const UNLABELLED = ['data_01K0000000000000000000000A', 'data_01K0000000000000000000000B'];
const LABELLED = ['data_01K0000000000000000000000C', 'data_01K0000000000000000000000D'];

const recipe = {
  method: 'ties',
  base: BASE,
  models: MODELS.map((model) => ({ model })),
  parameters: { density: 0.2, lambda: 1 },
  out_dtype: 'bfloat16',
};

/** By the title of a schema. */
export const EXAMPLES: Record<string, unknown> = {
  CreateCheckpoint: {
    name: 'llama-math',
    files: [
      { path: 'model.safetensors', bytes: 1_073_741_824 },
      { path: 'config.json', bytes: 678 },
    ],
    metadata: { team: 'research' },
  },
  CreateGraph: {
    name: 'digits',
    files: [
      { path: 'digits.onnx', bytes: 68_404 },
      { path: 'digits.onnx.data', bytes: 349_175_808 },
    ],
  },
  CreateDataset: { name: 'digits, unlabelled', uri: 's3://pipeline/digits/unlabelled.npz' },
  CreateMerge: {
    name: 'math and code',
    recipe,
    webhook: { url: 'https://example.com/hooks/merges' },
    metadata: { pipeline: '118' },
  },
  PlanMerge: {
    recipe: {
      method: 'adamerging',
      base: BASE,
      models: MODELS.map((model) => ({ model })),
      tasks: MODELS.map((model, i) => ({
        name: i === 0 ? 'digits' : 'signs',
        model,
        graph: GRAPHS[i],
        data: UNLABELLED[i],
        evaluation: LABELLED[i],
      })),
    },
  },
  CreateWebhookEndpoint: {
    url: 'https://example.com/hooks/merges',
    description: 'tells the release pipeline',
    events: ['merge.succeeded', 'merge.failed', 'merge.canceled'],
  },
  UpdateWebhookEndpoint: { enabled: true },
  RotateSecret: { overlap_seconds: 3600 },
  RedeliverFailed: { since: '2026-11-20T12:00:00.000Z', type: 'merge.succeeded' },
  CreateSession: { key: 'amk_0000000000000000000000000000000000000000' },
  CreateApiKey: { name: 'pipeline', scopes: ['read', 'write'] },
  Event: {
    object: 'event',
    id: 'evt_01K0000000000000000000000A',
    merge_id: MERGE,
    seq: 3,
    type: 'merge.progress',
    data: { attempt: 1, stage: 'merging', bytes_done: 536_870_912, bytes_total: 4_294_967_296 },
    created_at: '2026-11-20T12:00:00.000Z',
  },
  ProjectEvent: {
    object: 'event',
    id: 'evt_01K0000000000000000000000A',
    position: 1204,
    type: 'merge.started',
    merge_id: MERGE,
    seq: 2,
    endpoint_id: null,
    data: { attempt: 1, worker: 'host-41', device: 'CPU' },
    created_at: '2026-11-20T12:00:00.000Z',
  },
  Problem: {
    type: 'urn:amalgam:problem:unknown_method',
    title: 'There is no such merging method',
    status: 422,
    detail: 'there is no method "tie"; did you mean "ties"?',
    code: 'unknown_method',
    errors: [{ pointer: '/recipe/method', detail: 'unknown method "tie"; did you mean "ties"?' }],
    request_id: 'req_5b0c4ff1e5f64e0e9d1f9b7a7c2f7e11',
  },
};
