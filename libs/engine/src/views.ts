import { adapterDeltas } from '@amalgam/adapters';
import type { CheckpointDescription, CheckpointTensor } from '@amalgam/tensors';
import type { Scaling } from './scaled-weights.js';
import type { LowRank, Plain, Stored } from './source.js';
import type { ModelInput } from './types.js';

/** A tensor of an input, and where its values come from. */
export interface ViewedTensor extends Pick<CheckpointTensor, 'name' | 'dtype' | 'shape' | 'elements'> {
  source: Plain<Stored> | LowRank<Stored>;
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

/** A checkpoint with its index into `MergePlan.inputs`. */
export interface PlacedInput {
  input: number;
  reference: string;
  checkpoint: CheckpointDescription;
  scalings?: ModelInput['scalings'];
}

/** A model as it is stored. */
export function viewStored({ reference, name, checkpoint, scalings }: ModelInput, input: number): InputView {
  return {
    reference,
    name,
    names: () => [...checkpoint.tensors.keys()],
    get: (tensor) => {
      const found = checkpoint.tensors.get(tensor);
      return found === undefined ? undefined : toViewed(found, tensor, input, scalings?.get(tensor));
    },
  };
}

/**
 * A full model with an adapter applied to it, tensor by tensor while it is read. `pointer`: where the recipe names the adapter.
 *
 * @throws AmalgamError as `adapterDeltas`: the adapter is broken, or made for another base
 */
export function viewAdapted(
  labels: { reference: string; name: string; pointer: string },
  full: PlacedInput,
  adapter: PlacedInput,
): InputView {
  const { reference, name, pointer } = labels;
  const { deltas, replaced, added } = adapterDeltas(adapter.checkpoint, full.checkpoint, {
    adapter: adapter.reference,
    base: full.reference,
    pointer,
  });
  const names = [...new Set([...full.checkpoint.tensors.keys(), ...added.keys()])].sort();
  return {
    reference,
    name,
    names: () => names,
    get: (tensor) => {
      const own = replaced.get(tensor) ?? added.get(tensor);
      const stored = own ?? full.checkpoint.tensors.get(tensor);
      if (stored === undefined) return undefined;
      const { source, ...viewed } =
        own === undefined
          ? toViewed(stored, tensor, full.input, full.scalings?.get(tensor))
          : toViewed(stored, tensor, adapter.input);
      const delta = deltas.get(tensor);
      if (delta === undefined) return { ...viewed, source };
      const { rows, columns, rank, scale, left, right } = delta;
      const product: LowRank<Stored> = {
        kind: 'low_rank',
        base: source,
        ...{ rows, columns, rank, scale },
        left: { source: toStored(left.tensor, adapter.input), transposed: left.transposed },
        right: { source: toStored(right.tensor, adapter.input), transposed: right.transposed },
      };
      return { ...viewed, source: product };
    },
  };
}

function toViewed(
  tensor: CheckpointTensor,
  name: string,
  input: number,
  scaling?: Scaling,
): ViewedTensor & { source: Plain<Stored> } {
  const { dtype, shape, elements } = tensor;
  const source = scaling === undefined ? toStored(tensor, input) : toScaled(scaling, input);
  return { name, dtype, shape, elements, source };
}

function toScaled({ weight, scale, ...blocks }: Scaling, input: number): Plain<Stored> {
  return { kind: 'scaled', weight: toStored(weight, input), scale: toStored(scale, input), ...blocks };
}

function toStored({ file, begin, dtype }: CheckpointTensor, input: number): Stored {
  return { kind: 'stored', input, file, begin, dtype };
}
