import type {
  AssetFile,
  AssetKind,
  AssetResources,
  Checkpoint,
  Dataset,
  DatasetTensorInfo,
  Graph,
} from '@amalgam/contracts';
import type { Prisma } from '../generated/client.js';
import { toNumber } from '../json.js';

/** Everything but the inventory, which may hold half a million tensors, and the configs, of up to a megabyte. */
export const assetQuery = {
  include: { files: { orderBy: { position: 'asc' } } },
  omit: { inventory: true, configs: true },
} as const satisfies Prisma.AssetDefaultArgs;

/** A checkpoint, graph or dataset with its files. */
export type AssetRow = Prisma.AssetGetPayload<typeof assetQuery>;
export type CheckpointRow = AssetRow;

/** What a graph's row keeps of its headers. */
export type GraphDescription = Pick<
  Graph,
  'opset' | 'producer' | 'inputs' | 'outputs' | 'nodes' | 'initializers' | 'parameters' | 'operators'
> & { file: string };

/** What a dataset's row keeps of its headers: at least what its resource shows. */
export type DatasetDescription = Pick<Dataset, 'rows' | 'labelled'> & {
  format: NonNullable<Dataset['format']>;
  tensors: readonly (Omit<DatasetTensorInfo, 'shape'> & { shape: readonly number[] })[];
};

const RENDER: { [K in AssetKind]: (row: AssetRow) => AssetResources[K] } = {
  checkpoint: toCheckpointResource,
  graph: toGraphResource,
  dataset: toDatasetResource,
};

/** The contract's resource of this kind; upload URLs are the API's to add. */
export function toAssetResource<K extends AssetKind>(kind: K, row: AssetRow): AssetResources[K] {
  return RENDER[kind](row);
}

export function toCheckpointResource(row: AssetRow): Checkpoint {
  return {
    object: 'checkpoint',
    ...head(row),
    source: row.source,
    uri: row.uri,
    merge_id: row.mergeId,
    ...stored(row),
    tensors: row.tensors,
    parameters: toNumber(row.parameters),
    dtypes: row.dtypes as Record<string, number>,
    ...tail(row),
  };
}

export function toGraphResource(row: AssetRow): Graph {
  const description = row.description as unknown as GraphDescription | null;
  return {
    object: 'graph',
    ...head(row),
    source: row.source === 'uri' ? 'uri' : 'upload',
    uri: row.uri,
    ...stored(row),
    file: description?.file ?? null,
    opset: description?.opset ?? null,
    producer: description?.producer || null,
    inputs: description?.inputs ?? [],
    outputs: description?.outputs ?? [],
    nodes: description?.nodes ?? 0,
    initializers: description?.initializers ?? 0,
    parameters: description?.parameters ?? 0,
    operators: description?.operators ?? {},
    ...tail(row),
  };
}

export function toDatasetResource(row: AssetRow): Dataset {
  const description = row.description as unknown as DatasetDescription | null;
  return {
    object: 'dataset',
    ...head(row),
    source: row.source === 'uri' ? 'uri' : 'upload',
    uri: row.uri,
    ...stored(row),
    format: description?.format ?? null,
    rows: description?.rows ?? 0,
    labelled: description?.labelled ?? false,
    // The row may know more: where they lie in the file.
    tensors: (description?.tensors ?? []).map(({ name, dtype, shape, bytes }) => ({
      name,
      dtype,
      shape: [...shape],
      bytes,
    })),
    ...tail(row),
  };
}

/** The contract's AssetFile. */
export function toFileResource(row: { path: string; bytes: bigint; sha256: string | null }): AssetFile {
  return { path: row.path, bytes: toNumber(row.bytes), sha256: row.sha256 };
}

const head = ({ id, name, state }: AssetRow) => ({ id, name, state });
const stored = ({ files, bytes }: AssetRow) => ({ files: files.map(toFileResource), bytes: toNumber(bytes) });
const tail = ({ metadata, createdAt }: AssetRow) => ({
  metadata: metadata as Record<string, string>,
  created_at: createdAt.toISOString(),
});
