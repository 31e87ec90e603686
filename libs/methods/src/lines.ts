import { type Modifier as Given, type MethodModifier, Modifier as Schema } from '@amalgam/contracts';

/** Something that changes the merged task vector of any method over task vectors. Its parameters are in the recipe's schema, `modifiers`. */
export interface Modifier {
  name: Given['name'];
  summary: string;
  formula: string;
  source: string;
  notes: string[];
}

export const lines: Modifier = {
  name: 'lines',
  summary: 'Scales a method’s merged task vector by depth: least in the first layers, most in the last',
  formula:
    'τ = what the method adds to θ₀;  s = alpha + beta · b ÷ (B − 1) in layer b of B, counted from 0, s = alpha outside of layers;  ' +
    'θ = θ₀ + s τ;  alpha auto = (1 ÷ T) ‖Σ τᵢ‖₁ ÷ ‖τ‖₁ over all merged tensors, of T models',
  source: 'Wang et al., LiNeS: Post-training Layer Scaling Prevents Forgetting and Enhances Model Merging, ICLR 2025',
  notes: [
    'Layers are the numbered blocks of the model’s tensor names, each stack of them (encoder and decoder, say) by itself; with slices those of the result. A stack of one layer has s = alpha + beta.',
    'The Σ τᵢ of alpha auto are whole task vectors: neither sparsified nor weighted. For task arithmetic with λ 1 and weights 1 that makes alpha 1 ÷ T. Where the method adds nothing, alpha is 1 ÷ T.',
    'The paper chooses beta from 0.1 … 1.0 (TIES: 1.5) on labelled validation data for merging, and takes alpha + beta = 1 for editing a single task vector; neither is searched here.',
    'It goes with methods over task vectors that learn nothing.',
  ],
};

/** Every modifier. A new one is a new file and its line here. */
const MODIFIERS: Modifier[] = [lines];

export function listModifiers(): Modifier[] {
  return MODIFIERS;
}

/** The modifier as the API describes it. */
export function describeModifier({ name, summary, formula, source, notes }: Modifier): MethodModifier {
  const { name: _, ...properties } = Schema.properties;
  const parameters = { type: 'object', properties, required: Object.keys(properties), additionalProperties: false };
  return { name, summary, formula, source, notes, parameters };
}

/** s at a depth, 0 in the first layer and 1 in the last, in float32. */
export function linesFactor(alpha: number, beta: number, depth: number): number {
  return Math.fround(alpha + beta * depth);
}

/** alpha auto, from ‖Σ τᵢ‖₁ and ‖τ‖₁. */
export function linesAlpha(models: number, sum: number, merged: number): number {
  return (merged === 0 ? 1 : sum / merged) / models;
}
