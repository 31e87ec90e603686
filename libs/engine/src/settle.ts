import type { ResolvedRecipe, Settings } from '@amalgam/methods';
import type { SelectedTensor } from './select.js';
import type { MergedTensor } from './types.js';

/** Gives each tensor its parameters, of which tensors with equal ones share a copy. */
export function settleTensors(
  tensors: readonly SelectedTensor[],
  { settingsAt }: Pick<ResolvedRecipe, 'settingsAt'>,
): { merged: Omit<MergedTensor, 'file' | 'begin'>[]; settings: Settings[] } {
  const indices = new Map<Settings, number>();
  const merged = tensors.map(({ place, ...tensor }) => {
    const own = settingsAt(place);
    const index = indices.get(own) ?? indices.size;
    indices.set(own, index);
    return { ...tensor, settings: index };
  });
  return { merged, settings: [...indices.keys()] };
}
