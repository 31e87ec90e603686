import { DTYPES } from './dtypes.js';
import { ID_PATTERNS } from './ids.js';
import { type Static, type TProperties, type TSchema, Type } from './schema.js';
import { ASSET_STATES, type AssetKind } from './states.js';

// What is stored and named in recipes: checkpoints, graphs and datasets. All three are registered, uploaded, listed and
// deleted in the same way; they differ in what reading their headers tells.

const closed = { additionalProperties: false } as const;
const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Time = Type.String({ format: 'date-time', description: 'ISO 8601, UTC' });
const Bytes = Type.Integer({ minimum: 0 });
/** At most what S3 takes as one object, 5 TiB. */
const FileBytes = Type.Integer({ minimum: 0, maximum: 5 * 2 ** 40 });
const Count = Type.Integer({ minimum: 0 });
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });
const Shape = Type.Array(Type.Integer({ minimum: 0 }));

/** Base name, or folders and a base name, below the asset's folder. */
export const FilePath = Type.String({
  minLength: 1,
  maxLength: 512,
  pattern: '^(?!\\.{1,2}(/|$))[A-Za-z0-9_.@+=,() -]+(/(?!\\.{1,2}(/|$))[A-Za-z0-9_.@+=,() -]+)*$',
});

export const Metadata = Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 512 }), {
  maxProperties: 16,
  description: 'Up to 16 of your own keys and values; lists can be filtered by them',
});

export const Name = Type.String({ minLength: 1, maxLength: 200 });

export const AssetFile = Type.Object({
  path: Type.String(),
  bytes: Bytes,
  sha256: Nullable(Sha256),
});
export type AssetFile = Static<typeof AssetFile>;

export const UploadPart = Type.Object({
  number: Type.Integer({ minimum: 1 }),
  offset: Type.Integer({ minimum: 0, description: 'Of its first byte in the file' }),
  bytes: Bytes,
  url: Type.String(),
});
export type UploadPart = Static<typeof UploadPart>;

export const UploadTarget = Type.Object({
  path: Type.String(),
  method: Type.Literal('PUT'),
  url: Type.String({ description: 'For the whole file in one request; S3 takes at most 5 GiB so' }),
  parts: Type.Optional(
    Type.Array(UploadPart, {
      description:
        'Of a file above 16 MiB: what may be sent instead, each part to its own URL, in any order; after a break, only parts that have not arrived',
    }),
  ),
  expires_at: Time,
});
export type UploadTarget = Static<typeof UploadTarget>;

/** An asset's resource: what all kinds have, around what only this one has. */
function asset<K extends AssetKind, S extends string, T extends TProperties>(kind: K, sources: S[], own: T) {
  return {
    object: Type.Literal(kind),
    id: Type.String({ pattern: ID_PATTERNS[kind] }),
    name: Type.String(),
    state: Type.Enum([...ASSET_STATES]),
    source: Type.Enum(sources),
    uri: Nullable(Type.String()),
    files: Type.Array(AssetFile),
    bytes: Bytes,
    ...own,
    metadata: Metadata,
    uploads: Type.Optional(Type.Array(UploadTarget)),
    created_at: Time,
  };
}

/** The body that registers what lies at a URI, or begins an upload. */
function createAsset(title: string, place: string) {
  return Type.Object(
    {
      name: Type.Optional(Name),
      uri: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 4096,
          description: `file:///…, s3://bucket/prefix or hf://org/name[@revision][/path] below an allowed root: ${place}`,
        }),
      ),
      files: Type.Optional(
        Type.Array(Type.Object({ path: FilePath, bytes: FileBytes, sha256: Type.Optional(Sha256) }, closed), {
          minItems: 1,
          maxItems: 10_000,
          description: 'Begins an upload; the answer has a URL for each file',
        }),
      ),
      metadata: Type.Optional(Metadata),
    },
    { ...closed, title, description: 'Either `uri` or `files`' },
  );
}

// ── checkpoints ─────────────────────────────────────────────────────────────
export const TensorInfo = Type.Object({
  name: Type.String(),
  dtype: Type.Enum(DTYPES),
  shape: Shape,
  bytes: Bytes,
  file: Type.String(),
  begin: Type.Integer({ minimum: 0, description: 'Offset of its first byte in the file' }),
});
export type TensorInfo = Static<typeof TensorInfo>;

/** How a tensor's values are spread. */
export const TensorHistogram = Type.Object(
  {
    object: Type.Literal('tensor_histogram'),
    tensor: Type.String(),
    dtype: Type.Enum(DTYPES),
    shape: Shape,
    elements: Count,
    counted: Type.Integer({
      minimum: 0,
      description: 'How many were read: all, or of a tensor above 64 MiB as many, in blocks spread evenly over it',
    }),
    not_finite: Type.Integer({ minimum: 0, description: 'NaN and infinities; what follows is without them' }),
    zeros: Count,
    min: Nullable(Type.Number({ description: 'Null when there is no finite value' })),
    max: Nullable(Type.Number()),
    mean: Nullable(Type.Number()),
    std: Nullable(Type.Number({ description: 'Of all counted values, not an estimate for others' })),
    counts: Type.Array(Count, {
      description: 'Values in bins of equal width from min to max; a value at an inner edge is in the higher bin',
    }),
  },
  { title: 'TensorHistogram' },
);
export type TensorHistogram = Static<typeof TensorHistogram>;

export const Checkpoint = Type.Object(
  asset('checkpoint', ['upload', 'uri', 'merge'], {
    merge_id: Nullable(Type.String({ description: 'The merge that made it' })),
    tensors: Type.Integer({ description: 'How many tensors' }),
    parameters: Type.Integer({ description: 'How many elements, over all tensors' }),
    dtypes: Type.Record(Type.String(), Type.Integer(), { description: 'Elements by dtype' }),
  }),
  { title: 'Checkpoint' },
);
export type Checkpoint = Static<typeof Checkpoint>;

export const CreateCheckpoint = createAsset('CreateCheckpoint', 'a folder, or one .safetensors file');

// ── graphs ──────────────────────────────────────────────────────────────────
/** An input or output of a graph. */
export const GraphValue = Type.Object({
  name: Type.String(),
  dtype: Type.String({ description: 'As checkpoints spell it' }),
  shape: Nullable(
    Type.Array(Nullable(Type.Union([Type.Integer({ minimum: 0 }), Type.String()])), {
      description: 'A name, or null, is a free dimension; null altogether when the graph does not say',
    }),
  ),
});
export type GraphValue = Static<typeof GraphValue>;

export const Graph = Type.Object(
  asset('graph', ['upload', 'uri'], {
    file: Nullable(Type.String({ description: 'Which of its files is the .onnx file; null while it is pending' })),
    opset: Nullable(Type.Integer({ description: 'Of the standard operators' })),
    producer: Nullable(Type.String({ description: 'What wrote the file' })),
    inputs: Type.Array(GraphValue),
    outputs: Type.Array(GraphValue),
    nodes: Count,
    initializers: Count,
    parameters: Type.Integer({ minimum: 0, description: 'Elements of the floating-point initializers' }),
    operators: Type.Record(Type.String(), Type.Integer(), { description: 'How many nodes, by operator' }),
  }),
  { title: 'Graph', description: 'An ONNX model of the forward pass' },
);
export type Graph = Static<typeof Graph>;

export const CreateGraph = createAsset(
  'CreateGraph',
  'one .onnx file, or a folder with one; external data lies in the same folder',
);

// ── datasets ────────────────────────────────────────────────────────────────
export const DatasetTensorInfo = Type.Object({
  name: Type.String(),
  dtype: Type.Enum(DTYPES),
  shape: Shape,
  bytes: Bytes,
});
export type DatasetTensorInfo = Static<typeof DatasetTensorInfo>;

export const Dataset = Type.Object(
  asset('dataset', ['upload', 'uri'], {
    format: Nullable(Type.Enum(['safetensors', 'npz'], { description: 'Null while it is pending' })),
    rows: Type.Integer({ minimum: 0, description: 'The first dimension of all its tensors' }),
    labelled: Type.Boolean({ description: 'It has a tensor `labels`' }),
    tensors: Type.Array(DatasetTensorInfo),
  }),
  { title: 'Dataset', description: 'Samples: tensors named as a graph’s inputs' },
);
export type Dataset = Static<typeof Dataset>;

export const CreateDataset = createAsset(
  'CreateDataset',
  'one .safetensors or .npz file, or a folder with one and no other',
);

/** The body of POST is the same for every kind. */
export type CreateAsset = Static<typeof CreateCheckpoint>;
export type CreateCheckpoint = CreateAsset;
export type CreateGraph = CreateAsset;
export type CreateDataset = CreateAsset;

/** An asset's resource, by its kind. */
export interface AssetResources {
  checkpoint: Checkpoint;
  graph: Graph;
  dataset: Dataset;
}
