import { type Inspected, inspectFile, showFiles, showShape } from './inspected.js';
import { openLocal } from './local-input.js';
import { showBytes, showTable } from './show.js';

/** Tensors, dtypes and sizes. */
export async function inspectCheckpoint(path: string, digests: boolean): Promise<Inspected> {
  const input = await openLocal(path);
  const { kind, weightFiles, tensors, parameters, bytes, dtypes } = input.checkpoint;
  const files = [];
  for (const file of weightFiles) files.push(await inspectFile(input.pathOf(file), file, digests));
  const list = [...tensors.values()];
  const rows = list.map(({ name, dtype, shape, bytes: size, file }) => [
    name,
    dtype,
    showShape(shape),
    showBytes(size),
    file,
  ]);
  const counts = Object.entries(dtypes).map(([dtype, elements]) => `${elements.toLocaleString('en')} ${dtype}`);
  return {
    data: { kind, parameters, bytes, dtypes, files, tensors: list },
    text: [
      showTable(['tensor', 'dtype', 'shape', 'size', 'file'], rows),
      `\n${kind}: ${list.length} tensors, ${counts.join(', ')} parameters, ${showBytes(bytes)}`,
      ...showFiles(files),
    ].join('\n'),
  };
}
