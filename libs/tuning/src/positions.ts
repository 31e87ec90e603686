import { AmalgamError, quote } from '@amalgam/contracts';
import { checkLabels, type DatasetDescription, type DatasetReader, LABELS } from '@amalgam/tensors';

/**
 * Holds labels or a mask, which have a number for each row or each position, against logits [rows, classes] or [rows,
 * positions, classes] that were computed: a graph need not say beforehand what it gives. Errors: `invalid_dataset`.
 */
export function requirePositions({ file, tensors }: DatasetDescription, name: string, logits: readonly number[]): void {
  const shape = tensors.find((tensor) => tensor.name === name)?.shape ?? [];
  const wanted = logits.slice(1, -1);
  if (shape.length === wanted.length + 1 && wanted.every((size, i) => size === shape[i + 1])) return;
  const rule = `but the logits of a batch have [${logits.join(', ')}], so it must be [${['rows', ...wanted].join(', ')}]`;
  throw new AmalgamError('invalid_dataset', `${file}: tensor ${quote(name)} has shape [${shape.join(', ')}], ${rule}`);
}

/**
 * Everything of a dataset that goes with such logits: the mask, when there is one, and the labels, shape and range.
 * Errors: `invalid_dataset`.
 */
export async function requireJudgeable(
  reader: DatasetReader,
  mask: string | null,
  logits: readonly number[],
): Promise<void> {
  const { description } = reader;
  if (mask !== null) requirePositions(description, mask, logits);
  if (!description.labelled) return;
  requirePositions(description, LABELS, logits);
  await checkLabels(reader, logits.at(-1)!);
}
