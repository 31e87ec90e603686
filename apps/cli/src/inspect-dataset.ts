import { type Inspected, inspectFile, showFiles, showShape } from './inspected.js';
import { openLocalDataset } from './local-input.js';
import { showBytes, showTable } from './show.js';

/** Rows and tensors. */
export async function inspectDataset(path: string, digests: boolean): Promise<Inspected> {
  const { path: file, description } = await openLocalDataset(path);
  const { format, rows, labelled, bytes } = description;
  const tensors = description.tensors.map(({ name, dtype, shape, bytes: size }) => ({
    name,
    dtype,
    shape,
    bytes: size,
  }));
  const files = [await inspectFile(file, description.file, digests)];
  const table = tensors.map(({ name, dtype, shape, bytes: size }) => [name, dtype, showShape(shape), showBytes(size)]);
  return {
    data: { kind: 'dataset', format, rows, labelled, bytes, files, tensors },
    text: [
      showTable(['tensor', 'dtype', 'shape', 'size'], table),
      `\ndataset (${format}): ${rows.toLocaleString('en')} rows, ${labelled ? 'with' : 'without'} labels`,
      ...showFiles(files),
    ].join('\n'),
  };
}
