import type { AssetKind, AssetResources } from '@amalgam/contracts';
import { client } from '../api.js';

export type Asset = AssetResources[AssetKind];

interface KindWords {
  /** As addresses have it, those of the API and those of this page. */
  plural: string;
  title: string;
  /** What may be uploaded. */
  takes: string;
  /** A place where one may lie. */
  example: string;
}

export const KINDS: Readonly<Record<AssetKind, KindWords>> = {
  checkpoint: {
    plural: 'checkpoints',
    title: 'Checkpoints',
    takes: 'a model’s folder with its .safetensors files, configuration and tokenizer, or .safetensors files',
    example: 's3://bucket/models/base',
  },
  graph: {
    plural: 'graphs',
    title: 'Graphs',
    takes: 'an .onnx file, or a folder with one and its external data',
    example: 's3://bucket/graphs/vit.onnx',
  },
  dataset: {
    plural: 'datasets',
    title: 'Datasets',
    takes: 'a .safetensors or .npz file whose tensors are named as a graph’s inputs',
    example: 's3://bucket/data/images.safetensors',
  },
};

/** The kind of a place, undefined for other places. */
export function kindOf(place: string): AssetKind | undefined {
  return (Object.keys(KINDS) as AssetKind[]).find((kind) => KINDS[kind].plural === place);
}

/** The calls for assets of a kind; which of the three types they give only the kind tells. */
export function callsOf(kind: AssetKind) {
  if (kind === 'checkpoint') return client.checkpoints;
  return kind === 'graph' ? client.graphs : client.datasets;
}

/** Where the service has a file of an asset. */
export function fileUrl({ object, id }: Pick<Asset, 'object' | 'id'>, path: string): string {
  return `/v1/${KINDS[object].plural}/${id}/files/${path.split('/').map(encodeURIComponent).join('/')}`;
}
