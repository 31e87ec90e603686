import { AmalgamError, type FieldError } from '@amalgam/contracts';
import type { ModelInput } from './types.js';

/** @throws AmalgamError `duplicate_model` for a model that is the base, or that is there twice. */
export function refuseDuplicates(base: ModelInput | null, models: readonly ModelInput[]): void {
  const errors: FieldError[] = [];
  models.forEach((model, i) => {
    const pointer = `/models/${i}/model`;
    if (base !== null && model.identity === base.identity) {
      errors.push({ pointer, detail: `"${model.reference}" is the base: its task vector would be zero` });
    }
    const first = models.findIndex((other) => other.identity === model.identity);
    if (first < i) errors.push({ pointer, detail: `"${model.reference}" is the same checkpoint as models/${first}` });
  });
  if (errors.length > 0) {
    throw new AmalgamError('duplicate_model', errors.map((error) => error.detail).join('; '), { errors });
  }
}

/** @throws AmalgamError `invalid_checkpoint` for an adapter where a full model is wanted. */
export function refuseAdapters(inputs: readonly ModelInput[]): void {
  for (const input of inputs) {
    if (input.checkpoint.kind === 'adapter') {
      throw new AmalgamError(
        'invalid_checkpoint',
        `"${input.reference}" is a LoRA adapter (adapter_model.safetensors), which cannot be merged as a full model; ` +
          'merge it into its base first',
      );
    }
  }
}
