import { type TensorProto, tensorInfo } from '@amalgam/onnx';
import { type BindableDtype, type Hit, isBindable, type Origin } from './bind-contents.js';
import type { Evidence } from './bind-resolve.js';
import type { StoredTensor } from './stored.js';

/** An initializer that is a tensor of the checkpoints. */
export interface Binding {
  initializer: string;
  tensor: string;
  /** The initializer has the elements of the tensor's transpose (2-D); otherwise those of the tensor, in its order. */
  transposed: boolean;
  /**
   * name: it has the tensor's name; prefix: but for a prefix; content: the only tensor with its numbers; order: one
   * of several, by the place of its readers in the graph; unfolded: the exporter had folded a batch normalization and
   * what is before it into one, or left out a bias of zeros.
   */
  by: Evidence | 'unfolded';
  /** The checkpoint whose numbers the graph was exported with. */
  from: Origin;
  /** The tensor in that checkpoint. */
  reference: StoredTensor;
  /** Of the initializer. A merged tensor is rounded to this dtype where the graph reads it. */
  dtype: BindableDtype;
  /** Of the initializer: not always the tensor's, even where it is not transposed, such as [1, 64] for [64]. */
  dims: readonly number[];
}

export function bindingOf(initializer: string, tensor: TensorProto, hit: Hit, by: Binding['by']): Binding {
  const { dtype, dims } = tensorInfo(tensor);
  if (!isBindable(dtype)) throw new TypeError(`${dtype} initializers are not bound`);
  const { tensor: reference, from, transposed } = hit;
  return { initializer, tensor: reference.name, transposed, by, from, reference, dtype, dims: [...dims] };
}
