import type { AssetKind, AssetResources, AssetState } from '@amalgam/contracts';
import { ASSET_STATES } from '@amalgam/contracts';
import { Command, Option } from 'commander';
import { parseCount, parseMetadata } from '../options.js';
import { connect, type RemoteOptions, withRemoteOptions } from '../remote/connect.js';
import { downloadFiles, endTransfer, refuseFullFolder, showTransfer } from '../remote/download-files.js';
import { print, take } from '../remote/output.js';
import { callsOf, sendLocal } from '../remote/send-asset.js';

import { showBytes, showTable } from '../show.js';

type Asset = AssetResources[AssetKind];

interface ListOptions extends RemoteOptions {
  state?: AssetState;
  name?: string;
  metadata?: Record<string, string>;
  limit: number;
}

const PLACES: Record<AssetKind, string> = {
  checkpoint: 'a folder, or one .safetensors file',
  graph: 'one .onnx file, or a folder with one; external data comes along',
  dataset: 'one .safetensors or .npz file, or a folder with one',
};

/** `amalgam checkpoints`, `graphs` or `datasets`: what a service stores of a kind. */
export function assetCommands(kind: AssetKind): Command {
  const group = new Command(`${kind}s`).description(`The ${kind}s that a service stores`).exitOverride();
  const add = (usage: string, description: string) => withRemoteOptions(group.command(usage).description(description));

  add('list', `${kind}s, the newest first`)
    .addOption(new Option('--state <state>', 'default: pending and ready').choices(ASSET_STATES))
    .option('--name <text>', 'a part of the name')
    .option('--metadata <key=value>', 'may come several times', parseMetadata)
    .option('--limit <n>', 'at most so many', parseCount, 20)
    .action(async ({ limit, url, json, ...query }: ListOptions) => {
      const found = await take(callsOf(connect({ ...(url !== undefined && { url }) }), kind).list(query), limit);
      if (json) return print(found);
      const rows = found.map((asset) => [asset.id, asset.state, showBytes(asset.bytes), asset.created_at, asset.name]);
      console.log(showTable(['id', 'state', 'size', 'created', 'name'], rows));
    });

  add('show <id>', 'one of them, with its files').action(async (id: string, options: RemoteOptions) => {
    const asset = await callsOf(connect(options), kind).get(id);
    if (options.json) print(asset);
    else console.log(showAsset(asset));
  });

  add('upload <path>', `upload ${PLACES[kind]}; what the service has already is not sent again`)
    .option('--name <name>', 'default: from the path')
    .action(async (path: string, options: RemoteOptions & { name?: string }) => {
      const client = connect(options);
      const onProgress = (done: number, total: number) => showTransfer(path, done, total);
      const place = { reference: path, folder: process.cwd() };
      const { id, how } = await sendLocal(client, kind, place, { name: options.name, onProgress }).finally(endTransfer);
      if (options.json) return print({ ...(await callsOf(client, kind).get(id)), how });
      console.error(how);
      console.log(id);
    });

  add('register <uri>', 'make known what lies at file://, s3:// or hf://, below a root that the service allows')
    .option('--name <name>', 'default: from the URI')
    .action(async (uri: string, options: RemoteOptions & { name?: string }) => {
      const { name } = options;
      const asset = await callsOf(connect(options), kind).create({ uri, ...(name !== undefined && { name }) });
      if (options.json) print(asset);
      else console.log(asset.id);
    });

  add('download <id>', 'copy its files into a folder')
    .requiredOption('--out <dir>', 'must be empty or not there')
    .action(async (id: string, options: RemoteOptions & { out: string }) => {
      const calls = callsOf(connect(options), kind);
      await refuseFullFolder('--out', options.out);
      const { files } = await calls.get(id);
      await downloadFiles(calls.download, id, files, options.out);
      if (options.json) print({ out: options.out, files });
      else console.log(showFiles(files));
    });

  add('delete <id>', 'delete it; refused while an unfinished merge needs it').action(
    async (id: string, options: RemoteOptions) => {
      await callsOf(connect(options), kind).delete(id);
      if (options.json) print({ id, deleted: true });
    },
  );

  if (kind === 'checkpoint') {
    add('tensors <id>', 'its tensors, by name')
      .option('--name <text>', 'a part of the name')
      .action(async (id: string, options: RemoteOptions & { name?: string }) => {
        const query = options.name === undefined ? {} : { q: options.name };
        const tensors = await take(connect(options).checkpoints.tensors(id, query));
        if (options.json) return print(tensors);
        const rows = tensors.map(({ name, dtype, shape, bytes }) => [name, dtype, shape.join('×'), showBytes(bytes)]);
        console.log(showTable(['tensor', 'dtype', 'shape', 'size'], rows));
      });
  }
  return group;
}

function showAsset(asset: Asset): string {
  const facts = [
    ['id', asset.id],
    ['name', asset.name],
    ['state', asset.state],
    ['source', asset.uri ?? asset.source],
    ['size', showBytes(asset.bytes)],
    ['created', asset.created_at],
    ...Object.entries(asset.metadata).map(([key, value]) => [`metadata ${key}`, value]),
  ];
  return [...facts.map(([key = '', value]) => `${key.padEnd(12)}${value}`), '', showFiles(asset.files)].join('\n');
}

export function showFiles(files: Asset['files']): string {
  return showTable(
    ['file', 'size', 'sha256'],
    files.map(({ path, bytes, sha256 }) => [path, showBytes(bytes), sha256 ?? '–']),
  );
}
