import { isDeepStrictEqual } from 'node:util';
import { editConfig } from '@amalgam/architecture';
import { AmalgamError, type Dtype, fileChanged } from '@amalgam/contracts';
import { type JsonObject, parseConfig } from '@amalgam/tensors';
import type { MergePlan } from './types.js';

const TORCH_DTYPES: Partial<Record<Dtype, string>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

/**
 * The donor's config.json with the layers that the result has, and its dtype: both spellings, where they are there. All other text stays.
 *
 * `planned`: what it said when the merge was planned; null: that is not known.
 *
 * @throws AmalgamError `checkpoint_changed` when it says something else now; `invalid_checkpoint` when it is not a JSON object
 */
export function resultConfig(content: Uint8Array, planned: JsonObject | null, plan: MergePlan, name: string): string {
  const config = parseConfig(content);
  if (planned !== null && !isDeepStrictEqual(config, planned)) throw fileChanged(name, 'has another content');
  if (config === null) throw new AmalgamError('invalid_checkpoint', `${name} is not a JSON object`);
  const changes: Record<string, unknown> = { ...plan.configChanges };
  const dtype = commonDtype(plan);
  for (const key of ['torch_dtype', 'dtype']) {
    if (dtype !== undefined && typeof config[key] === 'string' && config[key] !== dtype) changes[key] = dtype;
  }
  return editConfig(new TextDecoder().decode(content), changes);
}

/** PyTorch's name for the dtype of most of the merged elements. */
function commonDtype({ merged }: MergePlan): string | undefined {
  const elements = new Map<Dtype, number>();
  for (const tensor of merged) elements.set(tensor.dtype, (elements.get(tensor.dtype) ?? 0) + tensor.elements);
  const [commonest] = [...elements].sort((a, b) => b[1] - a[1]);
  return commonest === undefined ? undefined : TORCH_DTYPES[commonest[0]];
}
