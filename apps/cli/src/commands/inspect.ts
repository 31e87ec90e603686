import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { Command } from 'commander';
import { openLocal } from '../local-input.js';
import { showBytes, showTable } from '../show.js';

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('List the tensors, dtypes and sizes of a checkpoint. Reads headers only')
    .argument('<path>', 'a folder, or one .safetensors file')
    .option('--digests', 'also read every weight file and print its SHA-256')
    .option('--json', 'as JSON')
    .action(async (path: string, options: { digests?: boolean; json?: boolean }) => {
      const input = await openLocal(path);
      const { kind, files, weightFiles, tensors, parameters, bytes, dtypes } = input.checkpoint;
      const weights = [];
      for (const file of weightFiles) {
        const size = files.find((entry) => entry.path === file)?.bytes ?? 0;
        weights.push({ path: file, bytes: size, sha256: options.digests ? await digest(input.pathOf(file)) : null });
      }
      const list = [...tensors.values()];
      if (options.json) {
        console.log(JSON.stringify({ kind, parameters, bytes, dtypes, files: weights, tensors: list }, null, 2));
        return;
      }
      const rows = list.map((tensor) => [
        tensor.name,
        tensor.dtype,
        `[${tensor.shape.join(', ')}]`,
        showBytes(tensor.bytes),
        tensor.file,
      ]);
      console.log(showTable(['tensor', 'dtype', 'shape', 'size', 'file'], rows));
      const counts = Object.entries(dtypes).map(([dtype, elements]) => `${elements.toLocaleString('en')} ${dtype}`);
      console.log(`\n${kind}: ${list.length} tensors, ${counts.join(', ')} parameters, ${showBytes(bytes)}`);
      for (const file of weights)
        console.log(`${file.path}  ${showBytes(file.bytes)}${file.sha256 === null ? '' : `  ${file.sha256}`}`);
    });
}

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}
