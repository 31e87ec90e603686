import { rawTensor, type TensorProto } from '@amalgam/onnx';
import { storedValues, transpose } from './bind-contents.js';
import { bytesAs } from './bind-round.js';
import type { Binding } from './bind-types.js';

/**
 * What a binding says that its initializer holds: the reference tensor's values, in the initializer's order, in
 * float32 before any rounding to its dtype. Errors: `checkpoint_changed` when the file is shorter than it was.
 */
export async function referenceWeight({ reference, transposed }: Binding): Promise<Float32Array> {
  const values = await storedValues(reference);
  if (!transposed) return values;
  const [rows, columns] = reference.shape;
  return transpose(values, rows!, columns!);
}

/** The same as a tensor for the graph: with it in the initializer's place the outputs are those of the export. */
export async function referenceTensor(binding: Binding): Promise<TensorProto> {
  const values = await referenceWeight(binding);
  const { initializer, dtype, dims } = binding;
  return rawTensor(initializer, dtype, dims, bytesAs(dtype, values));
}
