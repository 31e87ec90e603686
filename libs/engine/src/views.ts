import type { CheckpointTensor } from '@amalgam/tensors';
import type { Source } from './source.js';
import type { ModelInput } from './types.js';

/** A tensor of an input, and where its values come from. */
export interface ViewedTensor extends Pick<CheckpointTensor, 'name' | 'dtype' | 'shape' | 'elements'> {
  source: Source;
}

/** An input as the merge takes it. */
export interface InputView {
  reference: string;
  /** Short name for reports and heads. */
  name: string;
  /** In code unit order. */
  names(): string[];
  get(tensor: string): ViewedTensor | undefined;
}

/** A model as it is stored. `input`: its index into `MergePlan.inputs`. */
export function viewStored({ reference, name, checkpoint }: ModelInput, input: number): InputView {
  return {
    reference,
    name,
    names: () => [...checkpoint.tensors.keys()],
    get: (tensor) => {
      const found = checkpoint.tensors.get(tensor);
      if (found === undefined) return undefined;
      const { dtype, shape, elements, file, begin } = found;
      return { name: tensor, dtype, shape, elements, source: { kind: 'stored', input, file, begin, dtype } };
    },
  };
}
