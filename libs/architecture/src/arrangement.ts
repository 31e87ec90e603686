import type { CheckpointDescription } from '@amalgam/tensors';

/** A checkpoint as `arrange` needs it. An adapter stands for the base that it is applied to. */
export interface ArrangedInput {
  /** What the recipe calls it; used in messages. */
  reference: string;
  checkpoint: Pick<CheckpointDescription, 'kind' | 'tensors' | 'config'>;
}

export interface ArrangedInputs {
  base: ArrangedInput | null;
  /** Aligned to the recipe's models. */
  models: readonly ArrangedInput[];
}

/** One tensor of the result and where it comes from. */
export interface ArrangedTensor {
  /** In the result. */
  name: string;
  /**
   * Where the base's part lies: in the recipe's base (model null) or, where a slice names a base of its own, in that model. Null: none.
   */
  base: { model: number | null; name: string } | null;
  /** Index into the recipe's models, and its name there; in the order of the slice's sources, or of the recipe's models. */
  models: { model: number; name: string }[];
  /** The slice whose parameters apply: index into the slices of the module, or of the recipe where module is null. */
  slice: number | null;
  /** The module whose parameters apply, as the recipe spells it. */
  module: string | null;
  /** Aligned to `models`: indexes into the slice's sources, or into the module's models; empty where there is neither. */
  sources: number[];
  /** Position for gradients: layer j of the n of its slice: j / (n - 1), and 1 where n is 1; outside of layers 0. */
  t: number;
}

/** How a merge's result is made up of its inputs' tensors. */
export interface Arrangement {
  tensors: ArrangedTensor[];
  /** What differs from the first input's config.json (the base's, else the first model's): dotted paths to values. */
  config: Record<string, unknown>;
  /** Layers of the result, over all stacks; 0: gradients have nothing to go along. */
  layers: number;
  /** Tensors of models that the result does without: a stored copy of an embedding that serves as the head too. */
  redundant: { model: number; name: string }[];
  warnings: string[];
}
