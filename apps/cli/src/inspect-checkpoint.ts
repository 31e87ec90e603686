import { guessFamily } from './guess-family.js';
import { isHubInput } from './hub-input.js';
import { type Inspected, type InspectedFile, inspectFile, showFiles, showShape } from './inspected.js';
import { type LocalInput, openCheckpoint } from './local-input.js';
import { showBytes, showTable } from './show.js';

/** Tensors, dtypes and sizes. */
export async function inspectCheckpoint(path: string, digests: boolean): Promise<Inspected> {
  const input = await openCheckpoint(path, process.cwd());
  const { kind, weightFiles, tensors, parameters, bytes, dtypes } = input.checkpoint;
  const files = [];
  for (const file of weightFiles) files.push(await inspectWeights(input, file, digests));
  const list = [...tensors.values()];
  const rows = list.map(({ name, dtype, shape, bytes: size, file }) => [
    name,
    dtype,
    showShape(shape),
    showBytes(size),
    file,
  ]);
  const counts = Object.entries(dtypes).map(([dtype, elements]) => `${elements.toLocaleString('en')} ${dtype}`);
  const family = guessFamily(input.checkpoint);
  return {
    data: { kind, family, parameters, bytes, dtypes, files, tensors: list },
    text: [
      showTable(['tensor', 'dtype', 'shape', 'size', 'file'], rows),
      `\n${kind}${family === null ? '' : ` (${family})`}: ${list.length} tensors, ${counts.join(', ')} parameters, ${showBytes(bytes)}`,
      ...showFiles(files),
    ].join('\n'),
  };
}

async function inspectWeights(input: LocalInput, file: string, digests: boolean): Promise<InspectedFile> {
  if (!isHubInput(input)) return inspectFile(input.pathOf(file), file, digests);
  // Of what it keeps as large files, the hub states the SHA-256; nothing is fetched for it.
  const { bytes, etag } = (await input.folder.list()).find(({ path }) => path === file)!;
  return { path: file, bytes, sha256: digests && /^[0-9a-f]{64}$/.test(etag) ? etag : null };
}
