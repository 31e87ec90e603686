/** What a method whose result is a LoRA adapter makes (libs/adapters does it). */
export type AdapterSettings =
  /** One adapter from several. */
  | {
      kind: 'merge';
      /** By model. */
      coefficients: number[];
      combine: 'products' | 'factors';
      /** Null: ranks add up. */
      rank: number | null;
    }
  /** One adapter from what a model has learned since its base. */
  | {
      kind: 'extract';
      rank: number;
      /** Globs on tensors that are taken along whole. */
      save: string[];
      seed: number;
      powerIterations: number;
      oversampling: number;
    };

/** In place of `combine`, for methods whose result is an adapter: they are given no blocks. */
export function givenNoBlocks(): never {
  throw new TypeError('a method whose result is an adapter is given no blocks');
}
