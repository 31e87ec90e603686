import { ASSET_KINDS, type AssetKind } from '@amalgam/contracts';
import { Command, Option } from 'commander';
import { guessKind } from '../guess-kind.js';
import { inspectCheckpoint } from '../inspect-checkpoint.js';
import { inspectDataset } from '../inspect-dataset.js';
import { inspectGraph } from '../inspect-graph.js';

interface Options {
  as?: AssetKind;
  digests?: boolean;
  json?: boolean;
}

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('Show what a checkpoint, graph or dataset holds. Reads headers only')
    .argument('<path>', 'a folder, or one .safetensors, .onnx or .npz file')
    .addOption(new Option('--as <kind>', 'what it is; default: told from its name and content').choices(ASSET_KINDS))
    .option('--digests', 'also read every file that it is made of and print its SHA-256')
    .option('--json', 'as JSON')
    .action(async (path: string, { as, digests = false, json = false }: Options) => {
      const kind = as ?? (await guessKind(path));
      const inspect = { checkpoint: inspectCheckpoint, graph: inspectGraph, dataset: inspectDataset }[kind];
      const { data, text } = await inspect(path, digests);
      console.log(json ? JSON.stringify(data, null, 2) : text);
    });
}
